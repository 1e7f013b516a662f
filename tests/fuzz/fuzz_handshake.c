/* fuzz_handshake.c: a server of our own engine and any bytes from its client. The first byte chooses the server, the second how the rest is cut.
 * Nobody who has no keys comes to the end; all at once or in pieces, the verdict is the same. */
#include "handshake_server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct verdict {
    int result;
    uint8_t alert;
};

static struct verdict judge(enum server_kind kind, struct bytes all, size_t step)
{
    struct verdict verdict = { -E_AGAIN, 0 };
    struct server s = { .result = -E_AGAIN };
    size_t taken = 0, given = 0;

    while (s.result == -E_AGAIN && given < all.size) {
        struct bytes in;

        given = all.size - given < step ? all.size : given + step;
        in = bytes_part(all, taken, given - taken);
        if (!s.h) {
            if (server_begin(&s, kind, in)) {
                server_run(&s, &in);
                taken = given - in.size;
            } else if (s.result != -E_AGAIN) { /* else it is not whole yet, or OpenSSL's */
                verdict.alert = s.alert;
            }
            continue;
        }
        server_run(&s, &in);
        taken = given - in.size;
        buffer_consume(&s.out, buffer_used(&s.out));
        buffer_compact(&s.out);
    }
    CHECK(s.result != 0);
    verdict.result = s.result;
    if (s.h && s.result != -E_AGAIN) {
        struct tls_failure failure;
        handshake_failure(s.h, &failure);
        verdict.alert = failure.alert;
    }
    server_end(&s);
    return verdict;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct verdict whole, pieces;
    struct bytes all;

    make_servers();
    if (size < 3 || size > 20000)
        return 0;
    all = bytes_of(data + 2, size - 2);
    whole = judge(data[0] % SERVER_KINDS, all, SIZE_MAX);
    if (data[1] == 0 || all.size / data[1] > 300)
        return 0;
    pieces = judge(data[0] % SERVER_KINDS, all, data[1]);
    CHECK(whole.result == pieces.result && whole.alert == pieces.alert);
    return 0;
}
