#include "app/options.h"

#include "certs/store.h"
#include "upstream/options.h"

static const struct option stop_rows[] = {
    { "drain", OPTION_DURATION, OPTION_AT(struct app_stop_options, drain_ns), .standard = "30s",
      .reload = OPTION_RESTART,
      .doc = "How long running requests may still take after SIGTERM; then their connections are closed." },
};
static const struct option_table stop_table =
    OPTION_TABLE("stop", struct app_stop_options, stop_rows, "How the service stops.");

static const struct option limits_rows[] = {
    { "connections", OPTION_NUMBER, OPTION_AT(struct app_limits, connections), .standard = "auto", .zero = "auto",
      .most = 100000000, .reload = OPTION_RESTART,
      .doc = "Clients connected at the same time; further ones wait in the queue of the kernel. Automatic: what the "
             "limit of open files (ulimit -Hn, LimitNOFILE) allows, at two for each client: its own and the one to its "
             "server. More may be asked for where most clients wait between requests, up to nine tenths of the limit; "
             "when descriptors are out, requests get 503." },
};
static const struct option_table limits_table =
    OPTION_TABLE("limits", struct app_limits, limits_rows, "Limits of the whole process.");

static const struct option root_rows[] = {
    { "listeners", OPTION_MAP, OPTION_AT(struct app_options, site.listeners), .table = &listener_options,
      .required = true, .least = 1, .doc = "Where clients are served, by name." },
    { "upstreams", OPTION_MAP, OPTION_AT(struct app_options, site.upstreams), .table = &upstream_options,
      .doc = "Groups of servers that requests are passed on to, by name." },
    { "certificates", OPTION_LIST, OPTION_AT(struct app_options, site.certificates), .table = &certificate_options,
      .doc = "Certificates for listeners that have none of their own." },
    { "tls", OPTION_MAP, OPTION_AT(struct app_options, site.tls), .table = &tls_policy_options,
      .doc = "Named TLS policies. The one named default applies wherever none is named." },
    { "tickets", OPTION_SECTION, OPTION_AT(struct app_options, site.tickets), .table = &tls_tickets_options,
      .doc = "The keys of session tickets." },
    { "log", OPTION_SECTION, OPTION_AT(struct app_options, log), .table = &log_options, .doc = "Where log lines go." },
    { "workers", OPTION_NUMBER, OPTION_AT(struct app_options, workers), .standard = "auto", .zero = "auto",
      .most = 1024, .reload = OPTION_RESTART,
      .doc = "Threads that serve clients. Automatic: one for each core that the process may use, less where a "
             "container's quota allows less." },
    { "user", OPTION_TEXT, OPTION_AT(struct app_options, user), .reload = OPTION_RESTART,
      .doc = "The user whose rights the worker has when the service is started as root. By default unlade where that "
             "user exists, otherwise nobody." },
    { "limits", OPTION_SECTION, OPTION_AT(struct app_options, limits), .table = &limits_table,
      .doc = "Limits of the whole process." },
    { "stop", OPTION_SECTION, OPTION_AT(struct app_options, stop), .table = &stop_table,
      .doc = "How the service stops." },
};

const struct option_table app_options = OPTION_TABLE(
    "configuration", struct app_options, root_rows,
    "Unlade's configuration is one YAML file, /etc/unlade/unlade.yaml unless -c names another. Relative paths in it "
    "start from its folder. SIGHUP applies a changed file without dropping a connection; options marked as needing a "
    "restart keep their old value until then.",
    .example = "listeners:\n  web:\n    address: \":443\"\n    certificates: /etc/unlade/certs/*.pem\n    to: app\n"
               "upstreams:\n  app: { servers: [127.0.0.1:8080] }\n");
