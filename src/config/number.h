/* number.h: numbers with units, as an operator writes them: 12, 16k, 250ms, 512/s. */
#ifndef CONFIG_NUMBER_H
#define CONFIG_NUMBER_H

#include "base/arena.h"
#include "base/option.h"

enum { NUMBER_TEXT = 32 }; /* bytes: room for every number as text, terminated */

bool number_is_type(enum option_type type);
/* Reads the value of a number, size, duration or rate. Returns NULL, or what is wrong with it, to go behind the
 * option's name: "needs a unit\ndid you mean 5s?". */
const char *number_read(struct arena *arena, enum option_type type, struct bytes text, uint64_t *ret_value);
/* The shortest text that reads back as the same value. */
void number_print(enum option_type type, uint64_t value, char text[NUMBER_TEXT]);
/* "a duration such as 250ms, 5s or 12h" */
const char *number_describe(enum option_type type);

#endif
