/* value.h: one scalar of the file into the C object of its option, and back. */
#ifndef CONFIG_VALUE_H
#define CONFIG_VALUE_H

#include "base/arena.h"
#include "base/option.h"
#include "config/yaml.h"

bool value_is_scalar(enum option_type type);
/* Whether `null` means "none" for it: texts, endpoints, networks, files, references. */
bool value_may_be_null(enum option_type type);
/* Bytes of the C object. */
size_t value_size(const struct option *row);
/* Reads a scalar into *field. Returns NULL, or what is wrong, to go behind the option's name; suggestions in further
 * lines. field is written only on success. */
const char *value_read(struct arena *arena, const struct option *row, const struct yaml_node *scalar, void *field);
/* What the value must be, for people: "a whole number", "one of modern, intermediate, old". */
const char *value_describe(struct arena *arena, const struct option *row);
/* The value as YAML that reads back the same: quoted where needed, "null" where there is none. Memory of the arena. */
const char *value_print(struct arena *arena, const struct option *row, const void *field);
/* A text as YAML: plain if that is safe, else in double quotes. */
const char *value_print_text(struct arena *arena, const char *text);

#endif
