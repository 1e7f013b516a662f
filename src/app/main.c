/* main.c: the program's door: finds the command, or helps. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/command.h"
#include "app/version.h"
#include "config/suggest.h"
#include "tls/memory.h"

/* Whoever started us may have closed them; a log must not end up in what is opened in their place. */
static void open_standard_streams(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

static const struct command *find(const char *name)
{
    for (const struct command *c = commands; c->name; c++)
        if (strcmp(c->name, name) == 0)
            return c;
    return NULL;
}

static int unknown(const char *name)
{
    struct suggestion best = { 0 };

    if (name[0] == '-')
        return command_misused(NULL, "unknown option %s", name);
    for (const struct command *c = commands; c->name; c++)
        suggest(&best, bytes_of_text(name), c->name);
    if (best.word)
        return command_misused(NULL, "there is no command %s: did you mean %s?", name, best.word);
    return command_misused(NULL, "there is no command %s", name);
}

static void print_overview(FILE *out)
{
    fputs("Unlade terminates TLS in front of web servers.\n\nusage: unlade COMMAND [OPTION...]\n\n", out);
    for (const struct command *c = commands; c->name; c++)
        fprintf(out, "  %-8s %s\n", c->name, c->summary);
    fputs("\n  help [COMMAND]   this text, or what a command does\n"
          "  --version        the version, and those of the libraries in use\n\n"
          "To try it: unlade demo\n",
          out);
}

static int help(int argc, char **argv)
{
    const struct command *c;

    if (argc < 3) {
        print_overview(stdout);
        return EXIT_FINE;
    }
    c = find(argv[2]);
    if (!c)
        return unknown(argv[2]);
    command_print_help(c);
    return EXIT_FINE;
}

static int finish(int status)
{
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == EXIT_FINE) {
        fputs("unlade: standard output cannot be written\n", stderr);
        return EXIT_FAILED;
    }
    return status;
}

int main(int argc, char **argv)
{
    const struct command *c;

    tls_memory_init();
    open_standard_streams();
    if (argc < 2) {
        print_overview(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0 || strcmp(argv[1], "version") == 0) {
        version_print();
        return finish(EXIT_FINE);
    }
    if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return finish(help(argc, argv));
    c = find(argv[1]);
    if (!c)
        return unknown(argv[1]);
    return finish(c->run(c, argc - 1, argv + 1));
}
