/* h2_priority.c: RFC 9218: the Priority field and PRIORITY_UPDATE. The field is a dictionary of structured values (RFC
 * 8941), of which two members count: u=0..7 and i, i=?0, i=?1. What is malformed says nothing. */
#include "http/h2_private.h"

static struct bytes member_next(struct bytes *list)
{
    size_t comma = bytes_find(*list, ',');
    struct bytes member = bytes_trim(bytes_part(*list, 0, comma));

    *list = bytes_from(*list, comma < list->size ? comma + 1 : comma);
    return bytes_part(member, 0, bytes_find(member, ';')); /* without parameters */
}

void h2_priority_parse(struct bytes value, uint8_t *urgency, bool *incremental)
{
    while (value.size) {
        struct bytes member = member_next(&value);

        if (member.size == 3 && member.at[0] == 'u' && member.at[1] == '=' && member.at[2] >= '0' &&
            member.at[2] <= '7')
            *urgency = (uint8_t)(member.at[2] - '0');
        else if (bytes_equal(member, BYTES_LITERAL("i")) || bytes_equal(member, BYTES_LITERAL("i=?1")))
            *incremental = true;
        else if (bytes_equal(member, BYTES_LITERAL("i=?0")))
            *incremental = false;
    }
}

static struct h2_stream *stream_by_id(struct h2 *h, int32_t id)
{
    void *s = nghttp2_session_get_stream_user_data(h->session, id);
    return s == &h2_detached ? NULL : s;
}

enum h2_code h2_priority_update(struct h2 *h)
{
    struct bytes value;
    struct h2_stream *s;
    uint8_t urgency = 3;
    bool incremental = false;
    int32_t id;

    if (h->ext_bytes < 4)
        return (enum h2_code)NGHTTP2_FRAME_SIZE_ERROR;
    id = (int32_t)((h->ext[0] & 0x7fu) << 24 | (uint32_t)h->ext[1] << 16 | (uint32_t)h->ext[2] << 8 | h->ext[3]);
    if (id == 0 || id % 2 == 0) /* RFC 9218 7.1; we push nothing */
        return H2_PROTOCOL_ERROR;
    value = bytes_of(h->ext + 4, h->ext_bytes - 4);
    if (h->ext_bytes < sizeof h->ext) /* a longer one says more than we know */
        h2_priority_parse(value, &urgency, &incremental);
    s = stream_by_id(h, id);
    if (s) {
        bool waits = !list_is_empty(&s->wait_link);

        h2_out_forget(s);
        s->urgency = urgency;
        s->incremental = incremental;
        if (waits)
            h2_out_window(s);
    } else if (id > nghttp2_session_get_last_proc_stream_id(h->session)) {
        h->early[h->early_next++ % H2_EARLY_PRIORITIES] = (struct h2_early){ id, urgency, incremental };
    }
    return H2_NO_ERROR;
}

bool h2_priority_early(struct h2 *h, struct h2_stream *s)
{
    struct h2_early *latest = NULL;

    for (unsigned i = 0; i < H2_EARLY_PRIORITIES && i < h->early_next; i++) {
        struct h2_early *e = &h->early[(h->early_next - 1 - i) % H2_EARLY_PRIORITIES];
        if (!latest && e->id == s->id)
            latest = e;
    }
    if (!latest)
        return false;
    s->urgency = latest->urgency;
    s->incremental = latest->incremental;
    return true;
}
