/* digest.h: SHA-256 of several pieces of data, each with its length, so that no two lists of pieces hash alike; and
 * SHA-1, where a protocol has it for what is no secret. Pure. */
#ifndef TLS_DIGEST_H
#define TLS_DIGEST_H

#include "base/bytes.h"
#include "base/error.h"

enum { DIGEST_BYTES = 32, DIGEST_SHA1_BYTES = 20 };

/* Returns 0 or -E_CRYPTO. */
int digest_of(const struct bytes *pieces, size_t count, uint8_t ret_digest[DIGEST_BYTES]) MUST_USE;
/* Returns 0 or -E_CRYPTO. */
int digest_sha1(struct bytes data, uint8_t ret_digest[DIGEST_SHA1_BYTES]) MUST_USE;

#endif
