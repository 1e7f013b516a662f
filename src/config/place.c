#include <stdlib.h>

#include "base/check.h"
#include "config/state.h"
#include "config/yaml_hint.h"

void place_add(struct config *c, const struct place *place)
{
    if (c->place_count == c->place_room) {
        struct place *more = config_alloc(c, (c->place_room ? 2 * c->place_room : 64) * sizeof(*more));
        if (c->place_count)
            memcpy(more, c->places, c->place_count * sizeof(*more));
        c->places = more;
        c->place_room = c->place_room ? 2 * c->place_room : 64;
    }
    c->has_secrets |= place->is_secret;
    c->places[c->place_count++] = *place;
}

static int compare(const void *left, const void *right)
{
    const struct place *a = left, *b = right;

    if (a->address != b->address)
        return a->address < b->address ? -1 : 1;
    if (a->size != b->size)
        return a->size > b->size ? -1 : 1;
    return b->is_struct - a->is_struct;
}

static bool encloses(const struct place *outer, const uint8_t *address, size_t size)
{
    return address >= outer->address && address + size <= outer->address + outer->size;
}

void place_seal(struct config *c)
{
    size_t open = SIZE_MAX;

    if (c->place_count)
        qsort(c->places, c->place_count, sizeof(c->places[0]), compare);
    for (size_t i = 0; i < c->place_count; i++) {
        struct place *p = &c->places[i];
        while (open != SIZE_MAX && !encloses(&c->places[open], p->address, p->size))
            open = c->places[open].outer;
        p->outer = open;
        open = i;
    }
}

const struct place *place_find(const struct config *c, const void *address, bool *ret_is_exact)
{
    size_t low = 0, high = c->place_count, i;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (c->places[middle].address <= (const uint8_t *)address)
            low = middle + 1;
        else
            high = middle;
    }
    i = low ? low - 1 : SIZE_MAX;
    while (i != SIZE_MAX && !encloses(&c->places[i], address, 1))
        i = c->places[i].outer;
    if (i == SIZE_MAX)
        return NULL;
    *ret_is_exact = c->places[i].address == (const uint8_t *)address;
    return &c->places[i];
}

bool config_is_set(const struct config *c, const void *field)
{
    bool is_exact;
    const struct place *p = place_find(c, field, &is_exact);

    return p && is_exact && !p->is_struct;
}

const char *config_where(struct config *c, const void *field)
{
    bool is_exact;
    const struct place *p = field ? place_find(c, field, &is_exact) : NULL;
    size_t begin, end, line;

    if (!p)
        return c->file_name;
    node_span(p->node, &begin, &end);
    yaml_line(c->text, begin, &line);
    return config_text(c, "%s:%zu", c->file_name, line);
}
