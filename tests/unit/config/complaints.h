/* complaints.h: what config_read says about a text, for the tests. */
#ifndef TESTS_COMPLAINTS_H
#define TESTS_COMPLAINTS_H

#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "sample.h"

static inline struct config *read_sample(const char *yaml)
{
    return config_read(&sample_table, "f", bytes_of_text(yaml));
}

static inline char *printed(const struct config *c)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    config_print_complaints(c, out);
    fclose(out);
    return text;
}

/* All complaints about the text; the caller frees them. */
static inline char *complaints_about(const char *yaml)
{
    struct config *c = read_sample(yaml);
    char *text = printed(c);

    config_free(c);
    return text;
}

#endif
