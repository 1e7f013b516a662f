/* suggest.h: which of some known words somebody meant who wrote another. */
#ifndef CONFIG_SUGGEST_H
#define CONFIG_SUGGEST_H

#include "base/bytes.h"

/* Keeps the best so far; start with zeros. */
struct suggestion {
    const char *word; /* NULL: none is near enough */
    size_t distance;
};

/* Considers one known word. Near enough is: the same but for case, '-' and '_', or a few slips of typing. */
void suggest(struct suggestion *best, struct bytes written, const char *known);

#endif
