/* yaml_hint.h: what is wrong with a file before YAML looks at it, and what somebody probably meant where YAML gave up. */
#ifndef CONFIG_YAML_HINT_H
#define CONFIG_YAML_HINT_H

#include "base/arena.h"
#include "base/bytes.h"

/* Whether the text is UTF-8 without control characters, as YAML 1.2 5.1 wants it. If not: where and why. */
bool yaml_text_is_clean(struct arena *arena, struct bytes text, size_t *ret_at, size_t *ret_size, const char **ret_why);
/* Why YAML gave up, in plain words: the cause if one can be seen, and then where that stands.
 *   message         the library's
 *   opened          where the innermost bracket that is still open stands, or SIZE_MAX
 *   at, at_end      where the library gave up; moved to the cause */
const char *yaml_explain(struct arena *arena, struct bytes text, const char *message, size_t opened, size_t *at,
                         size_t *at_end);
/* Why a list or mapping at that place should not be a key. */
const char *yaml_explain_key(struct arena *arena, struct bytes text, size_t at);
/* Byte offset of a line (from 1) and column (from 1, in characters). */
size_t yaml_offset(struct bytes text, size_t line, size_t column);
/* The line in which the byte at offset stands, without its end; its number from 1. */
struct bytes yaml_line(struct bytes text, size_t offset, size_t *ret_number);
/* The same for many offsets in ascending order, without starting from the top again. Start with { 0, 1 }. */
struct line_walk {
    size_t start, number; /* of the line that was asked for last */
};
struct bytes yaml_walk_to_line(struct line_walk *walk, struct bytes text, size_t offset);

#endif
