#include "app/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "app/deployment.h"
#include "app/options.h"
#include "app/supervisor.h"
#include "base/log.h"
#include "config/config.h"
#include "config/suggest.h"

int command_misused(const struct command *c, const char *format, ...)
{
    va_list arguments;

    fputs("unlade: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    if (c)
        fprintf(stderr, "\nusage: unlade %s %s\nSee `unlade help %s`.\n", c->name, c->synopsis, c->name);
    else
        fputs("\nSee `unlade help`.\n", stderr);
    return EXIT_USAGE;
}

void command_print_help(const struct command *c)
{
    printf("usage: unlade %s %s\n\n%s\n%s", c->name, c->synopsis, c->summary, c->help);
}

/* ---- options ---- */

static const struct command_flag *find_flag(const struct command_flag *flags, const char *word, const char **ret_value)
{
    size_t size = strcspn(word, "=");

    for (; flags->name; flags++) {
        if (word[1] == '-' && size - 2 == strlen(flags->name) && strncmp(word + 2, flags->name, size - 2) == 0) {
            *ret_value = word[size] ? word + size + 1 : NULL;
            return flags;
        }
        if (flags->letter && word[1] == flags->letter) {
            *ret_value = word[2] ? word + 2 : NULL;
            return flags;
        }
    }
    return NULL;
}

static int unknown_option(const struct command *c, const struct command_flag *flags, const char *word)
{
    size_t dashes = strspn(word, "-");
    struct bytes name = bytes_of(word + dashes, strcspn(word + dashes, "="));
    struct suggestion best = { 0 };

    for (; flags->name; flags++)
        suggest(&best, name, flags->name);
    if (best.word)
        return command_misused(c, "unknown option %s: did you mean --%s?", word, best.word);
    return command_misused(c, "unknown option %s", word);
}

int command_options(const struct command *c, int argc, char **argv, const struct command_flag *flags, int *ret_status)
{
    int i;

    for (i = 1; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
        const struct command_flag *flag;
        const char *value;

        if (strcmp(argv[i], "--") == 0)
            return i + 1;
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            command_print_help(c);
            *ret_status = EXIT_FINE;
            return -1;
        }
        flag = find_flag(flags, argv[i], &value);
        if (!flag) {
            *ret_status = unknown_option(c, flags, argv[i]);
            return -1;
        }
        if (!value)
            value = ++i < argc ? argv[i] : NULL;
        if (!value || !value[0]) {
            *ret_status = command_misused(c, "--%s needs a value", flag->name);
            return -1;
        }
        *flag->value = value;
    }
    return i;
}

/* For commands that know -c alone. Returns false when the command is over. */
static bool only_config(const struct command *c, int argc, char **argv, const char **path, int *ret_status)
{
    const struct command_flag flags[] = { { "config", 'c', path }, { 0 } };
    int first;

    *path = CONFIG_STANDARD;
    first = command_options(c, argc, argv, flags, ret_status);
    if (first < 0)
        return false;
    if (first < argc) {
        *ret_status = command_misused(c, "unexpected argument %s", argv[first]);
        return false;
    }
    return true;
}

/* ---- run, check, config ---- */

static int run_command(const struct command *c, int argc, char **argv)
{
    struct loader_source source = { 0 };
    struct supervisor_setup setup = { .source = &source };
    int status;

    return only_config(c, argc, argv, &source.path, &status) ? supervisor_run(&setup) : status;
}

static int check_command(const struct command *c, int argc, char **argv)
{
    struct loader_source source = { 0 };
    char why[DEPLOYMENT_WHY];
    size_t warnings;
    int status, errors;

    if (!only_config(c, argc, argv, &source.path, &status))
        return status;
    errors = deployment_check(&source, stderr, &warnings, why);
    if (errors < 0) {
        fprintf(stderr, "unlade: %s\n", why);
        return EXIT_FAILED;
    }
    if (errors) {
        fprintf(stderr, "%s: %d error%s, %zu warning%s\n", source.path, errors, errors == 1 ? "" : "s", warnings,
                warnings == 1 ? "" : "s");
        return EXIT_FAILED;
    }
    printf("%s: the configuration is fine", source.path);
    if (warnings)
        printf(" (%zu warning%s)", warnings, warnings == 1 ? "" : "s");
    putchar('\n');
    return EXIT_FINE;
}

static int show(const char *path)
{
    struct loader_source source = { .path = path };
    struct loaded loaded;
    char why[LOADER_WHY];
    size_t errors;

    if (loader_read(&source, &loaded, why) < 0) {
        fprintf(stderr, "unlade: %s\n", why);
        return EXIT_FAILED;
    }
    config_print_complaints(loaded.config, stderr);
    errors = config_error_count(loaded.config);
    if (!errors)
        config_write(loaded.config, stdout);
    loaded_free(&loaded);
    return errors ? EXIT_FAILED : EXIT_FINE;
}

static int config_command(const struct command *c, int argc, char **argv)
{
    const char *path, *what;
    int status;

    if (argc < 2)
        return command_misused(c, "say what: schema, docs or show");
    what = argv[1];
    if (strcmp(what, "--help") == 0 || strcmp(what, "-h") == 0) {
        command_print_help(c);
        return EXIT_FINE;
    }
    if (strcmp(what, "schema") != 0 && strcmp(what, "docs") != 0 && strcmp(what, "show") != 0)
        return command_misused(c, "there is no `config %s`: say schema, docs or show", what);
    if (!only_config(c, argc - 1, argv + 1, &path, &status))
        return status;
    if (strcmp(what, "schema") == 0)
        config_write_schema(&app_options, stdout);
    else if (strcmp(what, "docs") == 0)
        config_write_reference(&app_options, stdout);
    else
        return show(path);
    return EXIT_FINE;
}

/* ---- the table ---- */

const struct command commands[] = {
    { "run", "[-c FILE]", "Serves what a configuration file says, in the foreground.",
      "\n  -c, --config FILE   the configuration (default " CONFIG_STANDARD ")\n"
      "\nSignals: SIGTERM and SIGINT let running requests end, a second one ends at once; SIGHUP reads the\n"
      "configuration and its certificates again; SIGUSR1 opens the log files again.\n",
      run_command },
    { "serve", "--listen ADDRESS --to ADDRESS [--cert FILE --key FILE]",
      "Terminates TLS in front of one server, without a configuration file.",
      "\n  -l, --listen ADDRESS   where clients connect: :8443, 127.0.0.1:8443, [::1]:8443\n"
      "  -t, --to ADDRESS       the server behind, in plain HTTP/1.1: 127.0.0.1:8080, unix:/run/app.sock\n"
      "      --cert FILE        PEM file with the certificate and its chain\n"
      "      --key FILE         PEM file with its key (default: in the certificate's file)\n"
      "\nWithout --cert a self-signed certificate for localhost is made, which browsers warn of.\n",
      serve_command },
    { "check", "[-c FILE]", "Reads a configuration and everything that it names, and says what is wrong.",
      "\n  -c, --config FILE   the configuration (default " CONFIG_STANDARD ")\n"
      "\nEnds with status 0 when it is fine, perhaps with warnings, and 1 when it is not. No port is bound, no "
      "log\nopened.\n",
      check_command },
    { "demo", "[--port PORT]",
      "Serves https://localhost:8443 in front of a demo server, with a certificate of its own CA.",
      "\n  -p, --port PORT   the port (default 8443)\n"
      "\nThe CA is made on first use, under ${XDG_DATA_HOME:-~/.local/share}/unlade/demo.\n",
      demo_command },
    { "config", "schema|docs|show [-c FILE]", "Prints what can be configured, or what is.",
      "\n  schema   the JSON Schema of the configuration, for editors\n"
      "  docs     the reference of all options, as Markdown\n"
      "  show     the effective configuration with every default (-c FILE, default " CONFIG_STANDARD ")\n",
      config_command },
    { 0 },
};
