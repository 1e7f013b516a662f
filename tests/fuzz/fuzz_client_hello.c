/* fuzz_client_hello.c: the ClientHello's parser. The first byte says how the rest is cut into segments: whatever arrives
 * in parts must be judged as when it arrives at once, and an early verdict must stand. */
#include <stdint.h>
#include <stdlib.h>

#include "base/check.h"
#include "tls/client_hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_views(const struct client_hello *h)
{
    struct bytes views[] = { h->random, h->session_id, h->cipher_suites, h->alpn, h->supported_versions,
                             h->supported_groups, h->signature_algorithms, h->signature_algorithms_cert, h->key_shares,
                             h->server_name_wire };

    for (size_t i = 0; i < COUNT_OF(views); i++)
        if (views[i].size)
            CHECK(views[i].at >= h->message.at && views[i].at + views[i].size <= h->message.at + h->message.size);
    CHECK(h->message.size <= CLIENT_HELLO_MOST && h->random.size == 32 && h->cipher_suites.size % 2 == 0);
    (void)client_hello_offers_version(h, 0x0304);
    (void)client_hello_offers_signature(h, 0x0403);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct client_hello whole, part;
    struct arena arena;
    uint8_t whole_alert = 0, part_alert = 0;
    size_t step;
    int result;

    if (size < 1)
        return 0;
    step = data[0] ? data[0] : size;
    arena_init(&arena, NULL, 1 << 20);
    result = client_hello_read(bytes_of(data + 1, size - 1), &arena, &whole, &whole_alert);
    if (result == 0)
        check_views(&whole);
    for (size_t n = step; n < size - 1; n += step) {
        int early = client_hello_read(bytes_of(data + 1, n), &arena, &part, &part_alert);

        if (early == -E_AGAIN)
            continue;
        CHECK(early == result && (early != -E_TLS || part_alert == whole_alert));
        break;
    }
    arena_reset(&arena);
    return 0;
}
