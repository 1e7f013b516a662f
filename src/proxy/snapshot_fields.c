/* snapshot_fields.c: rules for header fields: checked where they are written, then put together for each route. */
#include "base/check.h"
#include "proxy/forward.h"
#include "proxy/snapshot_build.h"

enum {
    VALUE_MOST = 4096,
    ADDED_MOST = 16384, /* bytes of all fields that a route adds to one message: they have to fit beside its own */
};

/* ---- checks ---- */

static void check_name(struct builder *b, const char *text, bool is_request, const void *field)
{
    struct bytes name = bytes_of_text(text);

    if (!field_name_is_valid(name))
        build_error(b, field, "\"%s\" is no name of a header field: letters, digits and - make one", text);
    else if (field_names_alike(name, BYTES_LITERAL("host")) && is_request)
        build_error(b, field, "Host is not a field like others: write `host: NAME` in the route");
    else if (field_is_framing(field_id_like(name)) || field_names_alike(name, BYTES_LITERAL("trailer")))
        build_error(b, field, "%s is part of how a message is framed, which Unlade alone decides: remove it", text);
    else if (is_request && field_names_alike(name, BYTES_LITERAL("expect")))
        build_error(b, field, "Expect is answered between the client and the server alone: remove it");
}

static void check_value(struct builder *b, const struct field_options *o)
{
    struct bytes value = bytes_of_text(o->value);

    if (!o->value)
        return; /* missing, and complained about by the reader */
    if (!field_value_is_valid(value))
        build_error(b, &o->value, "a field's value has neither control characters nor white space around it");
    else if (value.size > VALUE_MOST)
        build_error(b, &o->value, "a field's value has at most %d bytes here", VALUE_MOST);
}

static void check_fields(struct builder *b, const struct option_list *list, bool is_request, bool is_add)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct field_options *o = OPTION_ITEM(struct field_options, list, i);

        check_name(b, o->name, is_request, o);
        check_value(b, o);
        if (is_request && is_add && forward_sets(bytes_of_text(o->name)))
            build_error(b, o,
                        "servers believe what %s says, which the proxy sets itself: write it under `set` to say "
                        "something else",
                        o->name);
        for (size_t k = 0; k < i; k++)
            if (field_names_alike(bytes_of_text(OPTION_ITEM(struct field_options, list, k)->name),
                                  bytes_of_text(o->name)))
                build_error(b, o, "%s is there already", o->name);
    }
}

static void check_rules(struct builder *b, const struct field_rules_options *o, bool is_request)
{
    for (size_t i = 0; i < o->remove.count; i++) {
        const struct field_name_options *name = OPTION_ITEM(struct field_name_options, &o->remove, i);
        if (name->name)
            check_name(b, name->name, is_request, name);
    }
    check_fields(b, &o->set, is_request, false);
    check_fields(b, &o->add, is_request, true);
}

void build_check_headers(struct builder *b, const struct headers_options *o)
{
    if (!o)
        return;
    check_rules(b, &o->request, true);
    check_rules(b, &o->response, false);
}

/* ---- putting together ---- */

/* Rules while they grow: `added` is an ordinary message, so that a later rule changes what an earlier one added. */
struct rules {
    struct message added;
    struct bytes *removed;
    size_t removed_count;
};

static void remove_name(struct rules *r, const char *text)
{
    struct bytes name = bytes_of_text(text);

    message_remove_named(&r->added, name);
    for (size_t i = 0; i < r->removed_count; i++)
        if (field_names_alike(r->removed[i], name))
            return;
    r->removed[r->removed_count++] = name;
}

static void add_field(struct rules *r, const struct field_options *o)
{
    int error = message_add(&r->added, bytes_of_text(o->name), bytes_of_text(o->value));

    CHECK(error != -E_MEMORY); /* a field of framing was complained about */
}

static void take_rules(struct rules *r, const struct field_rules_options *o)
{
    for (size_t i = 0; i < o->remove.count; i++)
        remove_name(r, OPTION_ITEM(struct field_name_options, &o->remove, i)->name);
    for (size_t i = 0; i < o->set.count; i++)
        remove_name(r, OPTION_ITEM(struct field_options, &o->set, i)->name);
    for (size_t i = 0; i < o->set.count; i++)
        add_field(r, OPTION_ITEM(struct field_options, &o->set, i));
    for (size_t i = 0; i < o->add.count; i++)
        add_field(r, OPTION_ITEM(struct field_options, &o->add, i));
}

static size_t size_of(const struct fields *fields)
{
    size_t size = 0;

    for (uint32_t i = 0; i < fields->count; i++)
        size += fields->at[i].name.size + fields->at[i].value.size + 4;
    return size;
}

struct field_rules build_field_rules(struct builder *b, const struct headers_options *const levels[HEADER_LEVELS],
                                     bool is_request)
{
    struct rules r = { 0 };
    const struct headers_options *innermost = NULL;
    size_t most = 0;

    message_init(&r.added, b->arena);
    for (size_t i = 0; i < HEADER_LEVELS; i++) {
        const struct field_rules_options *o =
            levels[i] ? is_request ? &levels[i]->request : &levels[i]->response : NULL;
        most += o ? o->remove.count + o->set.count : 0;
    }
    r.removed = build_alloc(b, most, sizeof *r.removed);
    for (size_t i = 0; i < HEADER_LEVELS; i++) {
        if (!levels[i])
            continue;
        innermost = levels[i];
        take_rules(&r, is_request ? &innermost->request : &innermost->response);
    }
    if (size_of(&r.added.fields) > ADDED_MOST)
        build_error(b, innermost, "fields of more than %d bytes would be added to each %s", ADDED_MOST,
                    is_request ? "request" : "response");
    return (struct field_rules){ r.removed, r.removed_count, r.added.fields };
}
