/* proxied.c: the PROXY protocol header that a session's servers get. */
#include "proxy/proxied.h"

#include <stdio.h>

/* What a proxy before us said, where it said anything. */
static struct proxy_header told_to_us(const struct session *s)
{
    struct proxy_header h = { 0 };

    if (s->via) /* it was read once already, with a limit of its own */
        CHECK(proxy_header_read(bytes_of(s->via->header, s->via->header_bytes), PROXY_V2_MOST, &h) ==
              s->via->header_bytes);
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
        .certificate_now = s->facts.has_client_certificate && !s->facts.resumed,
        .certificate_before = s->facts.has_client_certificate,
        .verified = s->facts.client_verified,
        .version = bytes_of_text(s->facts.version_name),
        .cipher = bytes_of_text(s->facts.cipher),
    };
    if (s->facts.has_client_certificate)
        h->tls.common_name = tls_session_client_name(connection_tls(s->connection), name);
    h->authority = s->has_sni ? bytes_of(s->sni.text, s->sni.size) : BYTES_NONE;
}

static void pass_on_tls(const struct proxy_header *told, struct proxy_header *h)
{
    h->authority = bounded(told->authority);
    h->tls = told->tls;
    h->tls.version = bounded(told->tls.version);
    h->tls.cipher = bounded(told->tls.cipher);
    h->tls.common_name = bounded(told->tls.common_name);
    h->tls.signature_algorithm = h->tls.key_algorithm = BYTES_NONE;
}

size_t session_write_proxy_header(const struct session *s, int version, const struct proxy_words *words, uint8_t *out)
{
    struct proxy_header told = told_to_us(s);
    struct proxy_header h = {
        .version = (uint8_t)version, .source = s->peer, .destination = told.destination, .has_checksum = true
    };
    char name[256];
    int size;

    if (told.source.size == 0)
        connection_local_address(s->connection, &h.destination);
    h.alpn = bounded(words->alpn);
    h.unique_id = told.unique_id.size ? told.unique_id : bytes_part(words->unique_id, 0, PROXY_UNIQUE_ID_MOST);
    if (s->secure)
        tell_own_tls(s, name, &h);
    else if (s->via)
        pass_on_tls(&told, &h);
    size = proxy_header_write(&h, out, PROXY_WRITTEN_MOST);
    CHECK(size > 0);
    return (size_t)size;
}
