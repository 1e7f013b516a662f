/* bundle.h: a configuration with the contents of every file that it names: all that a snapshot is made of.
 *
 * The supervisor, who may read files, makes one; it travels to the worker as one flat block; the worker builds its
 * snapshot from it and from nothing else. Keys are in it: the block is wiped when it is freed. Pure. */
#ifndef CONFIG_BUNDLE_H
#define CONFIG_BUNDLE_H

#include "base/bytes.h"
#include "base/error.h"

enum bundle_kind {
    BUNDLE_YAML,     /* name: the configuration file's path; content: its text. One, the first */
    BUNDLE_FILE,     /* name: a path as the configuration writes it; content: the file's */
    BUNDLE_MATCH,    /* a file that a glob found; name: its path; the pattern in `pattern` */
    BUNDLE_RESOLVED, /* name: a host name; content: its addresses as text, one a line */
    BUNDLE_STORE,    /* no name; content: the certificates that this system believes, PEM */
};

struct bundle_entry {
    enum bundle_kind kind;
    struct bytes name, pattern, content;
};

struct bundle;
struct bundle *bundle_new(void); /* NULL: memory */
void bundle_free(struct bundle *b);
/* Copies name, pattern and content. Adding the same kind, name and pattern again is ignored. Returns 0 or -E_MEMORY. */
int bundle_add(struct bundle *b, const struct bundle_entry *entry) MUST_USE;
size_t bundle_count(const struct bundle *b);
const struct bundle_entry *bundle_entry(const struct bundle *b, size_t i);
/* The entry of that kind and name, or NULL. */
const struct bundle_entry *bundle_find(const struct bundle *b, enum bundle_kind kind, struct bytes name);

/* The flat form: a magic, a version, then entries with their lengths. bundle_open copies. */
size_t bundle_flat_size(const struct bundle *b);
void bundle_flatten(const struct bundle *b, uint8_t *out);
/* Returns NULL when flat is damaged. */
struct bundle *bundle_open(struct bytes flat);

#endif
