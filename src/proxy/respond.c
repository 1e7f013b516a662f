#include "proxy/respond.h"

#include "http/grpc.h"
#include "proxy/access.h"
#include "proxy/forward.h"
#include "proxy/rewrite.h"

/* Whether the client names JSON and not HTML: a program, not a browser. */
static bool wants_json(const struct message *request)
{
    const struct bytes *accept = message_field(request, FIELD_ACCEPT);

    return accept && accept->size && memmem(accept->at, accept->size, "json", 4) &&
           !memmem(accept->at, accept->size, "text/html", 9);
}

/* Starts a response with that status and the fields that all of ours have; without a body, type is NULL. */
static int start(struct exchange *x, int status, const char *type, struct bytes body)
{
    struct message *m = &x->response;
    int error;

    message_init(m, &x->arena);
    m->version = HTTP_1_1;
    m->status = status;
    m->reason = bytes_of_text(status_reason(status));
    m->has_length = true;
    m->length = body.size;
    m->body = BODY_LENGTH;
    x->own_body = body;
    if (x->request.method == METHOD_HEAD || status == 204) {
        m->body = BODY_NONE;
        m->has_length = status != 204; /* RFC 9110 8.6 */
        x->own_body = BYTES_NONE;
    }
    m->persistent = !x->must_close;
    error = forward_date(x);
    if (!error && type)
        error = message_add_known(m, FIELD_CONTENT_TYPE, bytes_of_text(type));
    return error ? error : forward_hsts(x);
}

static int add_grpc_status(struct exchange *x, struct message *m, int error)
{
    struct bytes text = grpc_message(&x->arena, bytes_of_text(error_text(error)));
    enum grpc_status number =
        error == -E_SERVER_RESET ? grpc_status_of_reset(x->reset_code) : grpc_status_of(error_status(error));
    const char *status = arena_printf(&x->arena, "%d", (int)number);
    int failed = text.at && status ? message_add(m, BYTES_LITERAL("grpc-status"), bytes_of_text(status)) : -E_MEMORY;

    return failed ? failed : message_add(m, BYTES_LITERAL("grpc-message"), text);
}

/* Trailers-only, the one form in which a gRPC client reads what went wrong. */
static int respond_grpc(struct exchange *x, int error)
{
    int failed = start(x, 200, NULL, BYTES_NONE);

    if (!failed)
        failed = message_add_known(&x->response, FIELD_CONTENT_TYPE, grpc_answer_type(&x->request));
    return failed ? failed : add_grpc_status(x, &x->response, error);
}

int respond_broken_call(struct exchange *x, int error)
{
    struct message trailers;
    int failed;

    if (!x->is_call || x->response.has_length)
        return -E_INTERNAL;
    message_init(&trailers, &x->arena);
    failed = add_grpc_status(x, &trailers, error);
    if (!failed)
        failed = x->client->ops->end(x->client, &trailers.fields);
    if (!failed)
        access_note_call(x, &trailers.fields);
    return failed;
}

int respond_error(struct exchange *x, int error)
{
    int status = error_status(error), failed;
    const char *body, *type;

    if (grpc_is_call(&x->request))
        return respond_grpc(x, error);
    if (wants_json(&x->request)) {
        type = "application/json";
        body = arena_printf(&x->arena, "{\"status\":%d,\"error\":\"%s\",\"message\":\"%s\"}\n", status,
                            error_token(error), error_text(error));
    } else {
        type = "text/plain; charset=utf-8";
        body = arena_printf(&x->arena, "%d %s: %s\n", status, status_reason(status), error_text(error));
    }
    if (!body)
        return -E_MEMORY;
    failed = start(x, status, type, bytes_of_text(body));
    if (!failed && status == 405)
        failed = message_add(&x->response, BYTES_LITERAL("Allow"),
                             BYTES_LITERAL("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
    return failed;
}

int respond_redirect_https(struct exchange *x)
{
    struct hostname host;
    uint16_t port;
    bool v6;
    char *location;
    int error;

    if (hostname_parse_authority(x->request.authority, &host, &port))
        return -E_HOST;
    v6 = host.is_address && strchr(host.text, ':');
    location = arena_printf(&x->arena, "https://%s%s%s%.*s", v6 ? "[" : "", host.text, v6 ? "]" : "",
                            BYTES_PRINT(bytes_equal_text(x->request.path, "*") ? BYTES_LITERAL("/") : x->request.path));
    if (!location)
        return -E_MEMORY;
    error = start(x, 308, NULL, BYTES_NONE);
    return error ? error : message_add(&x->response, BYTES_LITERAL("Location"), bytes_of_text(location));
}

static int respond_redirect(struct exchange *x, const struct snapshot_redirect *redirect)
{
    struct bytes path = bytes_equal_text(x->request.path, "*") ? BYTES_LITERAL("/") : x->request.path;
    struct bytes prefix = x->route->path, location = redirect->to;
    int error = 0;

    while (prefix.size && prefix.at[prefix.size - 1] == '/')
        prefix.size--;
    if (redirect->keep_path)
        error = rewrite_path(&x->arena, path, prefix.size, redirect->to, &location);
    if (!error)
        error = start(x, redirect->status, NULL, BYTES_NONE);
    return error ? error : message_add(&x->response, BYTES_LITERAL("Location"), location);
}

int respond_route(struct exchange *x)
{
    const struct snapshot_route *route = x->route;
    const struct snapshot_respond *fixed = route->respond;
    int error = route->redirect ? respond_redirect(x, route->redirect)
                                : start(x, fixed->status, fixed->body.size ? fixed->type : NULL, fixed->body);

    return error ? error : rewrite_fields(&x->response, &route->response_fields);
}
