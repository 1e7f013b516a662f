#include "base/hostname.h"

#include <arpa/inet.h>

#include "base/check.h"
#include "base/idn.h"

enum { LABEL_MOST = IDN_LABEL_MOST };

/* Reads an IP literal into its canonical text. */
static int parse_ip(int family, struct bytes text, struct hostname *ret_name)
{
    char copy[INET6_ADDRSTRLEN];
    uint8_t address[16];

    if (text.size >= sizeof(copy) || bytes_find(text, 0) < text.size)
        return -E_HOST;
    memcpy(copy, text.at, text.size);
    copy[text.size] = 0;
    if (inet_pton(family, copy, address) != 1)
        return -E_HOST;
    if (family == AF_INET) /* what inet_pton takes is canonical: four numbers without leading zeros */
        memcpy(ret_name->text, copy, text.size + 1);
    else
        CHECK(inet_ntop(family, address, ret_name->text, sizeof(ret_name->text)));
    ret_name->size = (uint16_t)strlen(ret_name->text);
    ret_name->is_address = true;
    ret_name->is_pattern = false;
    return 0;
}

/* What may stand in a label on the wire, in lower case; 0: it may not. */
static const char label_byte[256] = {
    ['-'] = '-', ['_'] = '_', ['0'] = '0', ['1'] = '1', ['2'] = '2', ['3'] = '3', ['4'] = '4', ['5'] = '5',
    ['6'] = '6', ['7'] = '7', ['8'] = '8', ['9'] = '9', ['a'] = 'a', ['b'] = 'b', ['c'] = 'c', ['d'] = 'd',
    ['e'] = 'e', ['f'] = 'f', ['g'] = 'g', ['h'] = 'h', ['i'] = 'i', ['j'] = 'j', ['k'] = 'k', ['l'] = 'l',
    ['m'] = 'm', ['n'] = 'n', ['o'] = 'o', ['p'] = 'p', ['q'] = 'q', ['r'] = 'r', ['s'] = 's', ['t'] = 't',
    ['u'] = 'u', ['v'] = 'v', ['w'] = 'w', ['x'] = 'x', ['y'] = 'y', ['z'] = 'z', ['A'] = 'a', ['B'] = 'b',
    ['C'] = 'c', ['D'] = 'd', ['E'] = 'e', ['F'] = 'f', ['G'] = 'g', ['H'] = 'h', ['I'] = 'i', ['J'] = 'j',
    ['K'] = 'k', ['L'] = 'l', ['M'] = 'm', ['N'] = 'n', ['O'] = 'o', ['P'] = 'p', ['Q'] = 'q', ['R'] = 'r',
    ['S'] = 's', ['T'] = 't', ['U'] = 'u', ['V'] = 'v', ['W'] = 'w', ['X'] = 'x', ['Y'] = 'y', ['Z'] = 'z',
};

/* Copies one label of ASCII to out. Returns its size or -E_HOST. */
static int copy_label(struct bytes label, char out[LABEL_MOST])
{
    if (label.size > LABEL_MOST)
        return -E_HOST;
    for (size_t i = 0; i < label.size; i++) {
        out[i] = label_byte[label.at[i]];
        if (!out[i])
            return -E_HOST;
    }
    return (int)label.size;
}

/* The size of the dot at the head of text, or 0. RFC 3490 3.1: U+3002, U+FF0E and U+FF61 are dots too. */
static size_t dot_size(struct bytes text)
{
    if (text.size && text.at[0] == '.')
        return 1;
    if (bytes_start_with(text, BYTES_LITERAL("\xE3\x80\x82")) ||
        bytes_start_with(text, BYTES_LITERAL("\xEF\xBC\x8E")) || bytes_start_with(text, BYTES_LITERAL("\xEF\xBD\xA1")))
        return 3;
    return 0;
}

/* Takes the label in front of text, with the dot behind it. Returns whether there was a dot. */
static bool take_label(struct bytes *text, struct bytes *ret_label, bool *ret_is_ascii)
{
    size_t size = 0, dot = 0;

    *ret_is_ascii = true;
    for (; size < text->size; size++) {
        dot = dot_size(bytes_from(*text, size));
        if (dot)
            break;
        if (text->at[size] >= 0x80)
            *ret_is_ascii = false;
    }
    *ret_label = bytes_part(*text, 0, size);
    *text = bytes_from(*text, size + dot);
    return dot > 0;
}

/* A name whose last label is a number looks like an IPv4 address to some and like a name to others ("127.1"). */
static bool ends_in_number(struct bytes name)
{
    size_t i = name.size;

    while (i && name.at[i - 1] >= '0' && name.at[i - 1] <= '9')
        i--;
    return i < name.size && i > 0 && name.at[i - 1] == '.';
}

/* The text is there: what the whole is. */
static int settle(size_t size, struct hostname *ret_name)
{
    ret_name->text[size] = 0;
    ret_name->size = (uint16_t)size;
    ret_name->is_address = false;
    if (ends_in_number(bytes_of(ret_name->text, size)))
        return parse_ip(AF_INET, bytes_of(ret_name->text, size), ret_name);
    return 0;
}

/* Labels as operators write them, behind the prefix_bytes that ret_name holds already. */
static int parse_unicode(struct bytes text, size_t prefix_bytes, struct hostname *ret_name)
{
    size_t size = prefix_bytes;
    bool dot = true;

    while (dot) {
        struct bytes label;
        char copy[LABEL_MOST];
        bool is_ascii;
        int n;

        dot = take_label(&text, &label, &is_ascii);
        if (label.size == 0 && !dot && size > prefix_bytes)
            break; /* behind the trailing dot */
        if (label.size == 0)
            return -E_HOST;
        n = is_ascii ? copy_label(label, copy) : idn_label_encode(label, copy);
        if (n < 0)
            return n;
        if (size + (size > prefix_bytes) + (size_t)n > HOSTNAME_MOST)
            return -E_HOST;
        if (size > prefix_bytes)
            ret_name->text[size++] = '.';
        memcpy(ret_name->text + size, copy, (size_t)n);
        size += (size_t)n;
    }
    return settle(size, ret_name);
}

/* Labels as they are on the wire: every request has some. */
static int parse_wire(struct bytes text, struct hostname *ret_name)
{
    size_t label = 0;

    if (text.size && text.at[text.size - 1] == '.')
        text.size--;
    if (text.size > HOSTNAME_MOST)
        return -E_HOST;
    for (size_t i = 0; i < text.size; i++) {
        if (text.at[i] == '.' && label) {
            ret_name->text[i] = '.';
            label = 0;
            continue;
        }
        ret_name->text[i] = label_byte[text.at[i]];
        if (!ret_name->text[i] || ++label > LABEL_MOST)
            return -E_HOST;
    }
    return label ? settle(text.size, ret_name) : -E_HOST;
}

/* "[v6]" */
static int parse_bracketed(struct bytes text, struct hostname *ret_name)
{
    if (text.at[text.size - 1] != ']')
        return -E_HOST;
    return parse_ip(AF_INET6, bytes_part(text, 1, text.size - 2), ret_name);
}

int hostname_parse(struct bytes wire, struct hostname *ret_name)
{
    ret_name->is_pattern = false;
    return wire.size && wire.at[0] == '[' ? parse_bracketed(wire, ret_name) : parse_wire(wire, ret_name);
}

int hostname_parse_pattern(struct bytes text, struct hostname *ret_name)
{
    ret_name->is_pattern = false;
    if (text.size && text.at[0] == '[')
        return parse_bracketed(text, ret_name);
    if (bytes_find(text, ':') < text.size)
        return parse_ip(AF_INET6, text, ret_name);
    if (!bytes_start_with(text, BYTES_LITERAL("*.")))
        return parse_unicode(text, 0, ret_name);
    memcpy(ret_name->text, "*.", 2);
    ret_name->is_pattern = true;
    return parse_unicode(bytes_from(text, 2), 2, ret_name);
}

int hostname_parse_authority(struct bytes authority, struct hostname *ret_name, uint16_t *ret_port)
{
    size_t host = bytes_find(authority, ':');
    uint64_t port = 0;
    int rc;

    if (authority.size && authority.at[0] == '[') {
        host = bytes_find(authority, ']') + 1;
        if (host > authority.size || (host < authority.size && authority.at[host] != ':'))
            return -E_HOST;
    }
    /* RFC 3986 3.2.3: the port may be empty, and is then the scheme's. */
    if (host + 1 < authority.size && (bytes_to_number(bytes_from(authority, host + 1), 65535, &port) < 0 || port == 0))
        return -E_HOST;
    rc = hostname_parse(bytes_part(authority, 0, host), ret_name);
    if (rc == 0)
        *ret_port = (uint16_t)port;
    return rc;
}

/* What a wildcard leaves open: the name from its first dot on; empty when no wildcard can cover it. */
static struct bytes behind_first_label(const struct hostname *name)
{
    struct bytes text = bytes_of(name->text, name->size);

    if (name->is_address || name->is_pattern)
        return BYTES_NONE;
    return bytes_from(text, bytes_find(text, '.'));
}

bool hostname_matches(const struct hostname *pattern, const struct hostname *name)
{
    struct bytes rest;

    if (!pattern->is_pattern || name->is_pattern)
        return bytes_equal(bytes_of(pattern->text, pattern->size), bytes_of(name->text, name->size));
    rest = behind_first_label(name);
    return rest.size && bytes_equal(bytes_of(pattern->text + 1, pattern->size - 1u), rest);
}

/* A hash table with open addressing; at most half full. Wildcards stand in it under their text, "*.example.org". */
struct hostname_slot {
    struct bytes pattern;
    uint64_t hash;
    void *value; /* NULL: the slot is free */
};

struct hostname_table {
    struct arena *arena;
    size_t mask, count, most;
    struct hostname_slot slots[];
};

/* FNV-1a. Only the operator fills the table, so that nobody else can make its chains long. */
static const uint64_t HASH_START = 0xcbf29ce484222325, HASH_PRIME = 0x100000001b3;

static uint64_t hash_bytes(uint64_t hash, struct bytes b)
{
    for (size_t i = 0; i < b.size; i++)
        hash = (hash ^ b.at[i]) * HASH_PRIME;
    return hash;
}

struct hostname_table *hostname_table_new(struct arena *arena, size_t most_entries)
{
    struct hostname_table *t;
    size_t slots = 8;

    if (most_entries > SIZE_MAX / 8 / sizeof(struct hostname_slot))
        return NULL;
    while (slots < 2 * most_entries)
        slots *= 2;
    t = arena_zalloc(arena, sizeof(*t) + slots * sizeof(t->slots[0]));
    if (t) {
        t->arena = arena;
        t->mask = slots - 1;
        t->most = most_entries;
    }
    return t;
}

int hostname_table_add(struct hostname_table *t, const struct hostname *pattern, void *value)
{
    struct bytes text = bytes_of(pattern->text, pattern->size);
    uint64_t hash = hash_bytes(HASH_START, text);
    size_t i = hash & t->mask;

    CHECK(value);
    for (; t->slots[i].value; i = (i + 1) & t->mask)
        if (t->slots[i].hash == hash && bytes_equal(t->slots[i].pattern, text))
            return -E_CONFIG;
    CHECK(t->count < t->most);
    text = arena_copy(t->arena, text);
    if (!text.at)
        return -E_MEMORY;
    t->slots[i] = (struct hostname_slot){ text, hash, value };
    t->count++;
    return 0;
}

/* The value of the pattern whose text is head then tail. */
static void *find(const struct hostname_table *t, struct bytes head, struct bytes tail)
{
    uint64_t hash = hash_bytes(hash_bytes(HASH_START, head), tail);

    for (size_t i = hash & t->mask; t->slots[i].value; i = (i + 1) & t->mask) {
        const struct hostname_slot *slot = &t->slots[i];
        if (slot->hash == hash && slot->pattern.size == head.size + tail.size &&
            bytes_start_with(slot->pattern, head) && bytes_equal(bytes_from(slot->pattern, head.size), tail))
            return slot->value;
    }
    return NULL;
}

void *hostname_table_find(const struct hostname_table *t, const struct hostname *name)
{
    struct bytes rest = behind_first_label(name);
    void *value = find(t, bytes_of(name->text, name->size), BYTES_NONE);

    if (value || rest.size == 0)
        return value;
    return find(t, BYTES_LITERAL("*"), rest);
}
