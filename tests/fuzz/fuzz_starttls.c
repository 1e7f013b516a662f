/* The clear text before TLS. The first byte chooses the protocol, and whether the rest is a client's lines or a server's
 * greeting; the second one how it is cut into pieces. What must hold:
 *   - in pieces or at once, the same is said, but that what follows STARTTLS can only be refused when it is there;
 *   - TLS begins only where nothing follows;
 *   - what we say are lines of our own words: no control byte, and of the client's bytes an IMAP tag alone. */
#include <stdlib.h>

#include "base/check.h"
#include "http/starttls.h"

enum { IS_GREETING = 4, SAID_MOST = (STARTTLS_COMMANDS_MOST + 1) * STARTTLS_ANSWER_MOST };

struct outcome {
    int result;
    size_t used, said_size;
    char said[SAID_MOST];
};

static size_t piece(uint32_t *seed, size_t left)
{
    size_t size;

    if (*seed == 0)
        return left;
    *seed = *seed * 1664525 + 1013904223;
    size = (*seed >> 24) % 13 + 1;
    return size < left ? size : left;
}

/* A copy of its own, so that the sanitizer sees what is read beyond it. */
static struct bytes alone(struct bytes b)
{
    uint8_t *copy = malloc(b.size ? b.size : 1);

    CHECK(copy);
    if (b.size)
        memcpy(copy, b.at, b.size);
    return bytes_of(copy, b.size);
}

static void check_answer(const struct starttls_answer *a)
{
    CHECK(a->size >= 2 && a->text[a->size - 1] == '\n');
    for (size_t i = 0; i < a->size; i++) {
        CHECK((a->text[i] >= ' ' && a->text[i] < 0x7f) || a->text[i] == '\r' || a->text[i] == '\n');
        CHECK((a->text[i] == '\r') == (i + 1 < a->size && a->text[i + 1] == '\n'));
    }
}

static void talk(enum mail_protocol protocol, struct bytes in, uint32_t seed, struct outcome *o)
{
    struct starttls s;
    struct starttls_answer a;
    size_t have = 0;

    *o = (struct outcome){ .result = -E_AGAIN };
    starttls_start(&s, protocol, "mail.example.org");
    while (true) {
        struct bytes copy = alone(bytes_part(in, o->used, have - o->used));
        size_t used = 0;

        o->result = starttls_take(&s, copy, &used, &a);
        free((void *)copy.at);
        if (o->result != -E_AGAIN) {
            check_answer(&a);
            CHECK(o->said_size + a.size <= sizeof o->said);
            memcpy(o->said + o->said_size, a.text, a.size);
            o->said_size += a.size;
        }
        if (o->result >= 0) {
            CHECK(used >= 2 && used <= copy.size);
            o->used += used;
        }
        if (o->result == STARTTLS_ANSWERED)
            continue;
        if (o->result == STARTTLS_BEGIN)
            CHECK(o->used == have);
        if (o->result != -E_AGAIN || have == in.size)
            return;
        have += piece(&seed, in.size - have);
    }
}

static void read_greeting(enum mail_protocol protocol, struct bytes in, uint32_t seed)
{
    struct bytes copy = alone(in), refusal = BYTES_NONE, none = BYTES_NONE;
    int whole = starttls_read_greeting(protocol, copy, &refusal), parts = -E_AGAIN;

    CHECK(whole <= (int)copy.size && whole != 0);
    CHECK((refusal.size > 0) == (whole == -E_REFUSED) && refusal.size <= copy.size);
    free((void *)copy.at);
    for (size_t have = 0; parts == -E_AGAIN && have < in.size;) {
        have += piece(&seed, in.size - have);
        copy = alone(bytes_part(in, 0, have));
        parts = starttls_read_greeting(protocol, copy, &none);
        free((void *)copy.at);
    }
    CHECK(parts == whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct outcome whole, pieces;
    enum mail_protocol protocol;
    struct bytes in;

    if (size < 2)
        return 0;
    in = bytes_of(data + 2, size - 2);
    protocol = (enum mail_protocol)((data[0] & 3) % 3);
    if (data[0] & IS_GREETING) {
        read_greeting(protocol, in, 1 + data[1]);
        return 0;
    }
    talk(protocol, in, 0, &whole);
    talk(protocol, in, 1 + data[1], &pieces);
    if (whole.result == -E_PIPELINED && pieces.result == STARTTLS_BEGIN)
        return 0;
    CHECK(whole.result == pieces.result && whole.used == pieces.used);
    CHECK(whole.said_size == pieces.said_size && memcmp(whole.said, pieces.said, whole.said_size) == 0);
    return 0;
}
