/* serve.c: `unlade serve`: a configuration out of the command line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/command.h"
#include "app/supervisor.h"
#include "base/check.h"
#include "certs/store.h"
#include "config/endpoint.h"

enum { SELF_SIGNED_DAYS = 30 };
static const char self_signed[] = "self-signed.pem";

struct serve_flags {
    const char *listen, *to, *cert, *key;
};

/* A double-quoted scalar of YAML (1.2, 7.3.1). */
static void print_quoted(FILE *out, const char *text)
{
    putc('"', out);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fprintf(out, "\\%c", *text);
        else if ((unsigned char)*text < 0x20)
            fprintf(out, "\\x%02x", (unsigned)(unsigned char)*text);
        else
            putc(*text, out);
    }
    putc('"', out);
}

static char *make_yaml(const struct serve_flags *f)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    CHECK(out);
    fputs("listeners:\n  serve:\n    address: ", out);
    print_quoted(out, f->listen);
    if (f->cert) {
        fputs("\n    certificates: { certificate: ", out);
        print_quoted(out, f->cert);
        if (f->key) {
            fputs(", key: ", out);
            print_quoted(out, f->key);
        }
        fputs(" }", out);
    } else {
        fprintf(out, "\n    certificates: { files: %s }", self_signed);
    }
    fputs("\n    to: server\nupstreams:\n  server: { servers: [", out);
    print_quoted(out, f->to);
    fputs("] }\n", out);
    fclose(out);
    return text;
}

/* Certificate and key in one text. */
static char *make_certificate(void)
{
    static const char *const names[] = { "localhost", "127.0.0.1", "::1", NULL };
    struct certificate_request request = { .names = names, .days = SELF_SIGNED_DAYS };
    char *cert, *key, *both;

    if (certificate_make(&request, &cert, &key) < 0)
        return NULL;
    CHECK(asprintf(&both, "%s%s", cert, key) > 0);
    explicit_bzero(key, strlen(key));
    free(key);
    free(cert);
    return both;
}

static void say_ready(void *context)
{
    const struct serve_flags *f = context;
    const char *port = strrchr(f->listen, ':');

    fprintf(stderr, "\nServing https on %s, in front of http://%s\n", f->listen, f->to);
    if (!f->cert)
        fprintf(stderr,
                "The certificate is self-signed, made just now and for testing only: clients will warn.\n"
                "Try: curl -k https://localhost%s/        With a certificate: --cert FILE --key FILE\n",
                port && strncmp(f->listen, "unix:", 5) != 0 ? port : "");
    fputs("Stop with Ctrl-C.\n\n", stderr);
}

/* Returns 0, or the exit status when text is no endpoint; what is wrong has been told. */
static int check_endpoint(const struct command *c, const char *flag, const char *text)
{
    struct option_endpoint endpoint;
    struct arena arena;
    const char *why;
    int status = 0;

    arena_init(&arena, NULL, SIZE_MAX);
    why = endpoint_read(&arena, bytes_of_text(text), &endpoint);
    if (why)
        status = command_misused(c, "--%s \"%s\": it %s", flag, text, why);
    arena_reset(&arena);
    return status;
}

int serve_command(const struct command *c, int argc, char **argv)
{
    struct serve_flags f = { 0 };
    const struct command_flag flags[] = {
        { "listen", 'l', &f.listen }, { "to", 't', &f.to }, { "cert", 0, &f.cert }, { "key", 0, &f.key }, { 0 },
    };
    struct bundle_entry made = { .kind = BUNDLE_FILE, .name = bytes_of_text(self_signed) };
    struct loader_source source = { .path = "(command line)" };
    struct supervisor_setup setup = { .source = &source, .on_ready = say_ready, .context = &f };
    char *yaml, *certificate = NULL;
    int status, first = command_options(c, argc, argv, flags, &status);

    if (first < 0)
        return status;
    if (first < argc)
        return command_misused(c, "unexpected argument %s", argv[first]);
    if (!f.listen || !f.to)
        return command_misused(c, "%s is missing", f.listen ? "--to" : "--listen");
    if (f.key && !f.cert)
        return command_misused(c, "--key needs --cert");
    if ((status = check_endpoint(c, "listen", f.listen)) || (status = check_endpoint(c, "to", f.to)))
        return status;
    if (!f.cert) {
        certificate = make_certificate();
        if (!certificate) {
            fputs("unlade: a certificate could not be made\n", stderr);
            return EXIT_FAILED;
        }
        made.content = bytes_of_text(certificate);
        source.files = &made;
        source.file_count = 1;
    }
    source.text = yaml = make_yaml(&f);
    status = supervisor_run(&setup);
    free(yaml);
    if (certificate)
        explicit_bzero(certificate, strlen(certificate));
    free(certificate);
    return status;
}
