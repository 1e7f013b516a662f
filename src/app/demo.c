/* demo.c: `unlade demo`: a CA of its own, a certificate for localhost, a small server behind, and all of it served. */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "app/command.h"
#include "app/demo_backend.h"
#include "app/sockets.h"
#include "app/supervisor.h"
#include "base/check.h"
#include "certs/store.h"

enum { CA_DAYS = 3650, LEAF_DAYS = 90, RENEW_DAYS = 14, DAY = 86400, PATH_ROOM = 4096, FILE_MOST = 65536 };

struct demo {
    char folder[PATH_ROOM], ca[PATH_ROOM + 16], ca_key[PATH_ROOM + 16], leaf[PATH_ROOM + 16];
    const char *port;
};

/* ---- the folder ---- */

static bool is_private_folder(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
           !(st.st_mode & (S_IWGRP | S_IWOTH));
}

/* The folder and those above it. */
static bool make_folder(const char *path)
{
    char part[PATH_ROOM];

    for (const char *slash = strchr(path + 1, '/');; slash = strchr(slash + 1, '/')) {
        size_t size = slash ? (size_t)(slash - path) : strlen(path);
        memcpy(part, path, size);
        part[size] = '\0';
        if (mkdir(part, 0700) < 0 && errno != EEXIST)
            return false;
        if (!slash)
            break;
    }
    return is_private_folder(path) && access(path, W_OK) == 0;
}

static bool try_folder(struct demo *d, const char *start, const char *rest)
{
    int n = start && start[0] == '/' ? snprintf(d->folder, sizeof d->folder, "%s%s", start, rest) : -1;

    return n > 0 && (size_t)n < sizeof d->folder && make_folder(d->folder);
}

/* Where the CA lives: under XDG_DATA_HOME, the home, or, where there is none, /tmp. */
static bool find_folder(struct demo *d)
{
    static const char in_home[] = "/.local/share/unlade/demo";
    const struct passwd *user = getpwuid(geteuid());
    char last[64];

    snprintf(last, sizeof last, "/tmp/unlade-demo-%u", (unsigned)geteuid());
    if (!try_folder(d, getenv("XDG_DATA_HOME"), "/unlade/demo") && !try_folder(d, getenv("HOME"), in_home) &&
        !try_folder(d, user ? user->pw_dir : NULL, in_home) && !try_folder(d, last, ""))
        return false;
    snprintf(d->ca, sizeof d->ca, "%s/ca.pem", d->folder);
    snprintf(d->ca_key, sizeof d->ca_key, "%s/ca.key", d->folder);
    snprintf(d->leaf, sizeof d->leaf, "%s/localhost.pem", d->folder);
    return true;
}

/* ---- certificates ---- */

/* Whether both files hold a certificate and its key that are good for some days more. */
static bool is_good(const char *cert_path, const char *key_path, int days)
{
    struct bytes cert = BYTES_NONE, key = BYTES_NONE;
    struct certificate c;
    struct arena arena;
    const char *why;
    bool good = false;

    arena_init(&arena, NULL, SIZE_MAX);
    if (loader_read_file(cert_path, FILE_MOST, &cert, NULL) == 0 &&
        loader_read_file(key_path, FILE_MOST, &key, NULL) == 0 &&
        certificate_parse(cert, key, cert_path, &arena, &c, &why) == 0) {
        time_t now = time(NULL);
        good = c.not_before <= now && c.not_after - now > (time_t)days * DAY;
        certificate_clear(&c);
    }
    loader_free_file(cert);
    loader_free_file(key);
    arena_reset(&arena);
    return good;
}

/* Replaces the file whole or not at all. */
static bool write_file(const char *path, const char *text, const char *more, mode_t mode)
{
    char draft[PATH_ROOM + 32];
    bool fine;
    int fd;

    snprintf(draft, sizeof draft, "%s.new", path);
    unlink(draft);
    fd = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return false;
    fine = write(fd, text, strlen(text)) == (ssize_t)strlen(text) &&
           write(fd, more, strlen(more)) == (ssize_t)strlen(more);
    close(fd);
    if (fine && rename(draft, path) == 0)
        return true;
    unlink(draft);
    return false;
}

static void wipe(char *text)
{
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
}

static bool make_ca(const struct demo *d)
{
    static const char *const names[] = { "Unlade demo CA", NULL };
    struct certificate_request request = { .names = names, .days = CA_DAYS, .is_ca = true };
    char *cert, *key;
    bool fine;

    if (certificate_make(&request, &cert, &key) < 0)
        return false;
    fine = write_file(d->ca_key, key, "", 0600) && write_file(d->ca, cert, "", 0644);
    wipe(cert);
    wipe(key);
    if (fine)
        unlink(d->leaf); /* of the CA before */
    return fine;
}

static char *read_text(const char *path)
{
    struct bytes content;
    char *text;

    if (loader_read_file(path, FILE_MOST, &content, NULL) < 0)
        return NULL;
    text = strndup((const char *)content.at, content.size);
    loader_free_file(content);
    return text;
}

static bool make_leaf(const struct demo *d)
{
    static const char *const names[] = { "localhost", "127.0.0.1", "::1", NULL };
    char *ca = read_text(d->ca), *ca_key = read_text(d->ca_key), *cert = NULL, *key = NULL;
    struct certificate_request request = { .names = names, .days = LEAF_DAYS, .ca_cert_pem = ca, .ca_key_pem = ca_key };
    bool fine = ca && ca_key && certificate_make(&request, &cert, &key) == 0 && write_file(d->leaf, cert, key, 0600);

    free(ca);
    wipe(ca_key);
    free(cert);
    wipe(key);
    return fine;
}

static bool prepare_certificates(const struct demo *d)
{
    if (!is_good(d->ca, d->ca_key, LEAF_DAYS) && !make_ca(d))
        return false;
    return is_good(d->leaf, d->leaf, RENEW_DAYS) || make_leaf(d);
}

/* ---- the service ---- */

/* For the shell: quoted where it must be. */
static void print_word(const char *word)
{
    if (word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+")] == '\0') {
        fputs(word, stderr);
        return;
    }
    putc('\'', stderr);
    for (; *word; word++)
        fputs(*word == '\'' ? "'\\''" : (char[]){ *word, '\0' }, stderr);
    putc('\'', stderr);
}

static void say_ready(void *context)
{
    const struct demo *d = context;

    fprintf(stderr,
            "\nUnlade serves https://localhost:%s/ in front of a demo server.\n\n  Try it:       curl --cacert ",
            d->port);
    print_word(d->ca);
    fprintf(stderr,
            " https://localhost:%s/\n  In a browser: open https://localhost:%s/; it warns until it knows the CA\n"
            "  The CA:       %s\n  To stop:      Ctrl-C (or kill %d)\n\n",
            d->port, d->port, d->ca, (int)getpid());
}

static char *make_yaml(const struct demo *d, uint16_t backend_port, bool ipv6)
{
    char *text;
    int n = asprintf(&text,
                     "listeners:\n"
                     "  demo:\n"
                     "    address: [\"127.0.0.1:%s\"%s%s%s]\n"
                     "    certificates: { files: localhost.pem }\n"
                     "    to: demo\n"
                     "upstreams:\n"
                     "  demo: { servers: [\"127.0.0.1:%u\"] }\n"
                     "log:\n"
                     "  access: { to: stdout, format: combined }\n",
                     d->port, ipv6 ? ", \"[::1]:" : "", ipv6 ? d->port : "", ipv6 ? "\"" : "", backend_port);

    CHECK(n > 0);
    return text;
}

static bool can_bind(const char *ip, uint16_t port)
{
    struct address a;

    return address_from_ip(ip, port, &a) == 0 && sockets_probe(&a) == 0;
}

static int serve(struct demo *d, uint16_t port)
{
    struct bundle_entry leaf = { .kind = BUNDLE_FILE, .name = BYTES_LITERAL("localhost.pem") };
    struct loader_source source = { .path = "(demo)", .files = &leaf, .file_count = 1 };
    struct supervisor_setup setup = { .source = &source, .on_ready = say_ready, .context = d };
    struct identity identity;
    uint16_t backend_port;
    char *yaml;
    int status;

    if (loader_read_file(d->leaf, FILE_MOST, &leaf.content, NULL) < 0) {
        fprintf(stderr, "unlade: %s cannot be read: %s\n", d->leaf, strerror(errno));
        return EXIT_FAILED;
    }
    if (identity_find(NULL, &identity) < 0 || demo_backend_start(&identity, &backend_port) < 0) {
        fprintf(stderr, "unlade: the demo server cannot be started: %s\n", strerror(errno));
        return EXIT_FAILED;
    }
    source.text = yaml = make_yaml(d, backend_port, can_bind("::1", port));
    status = supervisor_run(&setup);
    loader_free_file(leaf.content);
    free(yaml);
    return status;
}

int demo_command(const struct command *c, int argc, char **argv)
{
    static struct demo d;
    const struct command_flag flags[] = { { "port", 'p', &d.port }, { 0 } };
    uint64_t port;
    int status, first;

    d.port = "8443";
    first = command_options(c, argc, argv, flags, &status);
    if (first < 0)
        return status;
    if (first < argc)
        return command_misused(c, "unexpected argument %s", argv[first]);
    if (bytes_to_number(bytes_of_text(d.port), 65535, &port) < 0 || port == 0)
        return command_misused(c, "%s is no port: write one from 1 to 65535", d.port);
    if (!can_bind("127.0.0.1", (uint16_t)port)) {
        fprintf(stderr, "unlade: port %s of 127.0.0.1 cannot be used: %s. Try another: unlade demo --port %u\n", d.port,
                strerror(errno), port < 65535 ? (unsigned)port + 1 : 8443u);
        return EXIT_FAILED;
    }
    if (!find_folder(&d) || !prepare_certificates(&d)) {
        fprintf(stderr, "unlade: the demo's certificates cannot be made in %s: %s\n",
                d.folder[0] ? d.folder : "any folder", strerror(errno));
        return EXIT_FAILED;
    }
    return serve(&d, (uint16_t)port);
}
