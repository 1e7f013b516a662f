/* multi_buffer.h: Intel's multi-buffer library (crypto_mb): eight public-key operations at once by AVX-512 IFMA.
 *
 * A call works on up to eight lanes, and costs the same for one as for eight. Where processor and library are there (Intel since
 * Ice Lake, AMD since Zen 4; Debian's libcrypto-mb11) the functions are found when the program starts; elsewhere there
 * are none, and everything is done by OpenSSL, one by one.
 *
 * The library is loaded, not linked: it wants the system's libcrypto.so.3 beside it, which is not the one that we are built
 * with. Only functions that take plain memory are used, so that no object of one ever reaches the other.
 *
 * Numbers are arrays of 64-bit words, least significant first; strings of bytes are as on the wire. Each function returns
 * four bits of status for each lane, 0 if that one went well. Pointers of lanes that are not wanted must be valid, too. */
#ifndef TLS_MULTI_BUFFER_H
#define TLS_MULTI_BUFFER_H

#include <stdbool.h>
#include <stdint.h>

enum { LANES = 8 };

typedef unsigned long long mb_word; /* the library's own name for 64 bits; uint64_t is another type */
struct mb_rsa_method;               /* the library's: operation and size of modulus */

/* The functions, by the names that they have there behind `mbx_`. Tests put others in their places. */
struct multi_buffer {
    uint32_t (*x25519_public_key_mb8)(uint8_t *const public_keys[LANES], const uint8_t *const private_keys[LANES]);
    uint32_t (*x25519_mb8)(uint8_t *const shared[LANES], const uint8_t *const private_keys[LANES],
                           const uint8_t *const public_keys[LANES]);
    /* The last argument of these two is not used: NULL. */
    uint32_t (*nistp256_ecdsa_sign_setup_mb8)(mb_word *inverse[LANES], mb_word *r[LANES],
                                              const mb_word *const nonces[LANES], uint8_t *buffer);
    uint32_t (*nistp256_ecdsa_sign_complete_mb8)(uint8_t *sign_r[LANES], uint8_t *sign_s[LANES],
                                                 const uint8_t *const digests[LANES], const mb_word *const r[LANES],
                                                 const mb_word *const inverse[LANES],
                                                 const mb_word *const private_keys[LANES], uint8_t *buffer);
    /* `bits` is the modulus's: 2048, 3072 or 4096. The buffer has RSA_Method_BufSize() bytes. */
    const struct mb_rsa_method *(*RSA_private_crt_Method)(int bits);
    const struct mb_rsa_method *(*RSA_pub65537_Method)(int bits);
    int (*RSA_Method_BufSize)(const struct mb_rsa_method *method);
    uint32_t (*rsa_private_crt_mb8)(const uint8_t *const from[LANES], uint8_t *const to[LANES],
                                    const mb_word *const p[LANES], const mb_word *const q[LANES],
                                    const mb_word *const dp[LANES], const mb_word *const dq[LANES],
                                    const mb_word *const q_inverse[LANES], int bits,
                                    const struct mb_rsa_method *method, uint8_t *buffer);
    uint32_t (*rsa_public_mb8)(const uint8_t *const from[LANES], uint8_t *const to[LANES],
                               const mb_word *const n[LANES], int bits, const struct mb_rsa_method *method,
                               uint8_t *buffer);
};

/* Loads the library at the first call, for good: to be made while files can still be opened. NULL: it is not there, or this processor
 * lacks the instructions. Any thread. */
const struct multi_buffer *multi_buffer(void);
/* Why there is none, in words for people; NULL: there is one. */
const char *multi_buffer_absence(void);

/* That of one lane, out of a function's result: whether it went well. */
static inline bool lane_is_fine(uint32_t status, unsigned lane)
{
    return (status >> (4 * lane) & 15) == 0;
}

#endif
