#include "tls/compression.h"

#include <brotli/encode.h>
#include <zlib.h>
#include <zstd.h>

/* A tenth of a millisecond each: thousands of certificates are compressed when a configuration is read, and what the best levels
 * gain (four milliseconds in brotli) is three bytes in a hundred. */
enum { ZLIB_LEVEL = 9, BROTLI_QUALITY = 9, BROTLI_WINDOW_BITS = 15, ZSTD_LEVEL = 9 };

static size_t by_zlib(struct bytes from, uint8_t *out, size_t room)
{
    uLongf bytes = (uLongf)room;

    return compress2(out, &bytes, from.at, (uLong)from.size, ZLIB_LEVEL) == Z_OK ? (size_t)bytes : 0;
}

static size_t by_brotli(struct bytes from, uint8_t *out, size_t room)
{
    size_t bytes = room;

    return BrotliEncoderCompress(BROTLI_QUALITY, BROTLI_WINDOW_BITS, BROTLI_MODE_GENERIC, from.size, from.at, &bytes,
                                 out)
               ? bytes
               : 0;
}

static size_t by_zstd(struct bytes from, uint8_t *out, size_t room)
{
    size_t bytes = ZSTD_compress(out, room, from.at, from.size, ZSTD_LEVEL);

    return ZSTD_isError(bytes) ? 0 : bytes;
}

size_t compress_bytes(enum compression how, struct bytes from, uint8_t *out, size_t room)
{
    switch (how) {
    case COMPRESSION_ZLIB:
        return by_zlib(from, out, room);
    case COMPRESSION_BROTLI:
        return by_brotli(from, out, room);
    case COMPRESSION_ZSTD:
        return by_zstd(from, out, room);
    default:
        return 0;
    }
}
