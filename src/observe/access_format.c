/* access_format.c: one line of the access log. Fields are untrusted bytes: what leaves here is always valid UTF-8, one
 * line, and valid JSON where that was asked for, however little room there is. */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "base/check.h"
#include "observe/access_log.h"

/* Bytes of the line that one field may take, escaped. */
enum { FIELD_SHORT = 256, FIELD_HOST = 512, FIELD_LONG = 1024, FIELD_PATH = 4096 };

struct writer {
    char *out;
    size_t used, room;
    bool full; /* something did not fit since the flag was last cleared */
};

static const char hex[] = "0123456789abcdef";

static void put(struct writer *w, const char *text, size_t size)
{
    if (w->full || size > w->room - w->used) {
        w->full = true;
        return;
    }
    memcpy(w->out + w->used, text, size);
    w->used += size;
}

static void put_text(struct writer *w, const char *text)
{
    put(w, text, strlen(text));
}

static void put_number(struct writer *w, int64_t n)
{
    char digits[24];
    int size = snprintf(digits, sizeof digits, "%" PRId64, n);

    put(w, digits, (size_t)size);
}

/* The length of the well-formed UTF-8 sequence (Unicode 15, table 3-7) at the front of b, or 0. */
static size_t utf8_sequence(struct bytes b)
{
    static const struct {
        uint8_t first, last, second_least, second_most, size;
    } forms[] = {
        { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
        { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 }, { 0xf0, 0xf0, 0x90, 0xbf, 4 },
        { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
    };

    for (size_t i = 0; i < COUNT_OF(forms); i++) {
        if (b.at[0] < forms[i].first || b.at[0] > forms[i].last)
            continue;
        if (b.size < forms[i].size || b.at[1] < forms[i].second_least || b.at[1] > forms[i].second_most)
            return 0;
        for (size_t k = 2; k < forms[i].size; k++)
            if ((b.at[k] & 0xc0) != 0x80)
                return 0;
        return forms[i].size;
    }
    return 0;
}

/* One character of JSON text from the front of b, into piece; returns the bytes that it used of b. A byte that is not
 * UTF-8 reads as the four characters \xNN. */
static size_t json_piece(struct bytes b, char piece[8], size_t *ret_size)
{
    uint8_t c = b.at[0];
    size_t n;

    if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
        piece[0] = (char)c;
        *ret_size = 1;
        return 1;
    }
    if (c == '"' || c == '\\') {
        piece[0] = '\\';
        piece[1] = (char)c;
        *ret_size = 2;
        return 1;
    }
    if (c < 0x80) { /* control bytes, DEL too */
        memcpy(piece, "\\u00", 4);
        piece[4] = hex[c >> 4];
        piece[5] = hex[c & 15];
        *ret_size = 6;
        return 1;
    }
    n = utf8_sequence(b);
    if (n) {
        memcpy(piece, b.at, n);
        *ret_size = n;
        return n;
    }
    memcpy(piece, "\\\\x", 3);
    piece[3] = hex[c >> 4];
    piece[4] = hex[c & 15];
    *ret_size = 5;
    return 1;
}

/* As nginx and Apache write it: \xNN for what is not printable ASCII, for quotes and for backslashes. */
static size_t combined_piece(struct bytes b, char piece[8], size_t *ret_size)
{
    uint8_t c = b.at[0];

    if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
        piece[0] = (char)c;
        *ret_size = 1;
        return 1;
    }
    memcpy(piece, "\\x", 2);
    piece[2] = hex[c >> 4];
    piece[3] = hex[c & 15];
    *ret_size = 4;
    return 1;
}

/* Escaped, cut between two characters after `most` bytes or where the room (less `reserve`) ends. */
static void put_escaped(struct writer *w, struct bytes b, size_t most, size_t reserve,
                        size_t (*next_piece)(struct bytes b, char piece[8], size_t *ret_size))
{
    size_t start = w->used;

    if (w->full)
        return;
    while (b.size) {
        char piece[8];
        size_t size, took = next_piece(b, piece, &size);

        if (w->used - start + size > most || w->used + size + reserve > w->room)
            return;
        put(w, piece, size);
        b = bytes_from(b, took);
    }
}

/* The date of a second, made once a second and thread: gmtime_r takes a lock that all threads share. */
static const struct tm *utc_of(int64_t seconds)
{
    static _Thread_local int64_t known = INT64_MIN;
    static _Thread_local struct tm utc;
    time_t t = (time_t)seconds;

    if (known != seconds) {
        gmtime_r(&t, &utc);
        known = seconds;
    }
    return &utc;
}

/* ---- JSON ---- */

/* Members are whole or absent: one that does not fit is taken back. The reserve is the closing brace. */
static size_t member_start(struct writer *w, const char *name)
{
    size_t before = w->used;

    w->full = false;
    if (w->used > 1)
        put_text(w, ",");
    put_text(w, "\"");
    put_text(w, name);
    put_text(w, "\":");
    return before;
}

static void member_end(struct writer *w, size_t before)
{
    if (w->full || w->used + 1 > w->room)
        w->used = before;
    w->full = false;
}

static void member_bytes(struct writer *w, const char *name, struct bytes value, size_t most)
{
    size_t before;

    if (!value.size)
        return;
    before = member_start(w, name);
    put_text(w, "\"");
    put_escaped(w, value, most, 2, json_piece);
    put_text(w, "\"");
    member_end(w, before);
}

static void member_text(struct writer *w, const char *name, const char *value)
{
    member_bytes(w, name, bytes_of_text(value), FIELD_SHORT);
}

static void member_number(struct writer *w, const char *name, int64_t value)
{
    size_t before = member_start(w, name);

    put_number(w, value);
    member_end(w, before);
}

static void member_bool(struct writer *w, const char *name, bool value)
{
    size_t before = member_start(w, name);

    put_text(w, value ? "true" : "false");
    member_end(w, before);
}

static void member_phase(struct writer *w, const char *name, int64_t us)
{
    if (us >= 0)
        member_number(w, name, us);
}

static void member_time(struct writer *w, int64_t unix_us)
{
    int64_t seconds = unix_us / 1000000;
    const struct tm *utc = utc_of(seconds);
    char text[64];
    int n = snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", utc->tm_year + 1900, utc->tm_mon + 1,
                     utc->tm_mday, utc->tm_hour, utc->tm_min, utc->tm_sec, (int)(unix_us - seconds * 1000000));

    member_bytes(w, "time", bytes_of(text, (size_t)n), FIELD_SHORT);
}

static const char *version_name(int version)
{
    switch (version) {
    case 10:
        return "HTTP/1.0";
    case 11:
        return "HTTP/1.1";
    case 20:
        return "HTTP/2.0";
    case 30:
        return "HTTP/3.0";
    default:
        return "";
    }
}

static void json_connection(struct writer *w, const struct access_record *r)
{
    char client[ADDRESS_TEXT];

    if (r->client) {
        address_print_host(r->client, client);
        member_text(w, "client", client);
        if (address_port(r->client))
            member_number(w, "client_port", address_port(r->client));
    }
    member_bytes(w, "listener", r->listener, FIELD_SHORT);
}

static void json_tls(struct writer *w, const struct access_record *r)
{
    if (r->tls_version || r->protocol)
        member_bytes(w, "sni", r->sni, FIELD_SHORT);
    if (!r->tls_version)
        return;
    member_text(w, "tls_version", r->tls_version);
    member_text(w, "tls_cipher", r->tls_suite);
    member_text(w, "tls_group", r->tls_group);
    member_bool(w, "tls_resumed", r->tls_resumed);
    member_text(w, "tls_engine", r->tls_engine);
    member_bytes(w, "alpn", r->alpn, FIELD_SHORT);
}

static size_t format_json(const struct access_record *r, struct writer *w)
{
    if (w->room < 2)
        return 0;
    w->room -= 1; /* the closing brace */
    put_text(w, "{");
    member_time(w, r->started_unix_us);
    json_connection(w, r);
    member_bytes(w, "request_id", r->request_id, FIELD_SHORT);
    member_text(w, "protocol", r->protocol);
    if (!r->protocol)
        member_number(w, "status", r->status);
    if (r->grpc_status >= 0)
        member_number(w, "grpc_status", r->grpc_status);
    member_text(w, "error", r->error);
    member_bytes(w, "method", r->method, FIELD_SHORT);
    member_bytes(w, "host", r->authority, FIELD_HOST);
    member_text(w, "http", version_name(r->http_version));
    member_number(w, "request_bytes", (int64_t)r->request_body_bytes);
    member_number(w, "response_bytes", (int64_t)r->response_body_bytes);
    json_tls(w, r);
    member_bytes(w, "upstream", r->upstream, FIELD_SHORT);
    member_bytes(w, "server", r->server, FIELD_SHORT);
    if (r->attempts) {
        member_number(w, "attempts", r->attempts);
        if (!r->protocol)
            member_bool(w, "server_reused", r->server_reused);
    }
    member_phase(w, "handshake_us", r->handshake_us);
    member_phase(w, "head_us", r->head_us);
    member_phase(w, "connect_us", r->connect_us);
    member_phase(w, "response_head_us", r->response_head_us);
    member_phase(w, "total_us", r->total_us);
    member_bytes(w, "path", r->path, FIELD_PATH);
    member_bytes(w, "referer", r->referer, FIELD_LONG);
    member_bytes(w, "user_agent", r->user_agent, FIELD_LONG);
    w->room += 1;
    put_text(w, "}");
    return w->used;
}

/* ---- combined ---- */

/* An empty field is "-". */
static void combined_field(struct writer *w, struct bytes value, size_t most)
{
    put_escaped(w, value.size ? value : BYTES_LITERAL("-"), most, 0, combined_piece);
}

/* The first field stands without quotes, so that a space would end it. */
static size_t client_piece(struct bytes b, char piece[8], size_t *ret_size)
{
    if (b.at[0] != ' ')
        return combined_piece(b, piece, ret_size);
    memcpy(piece, "\\x20", 4);
    *ret_size = 4;
    return 1;
}

static size_t format_combined(const struct access_record *r, struct writer *w)
{
    static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
    const struct tm *utc = utc_of(r->started_unix_us / 1000000);
    char client[ADDRESS_TEXT] = "-", middle[64];

    if (r->client)
        address_print_host(r->client, client);
    put_escaped(w, bytes_of_text(client), FIELD_HOST, 0, client_piece); /* a Unix client chooses its path */
    snprintf(middle, sizeof middle, " - - [%02d/%s/%04d:%02d:%02d:%02d +0000] \"", utc->tm_mday, months[utc->tm_mon],
             utc->tm_year + 1900, utc->tm_hour, utc->tm_min, utc->tm_sec);
    put_text(w, middle);
    combined_field(w, r->protocol ? bytes_of_text(r->protocol) : r->method, FIELD_SHORT);
    if (r->path.size) {
        put_text(w, " ");
        combined_field(w, r->path, FIELD_PATH);
        put_text(w, " ");
        put_text(w, version_name(r->http_version));
    }
    snprintf(middle, sizeof middle, "\" %03d %" PRIu64 " \"", r->status, r->response_body_bytes);
    put_text(w, middle);
    combined_field(w, r->referer, FIELD_LONG);
    put_text(w, "\" \"");
    combined_field(w, r->user_agent, FIELD_LONG);
    put_text(w, "\"");
    return w->used;
}

size_t access_format_line(const struct access_record *r, enum access_format format, char *out, size_t room)
{
    struct writer w = { .out = out, .room = room };

    return format == ACCESS_JSON ? format_json(r, &w) : format_combined(r, &w);
}
