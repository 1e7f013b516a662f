/* PROXY protocol headers: whole and in pieces they read the same, never a byte beyond their end counts, and what was read
 * is read the same again after it was written. */
#include <stdlib.h>

#include "base/check.h"
#include "http/proxy_protocol.h"

enum { MOST = 16384 };

/* In memory of its own, so that a read past the end is seen. */
static int read_alone(struct bytes in, struct proxy_header *h)
{
    static uint8_t *copy; /* the views of h stay valid until the next call */

    free(copy);
    copy = malloc(in.size + 1);
    CHECK(copy);
    if (in.size)
        memcpy(copy + 1, in.at, in.size);
    return proxy_header_read(bytes_of(copy + 1, in.size), MOST, h);
}

static bool same_address(const struct address *a, const struct address *b)
{
    if (a->size == 0 || b->size == 0)
        return a->size == b->size;
    return address_equal(a, b);
}

static void check_same(const struct proxy_header *a, const struct proxy_header *b)
{
    CHECK(a->is_local == b->is_local && a->has_checksum == b->has_checksum);
    CHECK(same_address(&a->source, &b->source) && same_address(&a->destination, &b->destination));
    CHECK(bytes_equal(a->alpn, b->alpn) && bytes_equal(a->authority, b->authority));
    CHECK(bytes_equal(a->unique_id, b->unique_id) && bytes_equal(a->namespace, b->namespace));
    CHECK(a->tls.is_told == b->tls.is_told && a->tls.over_tls == b->tls.over_tls && a->tls.verified == b->tls.verified);
    CHECK(a->tls.certificate_now == b->tls.certificate_now && a->tls.certificate_before == b->tls.certificate_before);
    CHECK(bytes_equal(a->tls.version, b->tls.version) && bytes_equal(a->tls.cipher, b->tls.cipher));
    CHECK(bytes_equal(a->tls.common_name, b->tls.common_name));
    CHECK(bytes_equal(a->tls.signature_algorithm, b->tls.signature_algorithm));
    CHECK(bytes_equal(a->tls.key_algorithm, b->tls.key_algorithm));
}

static void check_round_trip(const struct proxy_header *h)
{
    static uint8_t out[2 * MOST];
    struct proxy_header back;
    int size = proxy_header_write(h, out, sizeof out);

    CHECK(size > 0 && proxy_header_read(bytes_of(out, (size_t)size), sizeof out, &back) == size);
    if (h->version == 2) {
        check_same(h, &back);
        return;
    }
    CHECK(size <= PROXY_V1_MOST && same_address(&h->source, &back.source));
    CHECK(same_address(&h->destination, &back.destination));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy_header h, other;
    struct bytes in = bytes_of(data, size);
    int n = proxy_header_read(in, MOST, &h);

    CHECK(n == -E_AGAIN || n == -E_NOT_PROXY || n == -E_PROXY_HEADER || n == -E_PROXY_CHECKSUM || n == -E_LIMIT ||
          (n > 0 && (size_t)n <= size && n <= MOST));
    for (size_t part = 0; part <= size && part <= 600; part++) {
        int m = read_alone(bytes_part(in, 0, part), &other);
        if (n > 0 && part < (size_t)n)
            CHECK(m == -E_AGAIN);
        else if (n > 0)
            CHECK(m == n);
        else
            CHECK(m == n || m == -E_AGAIN); /* what is wrong stays wrong, in the same way */
        if (m > 0)
            check_same(&h, &other);
    }
    if (n > 0) {
        CHECK(read_alone(bytes_part(in, 0, (size_t)n), &other) == n);
        check_same(&h, &other);
        check_round_trip(&h);
    }
    return 0;
}
