/* loader.h: reads a configuration and every file that it names, and resolves the names of servers: the only place that
 * does. Runs in the supervisor and in commands, before rights are given up; it may block.
 *
 *     file or text --loader_read()--> config (with complaints) + bundle --snapshot_build()--> snapshot */
#ifndef APP_LOADER_H
#define APP_LOADER_H

#include "config/bundle.h"
#include "config/config.h"

/* Where a configuration comes from. Everything is borrowed. */
struct loader_source {
    const char *path;                 /* the file; or, where text is given, a name for messages */
    const char *text;                 /* NULL: read the file */
    const struct bundle_entry *files; /* files that exist in memory alone, in front of those on disk */
    size_t file_count;
};

struct loaded {
    struct config *config;
    struct bundle *bundle;
};

enum { LOADER_WHY = 512 };

/* Faults of the configuration, unreadable files and names without an address among them, become complaints of
 * ret_loaded->config. Returns 0, or -E_SYSTEM when the file itself cannot be read, with a sentence in ret_why. */
int loader_read(const struct loader_source *source, struct loaded *ret_loaded, char ret_why[LOADER_WHY]) MUST_USE;
/* Frees what is there; keys are wiped. */
void loaded_free(struct loaded *loaded);

/* The bytes of one file, at most `most`, as malloc'ed memory. Returns 0, or -E_SYSTEM (errno; EFBIG: too large). */
int loader_read_file(const char *path, size_t most, struct bytes *ret_content, unsigned *ret_mode) MUST_USE;
/* Wipes and frees it. */
void loader_free_file(struct bytes content);

#endif
