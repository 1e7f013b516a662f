/* batch: what public-key work costs by how much of it comes together: microseconds of processor time per operation when 1 to 16
 * of a kind are handed in to one batch (src/tls/batch.h), through OpenSSL alone and with the multi-buffer library. From the two
 * columns for one operation and the one for eight follows from how many on the library is worth its call: the constants
 * X25519_LANES_LEAST (key_share.c) and lanes_least (sign_rsa.c).
 * usage: batch [MILLISECONDS PER FIGURE] */
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "tls/key_share.h"
#include "tls/multi_buffer.h"
#include "tls/signer.h"

enum { MOST = 16, ROUNDS = 5 };

static struct key_agreement agreements[MOST];
static struct signature signatures[MOST];

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static void done(struct batch_job *job)
{
}

/* ---- Kinds of work ---- */

struct kind {
    const char *name;
    uint16_t group;
    const char *curve; /* the group's */
    const char *key;   /* a signer's; else NULL */
    unsigned bits;
    struct signer *signer;
    uint8_t share[1216];
    size_t share_bytes;
};

static struct kind kinds[] = {
    { .name = "X25519", .group = GROUP_X25519 },
    { .name = "X25519MLKEM768", .group = GROUP_X25519MLKEM768 },
    { .name = "ECDH P-256", .group = GROUP_P256, .curve = "P-256" },
    { .name = "ECDH P-384", .group = GROUP_P384, .curve = "P-384" },
    { .name = "ECDSA P-256", .key = "P-256" },
    { .name = "ECDSA P-384", .key = "P-384" },
    { .name = "Ed25519", .key = "ED25519" },
    { .name = "RSA-2048", .key = "RSA", .bits = 2048 },
    { .name = "RSA-3072", .key = "RSA", .bits = 3072 },
    { .name = "RSA-4096", .key = "RSA", .bits = 4096 },
};

static size_t add_raw(const char *algorithm, uint8_t *out)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, algorithm);
    size_t size = sizeof kinds[0].share;

    CHECK(EVP_PKEY_get_raw_public_key(key, out, &size) == 1);
    EVP_PKEY_free(key);
    return size;
}

static void prepare(struct kind *k)
{
    EVP_PKEY *key;

    if (k->key) {
        key = k->bits            ? EVP_RSA_gen(k->bits)
              : k->key[0] == 'P' ? EVP_EC_gen(k->key)
                                 : EVP_PKEY_Q_keygen(NULL, NULL, k->key);
        k->signer = signer_new(key);
        CHECK(k->signer);
        EVP_PKEY_free(key);
    } else if (k->curve) {
        unsigned char *point;

        key = EVP_EC_gen(k->curve);
        k->share_bytes = EVP_PKEY_get1_encoded_public_key(key, &point);
        memcpy(k->share, point, k->share_bytes);
        OPENSSL_free(point);
        EVP_PKEY_free(key);
    } else {
        if (k->group == GROUP_X25519MLKEM768)
            k->share_bytes = add_raw("ML-KEM-768", k->share);
        k->share_bytes += add_raw("X25519", k->share + k->share_bytes);
    }
}

/* Hands in so many and has them worked off. */
static void work(struct batch *b, const struct kind *k, unsigned count)
{
    size_t schemes;

    for (unsigned i = 0; i < count; i++) {
        if (k->signer) {
            signatures[i] = (struct signature){ .job.done = done,
                                                .scheme = signer_schemes(k->signer, &schemes)[0],
                                                .content = bytes_of(k->share, 130) };
            signer_start(b, k->signer, &signatures[i]);
        } else {
            agreements[i] = (struct key_agreement){ .job.done = done,
                                                    .group = k->group,
                                                    .client_share = bytes_of(k->share, k->share_bytes) };
            key_agreement_start(b, &agreements[i]);
        }
    }
    batch_run(b);
    for (unsigned i = 0; i < count; i++)
        CHECK((k->signer ? signatures[i].error : agreements[i].error) == 0);
}

/* The least of some rounds: what disturbs only adds. */
static double measure(struct batch *b, const struct kind *k, unsigned count, double us_per_figure)
{
    double least = 0;

    work(b, k, count);
    for (int round = 0; round < ROUNDS; round++) {
        double start = now(), spent;
        unsigned operations = 0;

        do {
            work(b, k, count);
            operations += count;
            spent = now() - start;
        } while (spent < us_per_figure / ROUNDS || operations < LANES);
        if (round == 0 || spent / operations < least)
            least = spent / operations;
    }
    return least;
}

int main(int argc, char **argv)
{
    static const unsigned counts[] = { 1, 2, 3, 4, 5, 6, 7, 8, 16 };
    double us = (argc > 1 ? strtod(argv[1], NULL) : 50) * 1000;
    struct batch *alone = batch_new(NULL), *together = batch_new(multi_buffer());

    CHECK(alone && together && us > 0);
    printf("us per operation; multi-buffer library: %s\n", multi_buffer() ? "yes" : multi_buffer_absence());
    printf("%-15s %8s", "", "OpenSSL");
    for (size_t i = 0; i < COUNT_OF(counts); i++)
        printf(" %6u%s", counts[i], i + 1 < COUNT_OF(counts) ? "" : "  at a time\n");
    for (size_t k = 0; k < COUNT_OF(kinds); k++) {
        if (!kinds[k].key && !key_share_has(kinds[k].group))
            continue;
        prepare(&kinds[k]);
        printf("%-15s %8.1f", kinds[k].name, measure(alone, &kinds[k], 1, us));
        for (size_t i = 0; i < COUNT_OF(counts); i++)
            printf(" %6.1f", measure(together, &kinds[k], counts[i], us));
        printf("\n");
        fflush(stdout);
        signer_free(kinds[k].signer);
    }
    batch_free(alone);
    batch_free(together);
    return 0;
}
