#include "http/message.h"

#include "base/check.h"
#include "http/h1_private.h"
#include "http/names.h"

enum {
    FIELDS_FIRST_ROOM = 32, /* what browsers send, and what a proxy adds, without growing */
    FIELDS_FIRST_ROOM_SMALL = 12,
};

void message_init(struct message *m, struct arena *arena)
{
    *m = (struct message){ .arena = arena, .version = HTTP_1_1 };
}

int message_grow(struct message *m)
{
    uint32_t first = m->arena->is_small ? FIELDS_FIRST_ROOM_SMALL : FIELDS_FIRST_ROOM;
    uint32_t room = m->fields.room ? m->fields.room * 2 : first;
    struct field *at;

    CHECK(room > m->fields.room);
    at = arena_alloc(m->arena, room * sizeof(*at));
    if (!at)
        return -E_MEMORY;
    if (m->fields.count)
        memcpy(at, m->fields.at, m->fields.count * sizeof(*at));
    m->fields.at = at;
    m->fields.room = room;
    return 0;
}

int message_add(struct message *m, struct bytes name, struct bytes value)
{
    enum field_id like, id = field_lookup(name, &like);

    if (field_is_framing(like))
        return -E_INTERNAL;
    return message_push(m, &(struct field){ name, value, (uint8_t)id, (uint8_t)like });
}

int message_append(struct message *m, const struct fields *fields)
{
    for (uint32_t i = 0; i < fields->count; i++)
        if (message_push(m, &fields->at[i]))
            return -E_MEMORY;
    return 0;
}

int message_add_known(struct message *m, enum field_id id, struct bytes value)
{
    struct field *at;

    if (field_is_framing(id))
        return -E_INTERNAL;
    at = message_next(m);
    if (!at)
        return -E_MEMORY;
    *at = (struct field){ field_name_written(id), value, (uint8_t)id, (uint8_t)id };
    return 0;
}

bool field_name_is_valid(struct bytes name)
{
    return h1_is_token(name);
}

bool field_value_is_valid(struct bytes value)
{
    struct bytes trimmed = bytes_trim(value);

    return trimmed.size == value.size &&
           (value.size == 0 || h1_text_end(value.at, value.at + value.size) == value.at + value.size);
}

const struct bytes *message_field(const struct message *m, enum field_id id)
{
    CHECK(id != FIELD_OTHER);
    for (uint32_t i = 0; i < m->fields.count; i++)
        if (m->fields.at[i].id == id)
            return &m->fields.at[i].value;
    return NULL;
}

const struct bytes *message_field_named(const struct message *m, struct bytes name)
{
    for (uint32_t i = 0; i < m->fields.count; i++)
        if (bytes_equal_nocase(m->fields.at[i].name, name))
            return &m->fields.at[i].value;
    return NULL;
}

void message_remove_set(struct message *m, uint64_t ids)
{
    struct field *at = m->fields.at;
    uint32_t kept = 0;

    CHECK((ids & FIELD_BIT(FIELD_OTHER)) == 0);
    for (uint32_t i = 0; i < m->fields.count; i++) {
        if (ids >> at[i].like & 1)
            continue;
        if (kept != i)
            at[kept] = at[i];
        kept++;
    }
    m->fields.count = kept;
}

void message_remove(struct message *m, enum field_id id)
{
    message_remove_set(m, FIELD_BIT(id));
}

void message_remove_named(struct message *m, struct bytes name)
{
    struct field *at = m->fields.at;
    uint32_t kept = 0;

    for (uint32_t i = 0; i < m->fields.count; i++) {
        if (field_names_alike(at[i].name, name))
            continue;
        if (kept != i)
            at[kept] = at[i];
        kept++;
    }
    m->fields.count = kept;
}

bool response_has_body(enum http_method request_method, int status)
{
    if (request_method == METHOD_HEAD || status < 200 || status == 204 || status == 304)
        return false;
    return request_method != METHOD_CONNECT || status >= 300;
}
