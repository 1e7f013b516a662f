#include "tls/random.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdint.h>
#include <string.h>

#include "base/generation.h"

enum { BLOCK = 4096 };

int random_bytes(void *out, size_t size)
{
    static _Thread_local uint8_t block[BLOCK];
    static _Thread_local size_t left;
    static _Thread_local unsigned generation;
    unsigned now = fork_generation();

    if (size > BLOCK)
        return RAND_bytes(out, (int)size) == 1 ? 0 : -E_CRYPTO;
    if (left < size || generation != now) {
        left = 0;
        if (RAND_bytes(block, BLOCK) != 1)
            return -E_CRYPTO;
        left = BLOCK;
        generation = now;
    }
    left -= size;
    memcpy(out, block + left, size);
    OPENSSL_cleanse(block + left, size);
    return 0;
}
