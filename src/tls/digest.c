#include "tls/digest.h"

#include <openssl/evp.h>

static bool add_piece(EVP_MD_CTX *c, struct bytes piece)
{
    uint64_t size = piece.size;

    return EVP_DigestUpdate(c, &size, sizeof size) == 1 && EVP_DigestUpdate(c, piece.at, piece.size) == 1;
}

int digest_of(const struct bytes *pieces, size_t count, uint8_t ret_digest[DIGEST_BYTES])
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    bool fine = c && EVP_DigestInit_ex(c, EVP_sha256(), NULL) == 1;

    for (size_t i = 0; fine && i < count; i++)
        fine = add_piece(c, pieces[i]);
    fine = fine && EVP_DigestFinal_ex(c, ret_digest, NULL) == 1;
    EVP_MD_CTX_free(c);
    return fine ? 0 : -E_CRYPTO;
}

int digest_sha1(struct bytes data, uint8_t ret_digest[DIGEST_SHA1_BYTES])
{
    return EVP_Digest(data.at, data.size, ret_digest, NULL, EVP_sha1(), NULL) == 1 ? 0 : -E_CRYPTO;
}
