/* command.h: the words after `unlade`. Each is one row of a table: what `unlade help` prints and what main() calls come
 * out of it. Exit statuses: 0 fine, 1 it failed, 2 it was called wrongly. */
#ifndef APP_COMMAND_H
#define APP_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

enum { EXIT_FINE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct command {
    const char *name;
    const char *synopsis; /* what follows the name */
    const char *summary;  /* one line */
    const char *help;     /* the rest of the page */
    /* argv[0] is the command's name */
    int (*run)(const struct command *c, int argc, char **argv);
};

extern const struct command commands[]; /* ended by one without a name */

#define CONFIG_STANDARD "/etc/unlade/unlade.yaml"

/* "unlade: ..." and where the help is, on stderr; returns EXIT_USAGE. */
int command_misused(const struct command *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
void command_print_help(const struct command *c);

/* One option of a command: --name VALUE or --name=VALUE, or -letter VALUE. Each takes a value. */
struct command_flag {
    const char *name;
    char letter; /* 0: none */
    const char **value;
};

/* Reads the options of a command; --help prints its page. flags end with one without a name. Returns the index of the
 * first argument that is no option, or -1 when the command is over: with *ret_status. */
int command_options(const struct command *c, int argc, char **argv, const struct command_flag *flags, int *ret_status);

int serve_command(const struct command *c, int argc, char **argv);
int demo_command(const struct command *c, int argc, char **argv);

#endif
