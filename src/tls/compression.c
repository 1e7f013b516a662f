#include "tls/compression.h"

#include <brotli/encode.h>
#include <zlib.h>
#include <zstd.h>

static size_t by_zlib(struct bytes from, uint8_t *out, size_t room)
{
    uLongf bytes = (uLongf)room;

    return compress2(out, &bytes, from.at, (uLong)from.size, Z_BEST_COMPRESSION) == Z_OK ? (size_t)bytes : 0;
}

static size_t by_brotli(struct bytes from, uint8_t *out, size_t room)
{
    size_t bytes = room;

    return BrotliEncoderCompress(BROTLI_MAX_QUALITY, BROTLI_DEFAULT_WINDOW, BROTLI_MODE_GENERIC, from.size, from.at,
                                 &bytes, out)
               ? bytes
               : 0;
}

static size_t by_zstd(struct bytes from, uint8_t *out, size_t room)
{
    size_t bytes = ZSTD_compress(out, room, from.at, from.size, 19);

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
