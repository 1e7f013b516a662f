/* compression.h: certificates made smaller (RFC 8879): once, when a context is made. Pure. */
#ifndef TLS_COMPRESSION_H
#define TLS_COMPRESSION_H

#include "base/bytes.h"

/* By their numbers (RFC 8879 7.3). */
enum compression { COMPRESSION_NONE = 0, COMPRESSION_ZLIB = 1, COMPRESSION_BROTLI = 2, COMPRESSION_ZSTD = 3 };
enum { COMPRESSIONS = 4 };

/* Writes `from`, compressed, to out; returns the bytes, 0 when they are more than room or the library failed. */
size_t compress_bytes(enum compression how, struct bytes from, uint8_t *out, size_t room);

#endif
