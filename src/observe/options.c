#include "observe/options.h"

#include "base/log.h"
#include "observe/access_log.h"

static const struct option_choice format_choices[] = {
    { "json", ACCESS_JSON, "One JSON object a line, with the facts of TLS and the time of each phase." },
    { "combined", ACCESS_COMBINED, "The combined log format of Apache and nginx." },
    { 0 },
};

static const struct option access_rows[] = {
    { "to", OPTION_TEXT, OPTION_AT(struct access_options, to), .standard = "stdout",
      .doc =
          "A file's path (created with mode 0640, opened again on SIGUSR1 and on a reload), stdout, syslog, or off." },
    { "format", OPTION_CHOICE, OPTION_AT(struct access_options, format), .choices = format_choices, .standard = "json",
      .doc = "How a line looks; docs/operations.md explains every field." },
};
static const struct option_table access_table = OPTION_TABLE(
    "access", struct access_options, access_rows,
    "The access log: one line for each request, or for each connection where it is no HTTP.", .shorthand = "to");

static const struct option_choice level_choices[] = {
    { "error", LOG_ERROR, "What does not work." },
    { "warning", LOG_WARNING, "What will soon not work, or works otherwise than was asked for." },
    { "notice", LOG_NOTICE, "Start, stop, reload." },
    { "info", LOG_INFO, "Also what single clients do, such as failed handshakes." },
    { "debug", LOG_DEBUG, "Everything." },
    { 0 },
};

static const struct option events_rows[] = {
    { "to", OPTION_TEXT, OPTION_AT(struct events_options, to), .standard = "stderr",
      .doc = "A file's path, stderr, or syslog." },
    { "level", OPTION_CHOICE, OPTION_AT(struct events_options, level), .choices = level_choices, .standard = "info",
      .doc = "The least important lines that are written." },
};
static const struct option_table events_table = OPTION_TABLE(
    "events", struct events_options, events_rows, "The event log: what happens to the service.", .shorthand = "to");

static const struct option log_rows[] = {
    { "access", OPTION_SECTION, OPTION_AT(struct log_options, access), .table = &access_table,
      .doc = "One line for each request or relayed connection." },
    { "events", OPTION_SECTION, OPTION_AT(struct log_options, events), .table = &events_table,
      .doc = "What happens to the service: start, reload, certificates that expire, failed handshakes." },
};

const struct option_table log_options = OPTION_TABLE(
    "log", struct log_options, log_rows, "Where log lines go.",
    .example =
        "log:\n  access: { to: /var/log/unlade/access.log, format: json }\n  events: { to: stderr, level: info }\n");
