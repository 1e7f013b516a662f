#include "upstream/link.h"

#include "net/socket.h"
#include "upstream/h1_client.h"

/* A kept connection that was made in the same way, or NULL. */
static struct h1_client *take_kept(struct backend *b, const struct link_request *request)
{
    struct h1_client *c;

    while ((c = backend_take_idle(b)) != NULL) {
        bool fits = c->plan_identity == request->plan->identity;

        if (fits && (!request->fragile || socket_is_quiet(c->wire.connection->watch.fd)))
            return c;
        h1_client_close(c);
    }
    return NULL;
}

struct link *backend_link(struct backend *b, const struct link_request *request, int *ret_error)
{
    struct h1_client *c = request->fresh || request->preface.size ? NULL : take_kept(b, request);

    if (c)
        h1_client_reuse(c, request);
    else
        c = h1_client_connect(b, request, ret_error);
    return c ? &c->link : NULL;
}
