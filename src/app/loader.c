#include "app/loader.h"

#include <errno.h>
#include <fcntl.h>
#include <arpa/inet.h>
#include <glob.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/options.h"
#include "proxy/snapshot.h"
#include "base/address.h"
#include "base/check.h"

enum { FILE_MOST = 8 << 20, CONFIG_MOST = 4 << 20 }; /* bytes */

struct loader {
    struct config *config;
    struct bundle *bundle;
    const char *folder; /* of the configuration file, with a slash at its end; or "" */
};

/* ---- files ---- */

static int read_all(int fd, size_t most, struct bytes *ret_content)
{
    size_t used = 0, room = 65536;
    uint8_t *data = malloc(room);

    CHECK(data);
    for (;;) {
        ssize_t n = read(fd, data + used, room - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 || used + (size_t)n > most) {
            int error = n < 0 ? errno : EFBIG;
            loader_free_file(bytes_of(data, used));
            errno = error;
            return -E_SYSTEM;
        }
        if (n == 0)
            break;
        used += (size_t)n;
        if (used == room) { /* grows by copying, so that no key is left behind in freed memory */
            uint8_t *larger = malloc(room *= 2);
            CHECK(larger);
            memcpy(larger, data, used);
            loader_free_file(bytes_of(data, used));
            data = larger;
        }
    }
    *ret_content = bytes_of(data, used);
    return 0;
}

int loader_read_file(const char *path, size_t most, struct bytes *ret_content, unsigned *ret_mode)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY), r, error;
    struct stat st;

    if (fd < 0)
        return -E_SYSTEM;
    r = fstat(fd, &st) < 0 ? -E_SYSTEM : 0;
    if (!r && S_ISDIR(st.st_mode)) {
        errno = EISDIR;
        r = -E_SYSTEM;
    }
    if (!r)
        r = read_all(fd, most, ret_content);
    error = errno;
    close(fd);
    errno = error;
    if (!r && ret_mode)
        *ret_mode = st.st_mode;
    return r;
}

void loader_free_file(struct bytes content)
{
    void *data = (void *)(uintptr_t)content.at;

    if (data)
        explicit_bzero(data, content.size);
    free(data);
}

static bool has_key(struct bytes content)
{
    static const char words[] = "PRIVATE KEY-----";

    return content.size && memmem(content.at, content.size, words, sizeof words - 1);
}

static void add(struct loader *l, enum bundle_kind kind, const char *name, const char *pattern, struct bytes content)
{
    struct bundle_entry e = { kind, bytes_of_text(name), bytes_of_text(pattern), content };

    CHECK(bundle_add(l->bundle, &e) == 0);
}

static const char *reason(void)
{
    return errno == EFBIG ? "it is too large" : strerror(errno);
}

/* Adds one file. must_exist: its absence is a fault. */
static void add_file(struct loader *l, enum bundle_kind kind, const char *name, const char *pattern, const void *field,
                     bool must_exist)
{
    struct bytes content = BYTES_NONE;
    unsigned mode = 0;
    char *path;

    if (bundle_find(l->bundle, kind, bytes_of_text(name)))
        return;
    CHECK(asprintf(&path, "%s%s", name[0] == '/' ? "" : l->folder, name) >= 0);
    if (loader_read_file(path, FILE_MOST, &content, &mode) < 0) {
        if (must_exist || errno != ENOENT)
            config_complain(l->config, COMPLAINT_ERROR, field, "%s cannot be read: %s", path, reason());
        free(path);
        return;
    }
    if (has_key(content) && (mode & (S_IRWXO | S_IWGRP)))
        config_complain(l->config, COMPLAINT_ERROR, field,
                        "%s holds a private key that others may use (mode %03o): run `chmod 600 %s`", path,
                        mode & 0777u, path);
    add(l, kind, name, pattern, content);
    loader_free_file(content);
    free(path);
}

/* The key of a certificate may stand in a file of the same name that ends with .key. */
static void add_key_beside(struct loader *l, const char *name, enum bundle_kind kind, const void *field)
{
    const struct bundle_entry *e = bundle_find(l->bundle, kind, bytes_of_text(name));
    const char *dot = strrchr(name, '.'), *slash = strrchr(name, '/');
    char *key;

    if (!e || has_key(e->content) || !dot || (slash && dot < slash))
        return;
    CHECK(asprintf(&key, "%.*s.key", (int)(dot - name), name) > 0);
    if (strcmp(key, name) != 0)
        add_file(l, BUNDLE_FILE, key, NULL, field, false);
    free(key);
}

static void add_matches(struct loader *l, const struct option_file *file)
{
    char *pattern;
    glob_t found;
    int r;

    CHECK(asprintf(&pattern, "%s%s", file->path[0] == '/' ? "" : l->folder, file->path) >= 0);
    r = glob(pattern, GLOB_ERR, NULL, &found); /* sorted */
    if (r == GLOB_NOMATCH)
        config_complain(l->config, COMPLAINT_ERROR, file, "%s matches no file", pattern);
    else if (r)
        config_complain(l->config, COMPLAINT_ERROR, file, "%s cannot be looked up: %s", pattern, strerror(errno));
    for (size_t i = 0; !r && i < found.gl_pathc; i++) {
        add_file(l, BUNDLE_MATCH, found.gl_pathv[i], file->path, file, true);
        add_key_beside(l, found.gl_pathv[i], BUNDLE_MATCH, file);
    }
    if (!r)
        globfree(&found);
    free(pattern);
}

static void add_files(struct loader *l)
{
    const struct config_file *files;
    size_t count = config_files(l->config, &files);

    for (size_t i = 0; i < count; i++) {
        const struct option_file *file = files[i].file;
        if (files[i].is_glob && !bundle_find(l->bundle, BUNDLE_FILE, bytes_of_text(file->path))) {
            add_matches(l, file);
            continue;
        }
        add_file(l, BUNDLE_FILE, file->path, NULL, file, true);
        if (files[i].is_files)
            add_key_beside(l, file->path, BUNDLE_FILE, file);
    }
}

/* The certificates that this system believes, where servers are verified with them. */
static void add_store(struct loader *l, const struct site_options *site)
{
    const char *named = getenv("SSL_CERT_FILE"); /* as for other programs that use OpenSSL */
    const void *field = site_needs_store(site);
    struct bytes content = BYTES_NONE;
    const char *path = NULL;
    int r = -E_SYSTEM;

    if (!field || bundle_find(l->bundle, BUNDLE_STORE, BYTES_NONE))
        return;
    if (named && named[0])
        r = loader_read_file(path = named, FILE_MOST, &content, NULL);
    for (size_t i = 0; r < 0 && (!named || !named[0]) && (path = site_store_path(i)) != NULL; i++)
        r = loader_read_file(path, FILE_MOST, &content, NULL);
    if (r < 0) {
        config_complain(l->config, COMPLAINT_ERROR, field,
                        "the system's store of certificates, %s, cannot be read: %s\n"
                        "install ca-certificates, or write `ca: FILE`",
                        path ? path : site_store_path(0), reason());
        return;
    }
    add(l, BUNDLE_STORE, "", NULL, content);
    loader_free_file(content);
}

/* ---- names ---- */

static void resolve(void *context, const struct option_endpoint *e)
{
    static const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
    struct loader *l = context;
    struct addrinfo *found, *a;
    char lines[64 * (INET6_ADDRSTRLEN + 1)] = "";
    size_t used = 0;
    int r;

    if (bundle_find(l->bundle, BUNDLE_RESOLVED, bytes_of_text(e->host)))
        return;
    r = getaddrinfo(e->host, NULL, &hints, &found);
    if (r && strcmp(e->host, "localhost") == 0) { /* RFC 6761 6.3: always the loopback, also without /etc/hosts */
        add(l, BUNDLE_RESOLVED, e->host, NULL, BYTES_LITERAL("127.0.0.1"));
        return;
    }
    if (r) {
        config_complain(l->config, COMPLAINT_ERROR, e, "the name \"%s\" cannot be resolved: %s", e->host,
                        r == EAI_SYSTEM ? strerror(errno) : gai_strerror(r));
        return;
    }
    for (a = found; a && used + INET6_ADDRSTRLEN + 1 < sizeof lines; a = a->ai_next) {
        char text[INET6_ADDRSTRLEN];
        const void *address = a->ai_family == AF_INET6
                                  ? (const void *)&((const struct sockaddr_in6 *)(const void *)a->ai_addr)->sin6_addr
                                  : &((const struct sockaddr_in *)(const void *)a->ai_addr)->sin_addr;
        if (inet_ntop(a->ai_family, address, text, sizeof text))
            used += (size_t)snprintf(lines + used, sizeof lines - used, "%s%s", used ? "\n" : "", text);
    }
    freeaddrinfo(found);
    add(l, BUNDLE_RESOLVED, e->host, NULL, bytes_of(lines, used));
}

/* ---- the whole ---- */

static char *folder_of(const struct loader_source *source)
{
    const char *slash = source->text ? NULL : strrchr(source->path, '/');
    char *folder = slash ? strndup(source->path, (size_t)(slash + 1 - source->path)) : strdup("");

    CHECK(folder);
    return folder;
}

int loader_read(const struct loader_source *source, struct loaded *ret_loaded, char ret_why[LOADER_WHY])
{
    struct bytes yaml = bytes_of_text(source->text);
    struct loader l = { .bundle = bundle_new() };
    const struct app_options *options;
    char *folder;

    CHECK(l.bundle);
    if (!source->text && loader_read_file(source->path, CONFIG_MOST, &yaml, NULL) < 0) {
        snprintf(ret_why, LOADER_WHY, "the configuration %s cannot be read: %s%s", source->path, reason(),
                 errno == ENOENT ? "; name another with -c FILE, or see `unlade help serve` for a start without one"
                                 : "");
        bundle_free(l.bundle);
        return -E_SYSTEM;
    }
    l.folder = folder = folder_of(source);
    l.config = config_read(&app_options, source->path, yaml);
    add(&l, BUNDLE_YAML, source->path, NULL, yaml);
    for (size_t i = 0; i < source->file_count; i++)
        CHECK(bundle_add(l.bundle, &source->files[i]) == 0);
    add_files(&l);
    options = config_root(l.config);
    add_store(&l, &options->site);
    site_each_name(&options->site, resolve, &l);
    free(folder);
    if (!source->text)
        loader_free_file(yaml);
    *ret_loaded = (struct loaded){ l.config, l.bundle };
    return 0;
}

void loaded_free(struct loaded *loaded)
{
    config_free(loaded->config);
    bundle_free(loaded->bundle);
    *loaded = (struct loaded){ 0 };
}
