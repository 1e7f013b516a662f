/* proxied.c: the PROXY protocol header that a session's servers get. */
#include "proxy/proxied.h"

#include <stdio.h>

#include "tls/random.h"

/* What a proxy before us said, where it said anything. */
static struct proxy_header told_to_us(const struct session *s)
{
    struct proxy_header h = { 0 };

    if (s->via) /* it was read once already, with a limit of its own */
        CHECK(proxy_header_read(bytes_of(s->via->header, s->via->header_bytes), PROXY_V2_MOST, &h) ==
              (int)s->via->header_bytes);
    return h;
}

/* Texts of another proxy are passed on as far as a header of ours has room for them; a cut name would be another name. */
static struct bytes bounded(struct bytes text)
{
    return text.size <= 255 ? text : BYTES_NONE;
}

static void tell_own_tls(const struct session *s, char name[256], struct proxy_header *h)
{
    h->tls = (struct proxy_tls){
        .is_told = true,
        .over_tls = true,
        .certificate_now = s->facts->has_client_certificate && !s->facts->resumed,
        .certificate_before = s->facts->has_client_certificate,
        .verified = s->facts->client_verified,
        .version = bytes_of_text(s->facts->version_name),
        .cipher = bytes_of_text(s->facts->cipher),
    };
    if (connection_tls(s->connection)) /* it has a name to tell */
        h->tls.common_name = tls_session_client_name(connection_tls(s->connection), name);
}

static void pass_on_tls(const struct proxy_header *told, struct proxy_header *h)
{
    h->tls = told->tls;
    h->tls.version = bounded(told->tls.version);
    h->tls.cipher = bounded(told->tls.cipher);
    h->tls.common_name = bounded(told->tls.common_name);
    h->tls.signature_algorithm = h->tls.key_algorithm = BYTES_NONE;
}

/* What only version 2 has words for. */
static void tell_more(const struct session *s, const struct proxy_words *words, const struct proxy_header *told,
                      char name[256], struct proxy_header *h)
{
    h->has_checksum = true;
    h->alpn = bounded(words->alpn);
    h->unique_id = told->unique_id.size ? told->unique_id : words->unique_id;
    if (h->unique_id.size > PROXY_UNIQUE_ID_MOST)
        h->unique_id = BYTES_NONE;
    h->authority = s->sni_bytes ? session_sni(s) : bounded(told->authority);
    if (s->secure)
        tell_own_tls(s, name, h);
    else if (s->via)
        pass_on_tls(told, h);
}

struct bytes session_preface(const struct session *s, const struct upstream_options *o, const struct proxy_words *words,
                             uint8_t out[PROXY_WRITTEN_MOST])
{
    struct proxy_header told, h;
    char name[256];
    int size;

    if (o->send_proxy == SEND_PROXY_OFF)
        return BYTES_NONE;
    told = told_to_us(s);
    h = (struct proxy_header){
        .version = o->send_proxy == SEND_PROXY_V1 ? 1 : 2,
        .destination = told.destination,
    };
    address_box_get(&s->peer, &h.source);
    if (told.source.size == 0)
        connection_local_address(s->connection, &h.destination);
    if (o->send_proxy == SEND_PROXY_V2)
        tell_more(s, words, &told, name, &h);
    size = proxy_header_write(&h, out, PROXY_WRITTEN_MOST);
    CHECK(size > 0);
    return bytes_of(out, (size_t)size);
}

void proxy_make_id(char id[PROXY_ID_TEXT])
{
    uint8_t random[(PROXY_ID_TEXT - 1) / 2];

    id[0] = '\0';
    if (random_bytes(random, sizeof random) == 0)
        for (size_t i = 0; i < sizeof random; i++)
            snprintf(id + 2 * i, 3, "%02x", random[i]);
}
