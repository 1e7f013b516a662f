/* choose.c: which certificate a client gets. */
#include "certs/store.h"

#include <stdlib.h>

#include "base/check.h"

/* A certificate under a name that it has, or under one that its wildcard covers. */
struct candidate {
    struct certificate *certificate;
    bool by_wildcard;
};

struct candidates {
    size_t count;
    struct candidate *items;
};

struct cert_index {
    struct hostname_table *by_name; /* values: struct candidates */
    struct candidates fallback;
};

/* ---- The index ---- */

struct entry {
    const struct hostname *name;
    struct certificate *certificate;
    size_t rank; /* where it stood, so that the order of equals is the operator's */
};

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int order = strcmp(x->name->text, y->name->text);

    return order ? order : (x->rank > y->rank) - (x->rank < y->rank);
}

struct entries {
    struct entry *items;
    size_t count;
};

static bool collect(struct arena *arena, struct certificate *const *certificates, size_t count, struct entries *ret)
{
    size_t total = 0, at = 0;

    for (size_t i = 0; i < count; i++)
        total += certificates[i]->name_count;
    ret->items = arena_alloc(arena, total * sizeof *ret->items);
    ret->count = total;
    if (!ret->items)
        return false;
    for (size_t i = 0; i < count; i++)
        for (size_t n = 0; n < certificates[i]->name_count; n++, at++)
            ret->items[at] = (struct entry){ &certificates[i]->names[n], certificates[i], at };
    if (total)
        qsort(ret->items, total, sizeof *ret->items, compare_entries);
    return true;
}

/* The entries from the first of that name on; ret_count of them have it. */
static const struct entry *run_of(const struct entries *e, const char *name, size_t *ret_count)
{
    size_t low = 0, high = e->count, n = 0;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(e->items[middle].name->text, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    while (low + n < e->count && strcmp(e->items[low + n].name->text, name) == 0)
        n++;
    *ret_count = n;
    return n ? &e->items[low] : NULL;
}

/* Those of the name itself, then those of the wildcard that covers it. */
static struct candidates *candidates_for(struct arena *arena, const struct entries *e, const struct hostname *name)
{
    const char *dot = strchr(name->text, '.');
    char wildcard[HOSTNAME_MOST + 3] = "";
    size_t exact_count, wild_count = 0;
    const struct entry *exact = run_of(e, name->text, &exact_count), *wild = NULL;
    struct candidates *c = arena_alloc(arena, sizeof *c);

    if (dot && !name->is_pattern && !name->is_address) {
        wildcard[0] = '*';
        memcpy(wildcard + 1, dot, strlen(dot) + 1);
        wild = run_of(e, wildcard, &wild_count);
    }
    if (!c || !(c->items = arena_alloc(arena, (exact_count + wild_count) * sizeof *c->items)))
        return NULL;
    c->count = exact_count + wild_count;
    for (size_t i = 0; i < exact_count; i++)
        c->items[i] = (struct candidate){ exact[i].certificate, name->is_pattern };
    for (size_t i = 0; i < wild_count; i++)
        c->items[exact_count + i] = (struct candidate){ wild[i].certificate, true };
    return c;
}

struct cert_index *cert_index_new(struct arena *arena, struct certificate *const *certificates, size_t count)
{
    struct cert_index *index = arena_zalloc(arena, sizeof *index);
    struct entries e;

    CHECK(count > 0);
    if (!index || !collect(arena, certificates, count, &e) ||
        !(index->by_name = hostname_table_new(arena, e.count ? e.count : 1)))
        return NULL;
    for (size_t i = 0; i < e.count; i++) {
        struct candidates *c;

        if (i && strcmp(e.items[i].name->text, e.items[i - 1].name->text) == 0)
            continue;
        c = candidates_for(arena, &e, e.items[i].name);
        if (!c || hostname_table_add(index->by_name, e.items[i].name, c))
            return NULL;
    }
    /* The default is the first certificate, with those that serve its first name as well. */
    if (certificates[0]->name_count) {
        struct candidates *c = candidates_for(arena, &e, &certificates[0]->names[0]);
        if (!c)
            return NULL;
        index->fallback = *c;
    } else {
        index->fallback.items = arena_alloc(arena, sizeof *index->fallback.items);
        if (!index->fallback.items)
            return NULL;
        index->fallback.items[0] = (struct candidate){ certificates[0], false };
        index->fallback.count = 1;
    }
    return index;
}

/* ---- What the client can use ---- */

static bool offers_any_suite(const struct client_hello *h, const uint16_t *suites, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (client_hello_offers_suite(h, suites[i]))
            return true;
    return false;
}

static bool offers_any_signature(const struct client_hello *h, const uint16_t *schemes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (client_hello_offers_signature(h, schemes[i]))
            return true;
    return false;
}

/* RFC 8446 4.2.3: the scheme that a key of this kind signs with, which names the curve as well. */
static bool usable_in_1_3(enum certificate_kind kind, const struct client_hello *h)
{
    static const uint16_t pss[] = { 0x0804, 0x0805, 0x0806 };

    switch (kind) {
    case CERTIFICATE_RSA:
        return offers_any_signature(h, pss, COUNT_OF(pss));
    case CERTIFICATE_ECDSA_P256:
        return client_hello_offers_signature(h, 0x0403);
    case CERTIFICATE_ECDSA_P384:
        return client_hello_offers_signature(h, 0x0503);
    case CERTIFICATE_ECDSA_P521:
        return client_hello_offers_signature(h, 0x0603);
    case CERTIFICATE_ED25519:
        return client_hello_offers_signature(h, 0x0807);
    default:
        return true; /* the engine knows better */
    }
}

/* RFC 5246 7.4.1.4.1 and RFC 8422 5.1: hash and key stand apart from the curve, and the suite names the kind of key. */
static bool signs_in_1_2(enum certificate_kind kind, const struct client_hello *h)
{
    static const uint16_t rsa[] = { 0x0401, 0x0501, 0x0601, 0x0804, 0x0805, 0x0806 };
    static const uint16_t ecdsa[] = { 0x0403, 0x0503, 0x0603 };
    uint16_t curve = kind == CERTIFICATE_ECDSA_P384 ? 24 : kind == CERTIFICATE_ECDSA_P521 ? 25 : 23;

    if (kind == CERTIFICATE_ED25519)
        return client_hello_offers_signature(h, 0x0807);
    if (kind == CERTIFICATE_RSA)
        return h->signature_algorithms.size == 0 || offers_any_signature(h, rsa, COUNT_OF(rsa));
    return (h->signature_algorithms.size == 0 || offers_any_signature(h, ecdsa, COUNT_OF(ecdsa))) &&
           (h->supported_groups.size == 0 || client_hello_offers_group(h, curve));
}

enum { UNUSABLE, USABLE_OLD, USABLE_WITH_AEAD, USABLE_IN_1_3 };

#define OFFERS_ANY_SUITE(hello, ...) \
    offers_any_suite(hello, (const uint16_t[]){ __VA_ARGS__ }, COUNT_OF(((const uint16_t[]){ __VA_ARGS__ })))

static int rsa_usability_in_1_2(const struct client_hello *h)
{
    if (signs_in_1_2(CERTIFICATE_RSA, h)) {
        if (OFFERS_ANY_SUITE(h, 0xc02f, 0xc030, 0xcca8, 0x009e, 0x009f, 0xccaa))
            return USABLE_WITH_AEAD;
        if (OFFERS_ANY_SUITE(h, 0xc013, 0xc014, 0xc027, 0xc028, 0x0067, 0x006b))
            return USABLE_OLD;
    }
    /* RSA key exchange: nothing is signed */
    return OFFERS_ANY_SUITE(h, 0x009c, 0x009d, 0x003c, 0x003d, 0x002f, 0x0035) ? USABLE_OLD : UNUSABLE;
}

static int ecdsa_usability_in_1_2(enum certificate_kind kind, const struct client_hello *h)
{
    if (!signs_in_1_2(kind, h))
        return UNUSABLE;
    if (OFFERS_ANY_SUITE(h, 0xc02b, 0xc02c, 0xcca9))
        return USABLE_WITH_AEAD;
    return OFFERS_ANY_SUITE(h, 0xc009, 0xc00a, 0xc023, 0xc024) ? USABLE_OLD : UNUSABLE;
}

static int usability(enum certificate_kind kind, const struct client_hello *h)
{
    /* Without signature_algorithms, any: a resumed session signs nothing, and the engine's alert tells what is missing. */
    if (client_hello_offers_version(h, 0x0304) && (usable_in_1_3(kind, h) || h->signature_algorithms.size == 0))
        return USABLE_IN_1_3;
    if (!client_hello_offers_version(h, 0x0303)) /* without a common version, any: the engine's alert tells why */
        return client_hello_offers_version(h, 0x0304) ? UNUSABLE : USABLE_OLD;
    if (kind == CERTIFICATE_OTHER)
        return USABLE_WITH_AEAD;
    return kind == CERTIFICATE_RSA ? rsa_usability_in_1_2(h) : ecdsa_usability_in_1_2(kind, h);
}

/* ---- The choice ---- */

/* What speaks for a candidate, the weightiest first. */
struct merit {
    bool is_valid_now;
    int usability;          /* what is not usable is no candidate at all */
    bool is_exact, is_fast; /* fast: ECDSA or Ed25519 */
    time_t lives_until;
};

static struct merit merit_of(const struct candidate *c, const struct client_hello *h, time_t now)
{
    const struct certificate *certificate = c->certificate;

    return (struct merit){
        .is_valid_now = certificate->not_before <= now && now <= certificate->not_after,
        .usability = usability(certificate->kind, h),
        .is_exact = !c->by_wildcard,
        .is_fast = certificate->kind != CERTIFICATE_RSA && certificate->kind != CERTIFICATE_OTHER,
        .lives_until = certificate->not_after,
    };
}

static bool is_better(const struct merit *a, const struct merit *b)
{
    if (a->is_valid_now != b->is_valid_now)
        return a->is_valid_now;
    if (a->usability != b->usability)
        return a->usability > b->usability;
    if (a->is_exact != b->is_exact)
        return a->is_exact;
    if (a->is_fast != b->is_fast)
        return a->is_fast;
    return a->lives_until > b->lives_until;
}

static struct certificate *best_of(const struct candidates *candidates, const struct client_hello *h, time_t now)
{
    struct certificate *best = NULL;
    struct merit best_merit = { .usability = UNUSABLE };

    for (size_t i = 0; i < candidates->count; i++) {
        struct merit merit = merit_of(&candidates->items[i], h, now);
        if (merit.usability == UNUSABLE || (best && !is_better(&merit, &best_merit)))
            continue;
        best = candidates->items[i].certificate;
        best_merit = merit;
    }
    return best;
}

struct certificate *cert_choose(const struct cert_index *index, const struct client_hello *hello, time_t now,
                                bool *ret_name_matched)
{
    const struct candidates *matching = NULL;

    if (hello->has_server_name)
        matching = hostname_table_find(index->by_name, &hello->server_name);
    *ret_name_matched = matching != NULL;
    return best_of(matching ? matching : &index->fallback, hello, now);
}
