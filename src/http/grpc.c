#include "http/grpc.h"

#include "http/h2.h"

static const struct bytes media_type = BYTES_LITERAL("application/grpc");

/* The type without its parameters. */
static struct bytes media_type_of(const struct message *request)
{
    const struct bytes *value = message_field(request, FIELD_CONTENT_TYPE);

    return value ? bytes_trim(bytes_part(*value, 0, bytes_find(*value, ';'))) : BYTES_NONE;
}

bool grpc_is_call(const struct message *request)
{
    struct bytes type = media_type_of(request);
    struct bytes rest = bytes_from(type, media_type.size);

    if (!bytes_equal_nocase(bytes_part(type, 0, media_type.size), media_type))
        return false;
    return rest.size == 0 || bytes_start_with(rest, BYTES_LITERAL("+")) || bytes_start_with(rest, BYTES_LITERAL("-"));
}

struct bytes grpc_answer_type(const struct message *request)
{
    struct bytes type = media_type_of(request);

    return type.size > media_type.size && type.at[media_type.size] == '-' ? type : media_type;
}

enum grpc_status grpc_status_of(int http_status)
{
    switch (http_status) {
    case 200:
        return GRPC_OK;
    case 400:
        return GRPC_INTERNAL;
    case 401:
        return GRPC_UNAUTHENTICATED;
    case 403:
        return GRPC_PERMISSION_DENIED;
    case 404:
        return GRPC_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
        return GRPC_UNAVAILABLE;
    case 504:
        return GRPC_DEADLINE_EXCEEDED;
    default:
        return GRPC_UNKNOWN;
    }
}

enum grpc_status grpc_status_of_reset(uint32_t h2_code)
{
    switch (h2_code) {
    case H2_CANCEL:
        return GRPC_CANCELLED;
    case H2_ENHANCE_YOUR_CALM:
        return GRPC_RESOURCE_EXHAUSTED;
    default:
        return GRPC_UNAVAILABLE;
    }
}

int grpc_status_told(const struct fields *fields)
{
    uint64_t status;

    for (uint32_t i = 0; i < fields->count; i++)
        if (!fields->at[i].id && bytes_equal_nocase(fields->at[i].name, BYTES_LITERAL("grpc-status")))
            return bytes_to_number(fields->at[i].value, 999, &status) ? -1 : (int)status;
    return -1;
}

struct bytes grpc_message(struct arena *arena, struct bytes text)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t size = 0;
    uint8_t *out;

    if (text.size > SIZE_MAX / 3)
        return BYTES_NONE;
    out = arena_alloc(arena, 3 * text.size);
    if (!out)
        return BYTES_NONE;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.at[i];

        if (c >= 0x20 && c <= 0x7e && c != '%') {
            out[size++] = c;
        } else {
            out[size++] = '%';
            out[size++] = (uint8_t)hex[c >> 4];
            out[size++] = (uint8_t)hex[c & 15];
        }
    }
    return bytes_of(out, size);
}
