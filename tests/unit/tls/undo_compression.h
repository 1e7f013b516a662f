/* undo_compression.h: what compression.h has made smaller, as it was: by the libraries' own decompressors. */
#ifndef TESTS_TLS_UNDO_COMPRESSION_H
#define TESTS_TLS_UNDO_COMPRESSION_H

#include <brotli/decode.h>
#include <zlib.h>
#include <zstd.h>

#include "tls/compression.h"

/* Returns the bytes written, 0 when it cannot be undone. */
static inline size_t undo_compression(enum compression how, struct bytes from, uint8_t *out, size_t room)
{
    uLongf zlib_bytes = (uLongf)room;
    size_t bytes = room;

    switch (how) {
    case COMPRESSION_ZLIB:
        return uncompress(out, &zlib_bytes, from.at, (uLong)from.size) == Z_OK ? zlib_bytes : 0;
    case COMPRESSION_BROTLI:
        return BrotliDecoderDecompress(from.size, from.at, &bytes, out) == BROTLI_DECODER_RESULT_SUCCESS ? bytes : 0;
    case COMPRESSION_ZSTD:
        bytes = ZSTD_decompress(out, room, from.at, from.size);
        return ZSTD_isError(bytes) ? 0 : bytes;
    default:
        return 0;
    }
}

#endif
