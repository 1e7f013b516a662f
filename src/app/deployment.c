#include "app/deployment.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "app/channel.h"
#include "app/machine.h"
#include "app/options.h"
#include "base/check.h"
#include "base/log.h"
#include "proxy/snapshot.h"
#include "tls/memory.h"

/* ---- checks of the process's own options ---- */

static bool is_word(const char *text, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(text, *words) == 0)
            return true;
    return false;
}

static void check_target(struct config *c, const char *const *to, const char *const *words)
{
    if (*to && (*to)[0] != '/' && !is_word(*to, words))
        config_complain(c, COMPLAINT_ERROR, to, "\"%s\" is neither an absolute path nor one of the words for this",
                        *to);
}

static void check_user(struct config *c, const char *const *user)
{
    struct identity identity;

    if (geteuid() != 0) {
        if (*user)
            config_complain(c, COMPLAINT_WARNING, user, "`user` is ignored: only root can become another user");
    } else if (identity_find(*user, &identity) < 0) {
        config_complain(c, COMPLAINT_ERROR, user,
                        "there is no user \"%s\": create it (`useradd --system %s`), or name another",
                        *user ? *user : "nobody", *user ? *user : "unlade");
    } else if (identity.uid == 0) {
        config_complain(c, COMPLAINT_WARNING, user, "the worker will run as root: name a user without rights");
    }
}

static void check_owner(struct config *c, const struct address_options *o)
{
    uid_t uid;
    gid_t gid;

    if (o->user && user_find(o->user, &uid) < 0)
        config_complain(c, COMPLAINT_ERROR, &o->user, "there is no user \"%s\"", o->user);
    if (o->group && group_find(o->group, &gid) < 0)
        config_complain(c, COMPLAINT_ERROR, &o->group, "there is no group \"%s\"", o->group);
}

/* What the kernel's settings make of options of sockets. */
static void check_sockets(struct config *c, const struct site_options *site)
{
    static const char advice[] = "the kernel's setting net.ipv4.tcp_fastopen is %u and does not allow it: "
                                 "`sysctl -w net.ipv4.tcp_fastopen=3`";
    unsigned fast_open = machine_fast_open(), backlog = machine_backlog();

    for (size_t i = 0; i < site->listeners.count; i++) {
        const struct listener_options *l = OPTION_ITEM(struct listener_options, &site->listeners, i);
        for (size_t k = 0; k < l->address.count; k++)
            check_owner(c, OPTION_ITEM(struct address_options, &l->address, k));
        if (l->fast_open && !(fast_open & FAST_OPEN_SERVER))
            config_complain(c, COMPLAINT_WARNING, &l->fast_open, advice, fast_open);
        if (l->tcp.backlog > backlog)
            config_complain(c, COMPLAINT_WARNING, &l->tcp.backlog,
                            "the kernel lets %u connections wait at most: raise net.core.somaxconn", backlog);
    }
    for (size_t i = 0; i < site->upstreams.count; i++) {
        const struct upstream_options *u = OPTION_ITEM(struct upstream_options, &site->upstreams, i);
        if (u->fast_open && !(fast_open & FAST_OPEN_CLIENT))
            config_complain(c, COMPLAINT_WARNING, &u->fast_open, advice, fast_open);
    }
}

static void check_process(struct config *c, const struct app_options *o)
{
    static const char *const access_words[] = { "stdout", "syslog", "off", NULL };
    static const char *const events_words[] = { "stderr", "syslog", NULL };
    uint64_t files = machine_raise_files();

    check_target(c, &o->log.access.to, access_words);
    check_target(c, &o->log.events.to, events_words);
    check_user(c, &o->user);
    check_sockets(c, &o->site);
    if (o->limits.connections > files / 2)
        config_complain(c, COMPLAINT_WARNING, &o->limits.connections,
                        "these need up to %llu open files when all are being served, and the limit is %llu: raise it "
                        "(ulimit -Hn, LimitNOFILE)",
                        (unsigned long long)o->limits.connections * 2, (unsigned long long)files);
}

/* ---- verification ---- */

/* Returns the snapshot, or NULL when there are errors; complaints are printed in both cases. */
static struct snapshot *verify(struct loaded *loaded, FILE *complaints)
{
    const struct app_options *o = config_root(loaded->config);
    struct snapshot *s;

    check_process(loaded->config, o);
    s = snapshot_build(loaded->config, &o->site, loaded->bundle, time(NULL));
    config_print_complaints(loaded->config, complaints);
    return s;
}

int deployment_check(const struct loader_source *source, FILE *complaints, size_t *ret_warnings,
                     char ret_why[DEPLOYMENT_WHY])
{
    struct loaded loaded;
    struct snapshot *s;
    size_t errors;
    int r = loader_read(source, &loaded, ret_why);

    if (r < 0)
        return r;
    s = verify(&loaded, complaints);
    errors = config_error_count(loaded.config);
    *ret_warnings = config_warning_count(loaded.config);
    if (s) {
        snapshot_unref(s);
        loaded.config = NULL; /* went with it */
    }
    loaded_free(&loaded);
    return (int)errors;
}

/* ---- what the supervisor keeps ---- */

static char *copy_text(const char *text)
{
    char *copy = text ? strdup(text) : NULL;

    CHECK(copy || !text);
    return copy;
}

static void keep_options(struct deployment *d, const struct app_options *o)
{
    d->workers_written = o->workers;
    d->workers = o->workers ? (unsigned)o->workers : machine_cores();
    d->connections = o->limits.connections;
    d->drain_ns = o->stop.drain_ns;
    d->rotate_ns = o->site.tickets.rotate_ns;
    d->user = copy_text(o->user);
    d->access_to = copy_text(o->log.access.to ? o->log.access.to : "off");
    d->events_to = copy_text(o->log.events.to ? o->log.events.to : "stderr");
    d->access_format = o->log.access.format;
    d->events_level = o->log.events.level;
}

/* Users and groups were checked before. */
static struct listen_wish wish_for(const struct snapshot_listener *l, size_t k)
{
    const struct address_options *o = l->address_options[k];
    struct listen_wish w = { .address = l->addresses[k],
                             .tcp = l->options->tcp,
                             .fast_open = l->options->fast_open,
                             .uid = (uid_t)-1,
                             .gid = (gid_t)-1 };
    unsigned mode = 0;

    CHECK(address_mode(o, &mode) == 0);
    w.mode = (mode_t)mode;
    if (o->user)
        (void)!user_find(o->user, &w.uid);
    if (o->group)
        (void)!group_find(o->group, &w.gid);
    return w;
}

static void keep_sockets(struct deployment *d, const struct snapshot *s)
{
    size_t n = 0;

    for (size_t i = 0; i < s->listener_count; i++)
        d->socket_count += s->listeners[i].address_count;
    d->sockets = calloc(d->socket_count + 1, sizeof *d->sockets); /* never of nothing */
    CHECK(d->sockets);
    for (size_t i = 0; i < s->listener_count; i++)
        for (size_t k = 0; k < s->listeners[i].address_count; k++)
            d->sockets[n++] = wish_for(&s->listeners[i], k);
    d->listeners = (unsigned)s->listener_count;
}

static int keep_bundle(struct deployment *d, const struct bundle *bundle)
{
    size_t size = bundle_flat_size(bundle);
    uint8_t *content;
    int fd = sealed_open("unlade-bundle", size, &content);

    if (fd < 0)
        return fd;
    d->memfd = fd;
    bundle_flatten(bundle, content);
    return sealed_close(fd, content, size);
}

int deployment_make(const struct loader_source *source, FILE *complaints, struct deployment **ret_deployment,
                    char ret_why[DEPLOYMENT_WHY])
{
    static unsigned generations;
    struct deployment *d;
    struct loaded loaded;
    struct snapshot *s;
    int r;

    ret_why[0] = '\0';
    r = loader_read(source, &loaded, ret_why);
    if (r < 0)
        return r;
    tls_memory_wipe_freed(true);
    s = verify(&loaded, complaints);
    if (!s) {
        size_t errors = config_error_count(loaded.config);
        snprintf(ret_why, DEPLOYMENT_WHY, "%zu error%s in %s", errors, errors == 1 ? "" : "s", source->path);
        loaded_free(&loaded);
        tls_memory_wipe_freed(false);
        return -E_CONFIG;
    }
    d = calloc(1, sizeof *d);
    CHECK(d);
    generations++;
    *d = (struct deployment){ .generation = generations, .memfd = -1, .access.fd = -1, .events.fd = -1 };
    keep_options(d, config_root(loaded.config));
    keep_sockets(d, s);
    d->warnings = (unsigned)config_warning_count(loaded.config);
    r = keep_bundle(d, loaded.bundle);
    if (r < 0)
        snprintf(ret_why, DEPLOYMENT_WHY, "no memory file for the configuration: %s", strerror(errno));
    snapshot_unref(s); /* and the config with it */
    bundle_free(loaded.bundle);
    tls_memory_wipe_freed(false);
    malloc_trim(0);
    if (!r)
        r = deployment_open_logs(d, ret_why);
    if (r < 0) {
        deployment_free(d);
        return r;
    }
    *ret_deployment = d;
    return 0;
}

int deployment_open_logs(struct deployment *d, char ret_why[DEPLOYMENT_WHY])
{
    struct log_target access, events;
    int r = log_target_open(d->access_to, &access, ret_why);

    if (r < 0)
        return r;
    r = log_target_open(d->events_to, &events, ret_why);
    if (r < 0) {
        log_target_close(&access);
        return r;
    }
    log_target_close(&d->access);
    log_target_close(&d->events);
    d->access = access;
    d->events = events;
    return 0;
}

void deployment_free(struct deployment *d)
{
    if (!d)
        return;
    if (d->memfd >= 0)
        close(d->memfd);
    log_target_close(&d->access);
    log_target_close(&d->events);
    free(d->sockets);
    free(d->user);
    free(d->access_to);
    free(d->events_to);
    free(d);
}
