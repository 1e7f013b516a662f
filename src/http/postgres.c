#include "http/postgres.h"

enum {
    CODE_CANCEL = 80877102,
    CODE_SSL = 80877103,
    CODE_GSSENC = 80877104,
    SPECIAL_MAJOR = 1234, /* of codes that are no version: CancelRequest and its like */
    TLS_HANDSHAKE_RECORD = 0x16,
    TEXT_MOST = 160,
};

const uint8_t postgres_ssl_request[POSTGRES_REQUEST] = { 0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f };

/* Whether a length has bytes before `at` that no message's length has: then the rest need not be waited for. */
static bool may_be_length(struct bytes in)
{
    if (in.size > 0 && in.at[0] != 0)
        return false;
    return in.size < 2 || in.at[1] == 0;
}

static int exactly(enum postgres_opening kind, struct bytes in, size_t length, size_t least, size_t most)
{
    if (length < least || length > most)
        return -E_SYNTAX;
    return in.size < length ? -E_AGAIN : (int)kind;
}

static uint32_t read_u32(struct cursor *c)
{
    uint32_t high = cursor_u16(c);

    return high << 16 | cursor_u16(c);
}

int postgres_read_opening(struct bytes in, size_t *ret_size)
{
    struct cursor c = cursor_of(in);
    uint32_t length, code;
    int kind;

    if (in.size && in.at[0] == TLS_HANDSHAKE_RECORD) {
        *ret_size = 0;
        return POSTGRES_DIRECT_TLS;
    }
    if (!may_be_length(in))
        return -E_SYNTAX;
    length = read_u32(&c);
    if (c.failed)
        return -E_AGAIN;
    if (length < POSTGRES_REQUEST || length > POSTGRES_STARTUP_MOST)
        return -E_SYNTAX;
    code = read_u32(&c);
    if (c.failed)
        return -E_AGAIN;
    switch (code) {
    case CODE_SSL:
        kind = exactly(POSTGRES_SSL_REQUEST, in, length, POSTGRES_REQUEST, POSTGRES_REQUEST);
        break;
    case CODE_GSSENC:
        kind = exactly(POSTGRES_GSSENC_REQUEST, in, length, POSTGRES_REQUEST, POSTGRES_REQUEST);
        break;
    case CODE_CANCEL:
        kind = exactly(POSTGRES_CANCEL_REQUEST, in, length, POSTGRES_CANCEL_LEAST, POSTGRES_CANCEL_MOST);
        break;
    default:
        kind = code >> 16 == SPECIAL_MAJOR ? -E_SYNTAX : POSTGRES_STARTUP;
    }
    if (kind > 0)
        *ret_size = length;
    return kind;
}

struct writer {
    uint8_t *out;
    size_t used;
};

static void put(struct writer *w, const void *bytes, size_t size)
{
    memcpy(w->out + w->used, bytes, size);
    w->used += size;
}

static void put_field(struct writer *w, char type, const char *text, size_t most)
{
    size_t size = strnlen(text, most);

    put(w, &type, 1);
    put(w, text, size);
    put(w, "", 1);
}

size_t postgres_write_error(const char *code, const char *text, uint8_t out[POSTGRES_ERROR_MOST])
{
    struct writer w = { out, 5 };
    size_t length;

    put_field(&w, 'S', "FATAL", 5);
    put_field(&w, 'V', "FATAL", 5);
    put_field(&w, 'C', code, 5);
    put_field(&w, 'M', text, TEXT_MOST);
    put(&w, "", 1);
    length = w.used - 1;
    out[0] = 'E';
    out[1] = out[2] = 0;
    out[3] = (uint8_t)(length >> 8);
    out[4] = (uint8_t)length;
    return w.used;
}
