/* A connection's records, as a peer that holds the keys may make them. The first byte chooses suite, role and limit; then
 * each step is a byte that says what happens, and one how much. What must hold:
 *   - what is given out is what the peer sent as content, in its order, and nothing of or behind a record that was spoiled;
 *   - an end and an error stay, an alert is owed once, and what is answered are whole records that open;
 *   - while no error came, nothing is missing once all has been opened. */
#include <stdlib.h>

#include "base/check.h"
#include "tls/client_hello.h"
#include "tls/records.h"

enum { CONTENT_MOST = 1 << 18, ROOM_MOST = 1 << 16, STEPS_MOST = 400 };
enum what { SEAL, SEAL_PADDED, SEAL_SPOILED, RAW, OPEN, ANSWER, SEND, FINISH };

struct machine {
    struct tls_records r;
    struct record_keys peer, reader; /* the other side of r.read and of r.write */
    struct buffer cipher, out;
    size_t sent, given, limit;       /* content: sent, given out, and how much of it may be at most */
    bool spoiled, is_client;
    int ended;
};

static struct aead_cache *cache;
static struct buffer_pool *pool;
static uint8_t content[CONTENT_MOST];

static const struct {
    uint16_t version;
    uint8_t aead;
} kinds[] = { { 0x0303, AEAD_AES_128_GCM }, { 0x0303, AEAD_AES_256_GCM }, { 0x0303, AEAD_CHACHA20_POLY1305 },
              { 0x0304, AEAD_AES_128_GCM }, { 0x0304, AEAD_AES_256_GCM }, { 0x0304, AEAD_CHACHA20_POLY1305 } };

/* The peer's key is the one that we are at, as long as it has not sent what we have not seen. */
static void follow(struct record_keys *to, const struct record_keys *from, bool is_sealing)
{
    aead_release(cache, &to->holder);
    *to = (struct record_keys){ .key = from->key, .version = from->version, .aead = from->aead, .is_sealing = is_sealing };
}

static void open_some(struct machine *m, size_t room)
{
    static uint8_t plain[ROOM_MOST];
    size_t before = buffer_used(&m->cipher);
    int n = records_open(&m->r, &m->cipher, plain, room);

    CHECK(buffer_used(&m->cipher) <= before);
    CHECK(m->ended == 1 || n == m->ended); /* 1: not yet */
    if (n > 0) {
        CHECK((size_t)n <= room && m->given + (size_t)n <= m->limit);
        CHECK(memcmp(plain, content + m->given, (size_t)n) == 0);
        m->given += (size_t)n;
    } else if (n != -E_AGAIN) {
        m->ended = n;
        CHECK(n == 0 || n == -E_TLS || n == -E_TLS_ALERT || n == -E_FLOOD);
        CHECK(records_have_more(&m->r));
    } else {
        CHECK(room == 0 || !records_have_more(&m->r));
        if (room > 0 && buffer_used(&m->cipher) == 0)
            CHECK(m->given == m->sent && !m->spoiled);
    }
}

/* Everything that is opened before the peer goes on, so that it knows which key is at hand. */
static void catch_up(struct machine *m, size_t room)
{
    size_t given;

    do {
        given = m->given;
        open_some(m, room);
    } while (m->given > given);
    follow(&m->peer, &m->r.read, true);
}

static bool has_room(const struct machine *m, size_t bytes)
{
    return buffer_room(&m->cipher) >= bytes + RECORD_OVERHEAD_MOST;
}

static void seal(struct machine *m, uint8_t type, const uint8_t *inner, size_t bytes)
{
    struct bytes plain = bytes_of(inner, bytes);
    int n;

    if (!has_room(m, bytes))
        return;
    if (type == CONTENT_APPLICATION_DATA) {
        if (m->sent + bytes > sizeof content)
            return;
        plain = bytes_of(content + m->sent, bytes);
    }
    n = record_seal(cache, &m->peer, type, plain, m->cipher.data + m->cipher.end);
    CHECK(n > 0);
    buffer_commit(&m->cipher, (size_t)n);
    if (type == CONTENT_APPLICATION_DATA)
        m->sent += bytes;
}

/* TLS 1.3: content, its type and zeros, where record_seal's own type is the last of them. */
static void seal_padded(struct machine *m, uint8_t type, size_t bytes, size_t zeros)
{
    static uint8_t inner[ROOM_MOST];

    if (m->sent + bytes > sizeof content || m->peer.version != 0x0304 || m->sent != m->limit ||
        !has_room(m, bytes + 1 + zeros))
        return;
    memset(inner, 0, bytes + zeros + 1);
    memcpy(inner, content + m->sent, bytes);
    inner[bytes] = type;
    if (type == CONTENT_APPLICATION_DATA)
        m->sent += bytes;
    seal(m, 0, inner, bytes + 1 + zeros);
}

/* A record of any bytes. Where they come to be content, they are replaced by what is next of it. */
static void seal_any(struct machine *m, uint8_t type, struct bytes any)
{
    uint8_t inner[16];
    size_t n = any.size;

    if (!has_room(m, n))
        return;
    memcpy(inner, any.at, n);
    if (type == 0 && m->peer.version == 0x0304) {
        while (n > 0 && inner[n - 1] == 0)
            n--;
        if (n > 0 && inner[n - 1] == CONTENT_APPLICATION_DATA) {
            if (m->sent + n > sizeof content)
                return;
            memcpy(inner, content + m->sent, n - 1);
            m->sent += n - 1;
        }
    }
    seal(m, type, inner, any.size);
}

static void spoil(struct machine *m, const struct buffer *before, size_t which)
{
    size_t bytes = buffer_used(&m->cipher) - buffer_used(before);

    if (bytes == 0)
        return;
    m->cipher.data[m->cipher.end - bytes + which % bytes] ^= (uint8_t)(1 << which % 8);
    m->spoiled = true;
}

/* What we said: whole records that open, under keys that follow ours. Nothing follows an alert, but for close_notify behind the
 * refusal of a renegotiation, which is a warning (RFC 5246 7.2.1). */
static void read_said(struct machine *m)
{
    static uint8_t plain[ROOM_MOST];
    enum content_type type = 0;
    uint8_t alert = 0;

    while (buffer_used(&m->out)) {
        struct bytes all = buffer_content(&m->out);
        size_t size = RECORD_HEADER + (size_t)(all.at[3] << 8 | all.at[4]);
        int n;

        CHECK(all.size >= RECORD_HEADER && size <= all.size);
        CHECK(type != CONTENT_ALERT || alert == ALERT_NO_RENEGOTIATION);
        n = record_open(cache, &m->reader, bytes_of(all.at, size), plain, &type);
        CHECK(n >= 0 && (type != CONTENT_ALERT || n == 2));
        CHECK(alert == 0 || (type == CONTENT_ALERT && plain[1] == ALERT_CLOSE_NOTIFY));
        if (type == CONTENT_ALERT)
            alert = plain[1];
        if (type == CONTENT_HANDSHAKE) {
            struct traffic_keys kind = { .version = 0x0304, .aead = m->reader.aead, .secret_bytes = m->r.secret_bytes };
            CHECK(n == 5 && memcmp(plain, "\x18\0\0\1\0", 5) == 0);
            aead_release(cache, &m->reader.holder);
            CHECK(traffic_key_update(&kind, &m->reader.key) == 0);
        }
        buffer_consume(&m->out, size);
    }
}

static void answer(struct machine *m)
{
    if (!records_owes(&m->r))
        return;
    CHECK(records_answer(&m->r, &m->out) == 0 && !records_owes(&m->r));
    read_said(m);
}

static void send(struct machine *m, size_t bytes, bool staged)
{
    if (m->r.finished)
        return;
    if (staged) {
        bytes = bytes < records_piece(&m->r) ? bytes : records_piece(&m->r);
        memcpy(records_stage(&m->r, &m->out), content, bytes);
        CHECK(records_seal_staged(&m->r, bytes, &m->out) == 0);
    } else {
        size_t most = records_sealed_size(&m->r, bytes);
        CHECK(records_seal(&m->r, bytes_of(content, bytes), &m->out) == 0 && buffer_used(&m->out) <= most);
    }
    read_said(m);
}

static void step(struct machine *m, struct cursor *script)
{
    uint8_t what = cursor_u8(script), much = cursor_u8(script);
    size_t bytes = (size_t)much * much / 4;
    struct buffer before;

    if ((what & 8) == 0)
        catch_up(m, (size_t)much + 1);
    before = m->cipher;
    switch (what & 7) {
    case SEAL:
    case SEAL_SPOILED:
        if (what & 16) {
            seal(m, CONTENT_APPLICATION_DATA, NULL, bytes);
        } else {
            struct bytes inner = cursor_bytes(script, (size_t)(what >> 5) + 1);
            if (inner.size)
                seal_any(m, much, inner);
        }
        if ((what & 7) == SEAL_SPOILED)
            spoil(m, &before, much);
        break;
    case SEAL_PADDED:
        what & 16 ? seal_padded(m, CONTENT_APPLICATION_DATA, bytes / 2, (size_t)(what >> 5) * 100)
                  : seal_padded(m, 0, 0, much); /* nothing but padding */
        break;
    case RAW: {
        struct bytes raw = cursor_bytes(script, much % 8);
        if (raw.size && buffer_room(&m->cipher) > raw.size) {
            memcpy(m->cipher.data + m->cipher.end, raw.at, raw.size);
            buffer_commit(&m->cipher, raw.size);
            m->spoiled = true;
        }
        break;
    }
    case OPEN:
        open_some(m, bytes);
        break;
    case ANSWER:
        answer(m);
        break;
    case SEND:
        send(m, bytes, what & 16);
        if (what & 32)
            records_paused(&m->r);
        break;
    case FINISH:
        CHECK(records_finish(&m->r, &m->out) == 0);
        CHECK(!records_owes(&m->r) || m->r.finished);
        read_said(m);
        break;
    }
    if (!m->spoiled)
        m->limit = m->sent;
    if (what & 128)
        buffer_compact(&m->cipher);
}

static void machine_init(struct machine *m, uint8_t first)
{
    const size_t kind = first % COUNT_OF(kinds);
    struct traffic_keys keys = { .version = kinds[kind].version, .aead = kinds[kind].aead, .secret_bytes = 32,
                                 .plain_most = first & 64 ? 512 : RECORD_PLAIN_MOST };

    memset(keys.read.secret, 1, sizeof keys.read.secret);
    memset(keys.write.secret, 2, sizeof keys.write.secret);
    CHECK(traffic_keys_expand(&keys) == 0);
    *m = (struct machine){ .is_client = first & 128, .ended = 1 };
    records_init(&m->r, &keys, m->is_client, cache);
    follow(&m->peer, &m->r.read, true);
    follow(&m->reader, &m->r.write, false);
    CHECK(buffer_reserve_bulk(pool, &m->cipher) == 0 && buffer_reserve(pool, &m->out) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cursor script = cursor_of(bytes_of(data, size));
    struct machine m;

    if (!cache) {
        cache = aead_cache_new(3); /* less than there are directions */
        pool = buffer_pool_new(1 << 20);
        CHECK(cache && pool);
        for (size_t i = 0; i < sizeof content; i++)
            content[i] = (uint8_t)(i * 2654435761u >> 13);
    }
    machine_init(&m, cursor_u8(&script));
    for (int i = 0; i < STEPS_MOST && cursor_left(&script); i++)
        step(&m, &script);
    catch_up(&m, ROOM_MOST);
    CHECK(m.given == m.sent || m.ended != 1 || buffer_used(&m.cipher));
    answer(&m);
    aead_release(cache, &m.peer.holder);
    aead_release(cache, &m.reader.holder);
    records_clear(&m.r);
    buffer_drop(pool, &m.cipher);
    buffer_drop(pool, &m.out);
    return 0;
}
