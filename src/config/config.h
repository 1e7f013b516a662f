/* config.h: from YAML to typed structs by way of option tables, with every error at once.
 *
 *     text --config_read(table)--> struct config (arena, root struct, where each value stood)
 *                                     |-- semantic checks: config_complain() at any value
 *                                     |-- config_files(): what must be read into the bundle
 *                                     '-- config_write(): the effective configuration
 *     table --config_write_reference()--> docs/configuration.md      table --config_write_schema()--> JSON Schema
 *
 * The file is one YAML document in UTF-8; anchors, aliases, tags and merge keys are refused. Duplicate and unknown keys
 * are errors, with a suggestion for a misspelt one. What breaks YAML's syntax is told alone, all else at once.
 *
 * A row's `standard` is read like the file, and is our own bug where it is wrong; a reference in it is not checked.
 * `null` (or nothing behind a key) is as good as absent, but clears the default of a text, file, endpoint, network,
 * reference or OPTION_OPTIONAL. Numbers and booleans in quotes are refused; sizes, durations and rates may have quotes,
 * since JSON, which is read too, has no other way. Pure: the text is given. */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <stdio.h>

#include "base/arena.h"
#include "base/option.h"
#include "config/bundle.h"

struct config;

enum complaint_level { COMPLAINT_ERROR, COMPLAINT_WARNING };

/* file_name is for messages. Always returns a config (aborts when memory is out: only start-up and reload come here);
 * errors are in its complaints, and then the root struct is not to be used beyond more checks. */
struct config *config_read(const struct option_table *root, const char *file_name, struct bytes text);
void config_free(struct config *c);
struct arena *config_arena(struct config *c);
/* The root struct; its members are filled with defaults also where the file had errors. */
void *config_root(struct config *c);

/* A complaint at the value that is stored at `field` (an address inside the structs that config_root gives; an item of
 * a list or map stands for the whole item). A value that the file does not give is complained about at the nearest thing
 * around it that it does give. A line break in the text starts a note, for suggestions. NULL: the file as a whole. */
void config_complain(struct config *c, enum complaint_level level, const void *field, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
size_t config_error_count(const struct config *c);
size_t config_warning_count(const struct config *c);
/* All complaints in the order of their lines:
 *     site.yaml:7:11: error: unknown key "adress" in listener "web"
 *         7 |   web: { adress: ":443" }
 *           |          ^^^^^^
 *           = did you mean "address"? */
void config_print_complaints(const struct config *c, FILE *out);
/* Whether the value was written in the file (false: a default). Where a struct and its first member share an address,
 * the member is meant; ask for a member of a section, not for the section. */
bool config_is_set(const struct config *c, const void *field);
/* file:line of a value, for logs; in the config's arena. */
const char *config_where(struct config *c, const void *field);

/* Every OPTION_FILE and OPTION_FILES value that is not NULL, in the file's order, defaults last. is_glob: an OPTION_FILES
 * with *, ? or [ in it; one without is a path that must exist. */
struct config_file {
    const struct option_file *file;
    bool is_glob;  /* OPTION_FILES with a pattern */
    bool is_files; /* OPTION_FILES: a key may stand beside what it names */
};
size_t config_files(const struct config *c, const struct config_file **ret_files);

/* The effective configuration as YAML, defaults included, secrets as "(secret)". */
void config_write(const struct config *c, FILE *out);
/* docs/configuration.md and the JSON Schema (draft 2020-12) out of the tables alone. */
void config_write_reference(const struct option_table *root, FILE *out);
void config_write_schema(const struct option_table *root, FILE *out);

#endif
