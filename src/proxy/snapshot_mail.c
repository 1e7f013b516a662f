/* snapshot_mail.c: listeners that speak in clear text first (STARTTLS). What is said there is said before any host was
 * named, so that all of a listener's hosts speak the same. */
#include <unistd.h>

#include "base/check.h"
#include "proxy/snapshot_build.h"

/* The first certificate's first name that is one host's, else this machine's. */
static const char *standard_name(struct builder *b, const struct snapshot_listener *l)
{
    const struct certificate *c = l->certificate_count ? l->certificates[0] : NULL;
    char name[HOSTNAME_MOST + 1] = "";
    struct hostname parsed;

    for (size_t i = 0; c && i < c->name_count; i++)
        if (!c->names[i].is_pattern && !c->names[i].is_address)
            return c->names[i].text;
    if (gethostname(name, sizeof name - 1) < 0 || hostname_parse(bytes_of_text(name), &parsed) < 0)
        return "localhost";
    return arena_text(b->arena, bytes_of_text(name));
}

static const char *given_name(struct builder *b, const struct listener_options *o)
{
    struct hostname name;

    if (hostname_parse(bytes_of_text(o->greeting_name), &name) < 0)
        build_error(b, &o->greeting_name, "\"%s\" is no host name: write one like mail.example.org", o->greeting_name);
    return o->greeting_name;
}

static void check_mail(struct builder *b, const struct snapshot_listener *l)
{
    const struct listener_options *o = l->options;
    const char *name = service_name(o->protocol);

    if (!l->tls && o->redirect == REDIRECT_NONE)
        build_error(b, &o->tls,
                    "STARTTLS is what `protocol: %s` is for: remove `tls: off`, or write `protocol: tcp` for plain "
                    "connections",
                    name);
    if (o->by_alpn.count)
        build_error(b, &o->by_alpn,
                    "whoever comes here has begun to speak %s already: make a listener of its own for other protocols",
                    name);
    for (size_t i = 0; i < o->hosts.count; i++) {
        const struct host_options *h = OPTION_ITEM(struct host_options, &o->hosts, i);
        if (h->protocol != SERVICE_INHERITED)
            build_error(b, &h->protocol,
                        "whoever comes here has begun to speak %s already, before a host was named: remove `protocol`",
                        name);
    }
}

void build_mail(struct builder *b, struct snapshot_listener *l)
{
    const struct listener_options *o = l->options;

    if (service_is_mail(o->protocol)) {
        check_mail(b, l);
        l->greeting_name = o->greeting_name ? given_name(b, o) : standard_name(b, l);
        CHECK(l->greeting_name);
    } else if (o->greeting_name) {
        build_error(b, &o->greeting_name,
                    "only mail has a greeting: write `protocol: smtp`, `imap` or `pop3`, or remove `greeting_name`");
    }
}
