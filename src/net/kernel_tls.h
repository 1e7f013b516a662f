/* kernel_tls.h: the kernel's TLS for sockets, as calls: who uses it is connection_kernel.c.
 *
 *     kernel_tls_attach()            the socket may get keys; it must be connected
 *     kernel_tls_give(sending)       from here on the kernel seals what is written: whole records have left before
 *     kernel_tls_give(receiving)     and opens what is read, from a record's first byte on
 *
 * Content is written with send() or spliced, and sealed in records of up to 16 KB. All else goes by kernel_tls_send(), with its
 * type; kernel_tls_receive() says which type it received. A direction that has a key cannot lose it again. It can be
 * given another one (RFC 8446 4.6.3) by Linux 6.14 and later.
 *
 * A write that succeeded may have left sealed bytes with the kernel's TLS that its TCP had no room for. It sends them by
 * itself later, but not behind our FIN: compare kernel_tls_written() with what was sealed. */
#ifndef NET_KERNEL_TLS_H
#define NET_KERNEL_TLS_H

#include <linux/tls.h>

#include "tls/record.h"
#include "tls/traffic_keys.h"

/* What the kernel can do. */
enum kernel_tls { KERNEL_TLS_NONE, KERNEL_TLS_FIXED_KEYS, KERNEL_TLS_NEW_KEYS };

/* Asks the kernel, by a connection to ourselves over the loopback. Loads the module where the kernel may. */
enum kernel_tls kernel_tls_probe(void);
/* What it said when it was asked last in this process; the first call asks. From any thread. */
enum kernel_tls kernel_tls_now(void);

/* The keys as setsockopt() takes them. */
union kernel_tls_info {
    struct tls_crypto_info info;
    struct tls12_crypto_info_aes_gcm_128 aes_128;
    struct tls12_crypto_info_aes_gcm_256 aes_256;
    struct tls12_crypto_info_chacha20_poly1305 chacha;
};
/* Returns the bytes of the part that counts; 0: the kernel has no such AEAD. The caller wipes it. */
size_t kernel_tls_layout(uint16_t version, enum aead aead, const struct traffic_key *key, union kernel_tls_info *ret_info);

/* Returns 0, or -E_SYSTEM: the socket is as it was (no module, or not connected any more). */
int kernel_tls_attach(int fd) MUST_USE;
/* Gives one direction its key, the first or the next one. Returns 0, or -E_SYSTEM: nothing has changed. */
int kernel_tls_give(int fd, bool is_sending, uint16_t version, enum aead aead, const struct traffic_key *key) MUST_USE;

/* Sends one record that is not content; all of it, or -E_AGAIN, -E_RESET. */
int kernel_tls_send(int fd, enum content_type type, struct bytes content) MUST_USE;
/* Receives content of one or more records, or what one record of another type has.
 * Returns the bytes (0 with content: the socket's end; with another type: an empty record), -E_AGAIN, -E_RESET, or what is
 * wrong with a record: -E_TLS (it cannot be opened), -E_LIMIT (it is too long), -E_VERSION (its header is none of ours),
 * -E_PASSED_ON (the peer has changed its key, and we have not). */
int kernel_tls_receive(int fd, uint8_t *to, size_t room, enum content_type *ret_type) MUST_USE;

/* Bytes that TCP has taken so far. Returns 0, or -E_RESET: the connection is gone, and what waits with it. */
int kernel_tls_written(int fd, uint64_t *ret_bytes) MUST_USE;
/* The sequence number of the record that is sealed next. */
uint64_t kernel_tls_sequence(int fd, enum aead aead);

#endif
