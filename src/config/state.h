/* state.h: what a struct config holds. For the files of this room alone; everybody else uses config.h. */
#ifndef CONFIG_STATE_H
#define CONFIG_STATE_H

#include <stdarg.h>

#include "config/config.h"
#include "config/yaml.h"

struct complaint {
    enum complaint_level level;
    size_t begin, end; /* bytes from the start of the file; begin SIZE_MAX: about the file as a whole */
    const char *text;  /* the lines behind the first are notes */
    struct complaint *next;
};

/* A value that the file gives, and where. The places of structs enclose those of their members. */
struct place {
    const uint8_t *address;
    size_t size; /* of the C object */
    const struct yaml_node *node;
    size_t outer; /* index of the smallest place around this one, or SIZE_MAX */
    bool is_struct;
    bool is_secret;
};

struct config_reference {
    const char *name;
    const struct option *row;
    const struct yaml_node *node;
    struct config_reference *next;
};

struct config {
    struct arena arena;
    const struct option_table *table;
    void *root;
    const char *file_name;
    struct bytes text;
    struct complaint *complaints, **complaints_end;
    size_t errors, warnings;
    struct place *places; /* sorted by address, the larger first, once sealed */
    size_t place_count, place_room;
    bool has_secrets;
    struct config_file *files; /* in the file's order, once sealed */
    size_t *file_offsets;
    size_t file_count, file_room;
    struct config_reference *references;
};

/* Memory from the config's arena, or an abort. */
void *config_alloc(struct config *c, size_t size);
__attribute__((format(printf, 2, 3))) const char *config_text(struct config *c, const char *format, ...);
/* Text from the file for a message: in double quotes, control characters escaped, cut when long. */
const char *config_quote(struct config *c, struct bytes text);

/* A complaint about bytes of the file. A line break in the text starts a note. */
void complain_at(struct config *c, enum complaint_level level, size_t begin, size_t end, const char *text);
/* About a node: a scalar as a whole; a list or mapping at its key, or where it begins. */
void complain_node(struct config *c, const struct yaml_node *node, const char *text);
void node_span(const struct yaml_node *node, size_t *ret_begin, size_t *ret_end);

void place_add(struct config *c, const struct place *place);
/* No more places come: sorts them, so that they can be found. */
void place_seal(struct config *c);
/* The place of exactly that address (a member rather than the struct that starts with it), else the smallest one around
 * it, or NULL. */
const struct place *place_find(const struct config *c, const void *address, bool *ret_is_exact);

#endif
