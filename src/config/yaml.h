/* yaml.h: the text of a YAML file as a tree of nodes, each of which knows where it stands. The one place that knows
 * libfyaml; its events are used, not its documents, so that depth, aliases and positions are in our hands.
 *
 * Allowed is the part of YAML 1.2 that a configuration needs: one document of mappings, sequences and scalars, in block
 * or flow notation. Anchors, aliases, tags and keys that are no scalars are problems; the walk goes on behind these. What
 * breaks the syntax (or is no UTF-8 text, or nests too deeply) is a problem too, and then the only one. */
#ifndef CONFIG_YAML_H
#define CONFIG_YAML_H

#include "base/arena.h"
#include "base/bytes.h"

enum {
    YAML_DEPTH_MOST = 32,
    YAML_SIZE_MOST = 64 << 20, /* bytes of a file */
};

enum yaml_kind { YAML_SCALAR, YAML_SEQUENCE, YAML_MAPPING };

struct yaml_node {
    enum yaml_kind kind;
    bool is_plain;                  /* a scalar without quotes, and not a block of text */
    struct bytes text;              /* of a scalar, and a zero byte behind it */
    size_t begin, end;              /* bytes from the start of the file; equal for what is not written ("key:") */
    struct yaml_node *key;          /* of a mapping's member */
    struct yaml_node *first, *last; /* a sequence's items, a mapping's members */
    struct yaml_node *next;         /* in the same sequence or mapping */
    size_t count;
};

struct yaml_problem {
    size_t begin, end;
    const char *text; /* the lines behind the first are notes: suggestions */
    struct yaml_problem *next;
};

struct yaml {
    struct yaml_node *root; /* NULL: an empty file, or one whose syntax is broken */
    struct yaml_problem *problems;
    bool is_broken; /* the syntax is: the one problem says where */
};

/* Everything lives in the arena; memory that is out aborts. */
void yaml_read(struct arena *arena, struct bytes text, struct yaml *ret_yaml);
/* A plain scalar of that text, which must outlive it. */
void yaml_plain_scalar(const char *text, struct yaml_node *ret_node);
/* null, ~ or nothing at all. */
bool yaml_is_null(const struct yaml_node *node);
bool yaml_is_written(const struct yaml_node *node);

#endif
