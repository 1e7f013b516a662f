/* sample.h: a configuration language with an option of every type, for the tests and the fuzz target of config/. */
#ifndef TESTS_SAMPLE_H
#define TESTS_SAMPLE_H

#include "base/option.h"

enum sample_level { LEVEL_LOW, LEVEL_HIGH, LEVEL_OFF };

struct sample_word {
    const char *word;
};

struct sample_limits {
    uint64_t size, rate, count;
    bool strict;
};

struct sample_server {
    struct option_endpoint address;
    uint64_t weight;
};

struct sample_group {
    const char *name;
    struct option_list servers; /* struct sample_server */
    uint64_t idle_ns;
};

struct sample_address {
    struct option_endpoint endpoint;
};

struct sample_network {
    struct option_network network;
};

struct sample_site {
    const char *name;
    struct option_list addresses; /* struct sample_address */
    struct option_file page;
    struct option_file certificates;
    const char *to;
    struct sample_limits limits;
    struct sample_limits *extra;
};

struct sample {
    uint64_t workers;
    int level;
    const char *user;
    const char *password;
    uint64_t wait_ns;
    struct option_list words;   /* struct sample_word */
    struct option_list trusted; /* struct sample_network */
    struct option_list sites;   /* struct sample_site */
    struct option_list groups;  /* struct sample_group */
    struct sample_limits limits;
};

static const struct option_choice sample_levels[] = {
    { "low", LEVEL_LOW, "Little." },
    { "high", LEVEL_HIGH, "Much." },
    { "off", LEVEL_OFF, NULL },
    { NULL, 0, NULL },
};

static const struct option sample_word_rows[] = {
    { "word", OPTION_TEXT, OPTION_AT(struct sample_word, word), .required = true, .doc = "A word." },
};
static const struct option_table sample_words =
    OPTION_TABLE("word", struct sample_word, sample_word_rows, "A word.", .shorthand = "word");

static const struct option sample_limits_rows[] = {
    { "size", OPTION_SIZE, OPTION_AT(struct sample_limits, size), .standard = "16k", .least = 1024, .most = 1 << 30,
      .doc = "Bytes at most." },
    { "rate", OPTION_RATE, OPTION_AT(struct sample_limits, rate), .standard = "512/s", .zero = "off",
      .doc = "Bytes per second, at least." },
    { "count", OPTION_NUMBER, OPTION_AT(struct sample_limits, count), .least = 2,
      .doc = "How many | without a default." },
    { "strict", OPTION_BOOL, OPTION_AT(struct sample_limits, strict), .standard = "yes",
      .doc = "Whether to be strict." },
};
static const struct option_table sample_limits =
    OPTION_TABLE("limits", struct sample_limits, sample_limits_rows, "Limits of a site.");

static const struct option sample_server_rows[] = {
    { "address", OPTION_ENDPOINT, OPTION_AT(struct sample_server, address), .required = true,
      .doc = "Where it listens." },
    { "weight", OPTION_NUMBER, OPTION_AT(struct sample_server, weight), .standard = "1", .most = 100,
      .doc = "Its share." },
};
static const struct option_table sample_servers =
    OPTION_TABLE("server", struct sample_server, sample_server_rows, "A server.", .shorthand = "address");

static const struct option sample_group_rows[] = {
    { "servers", OPTION_LIST, OPTION_AT(struct sample_group, servers), .table = &sample_servers, .required = true,
      .least = 1, .most = 3, .doc = "Its servers." },
    { "idle_time", OPTION_DURATION, OPTION_AT(struct sample_group, idle_ns), .standard = "60s", .least = 1,
      .most = 3600000000000, .doc = "How long idle ones stay." },
};
static const struct option_table sample_groups =
    OPTION_TABLE("group", struct sample_group, sample_group_rows, "Servers that do the same.", .shorthand = "servers",
                 .example = "groups:\n  app: [10.0.0.1:80]\n");

static const struct option sample_address_rows[] = {
    { "endpoint", OPTION_ENDPOINT, OPTION_AT(struct sample_address, endpoint), .required = true, .doc = "An address." },
};
static const struct option_table sample_addresses =
    OPTION_TABLE("address", struct sample_address, sample_address_rows, "An address.", .shorthand = "endpoint");

static const struct option sample_network_rows[] = {
    { "network", OPTION_NETWORK, OPTION_AT(struct sample_network, network), .required = true, .doc = "A network." },
};
static const struct option_table sample_networks =
    OPTION_TABLE("network", struct sample_network, sample_network_rows, "A network.", .shorthand = "network");

static const struct option sample_site_rows[] = {
    { "address", OPTION_LIST, OPTION_AT(struct sample_site, addresses), .table = &sample_addresses, .required = true,
      .doc = "Where to listen." },
    { "page", OPTION_FILE, OPTION_AT(struct sample_site, page), .standard = "/usr/share/page.html", .doc = "A page." },
    { "certificates", OPTION_FILES, OPTION_AT(struct sample_site, certificates), .doc = "Certificates.",
      .reload = OPTION_RESTART },
    { "to", OPTION_REFERENCE, OPTION_AT(struct sample_site, to), .refers_to = "groups", .doc = "Who serves it." },
    { "limits", OPTION_SECTION, OPTION_AT(struct sample_site, limits), .table = &sample_limits, .doc = "Its limits." },
    { "extra", OPTION_OPTIONAL, OPTION_AT(struct sample_site, extra), .table = &sample_limits, .doc = "More limits." },
};
static const struct option_table sample_sites = OPTION_TABLE("site", struct sample_site, sample_site_rows, "A site.");

static const struct option sample_rows[] = {
    { "workers", OPTION_NUMBER, OPTION_AT(struct sample, workers), .standard = "auto", .zero = "auto", .most = 64,
      .doc = "Threads." },
    { "level", OPTION_CHOICE, OPTION_AT(struct sample, level), .standard = "high", .choices = sample_levels,
      .doc = "How much." },
    { "user", OPTION_TEXT, OPTION_AT(struct sample, user), .standard = "nobody", .doc = "Whose rights." },
    { "password", OPTION_TEXT, OPTION_AT(struct sample, password), .secret = true, .doc = "Known to few." },
    { "wait", OPTION_DURATION, OPTION_AT(struct sample, wait_ns), .standard = "250ms", .doc = "Before the start." },
    { "words", OPTION_LIST, OPTION_AT(struct sample, words), .table = &sample_words, .standard = "[h2, http/1.1]",
      .doc = "Some words." },
    { "trusted", OPTION_LIST, OPTION_AT(struct sample, trusted), .table = &sample_networks, .doc = "Whom to believe." },
    { "sites", OPTION_MAP, OPTION_AT(struct sample, sites), .table = &sample_sites, .doc = "The sites, by name." },
    { "groups", OPTION_MAP, OPTION_AT(struct sample, groups), .table = &sample_groups, .doc = "The groups, by name." },
    { "limits", OPTION_SECTION, OPTION_AT(struct sample, limits), .table = &sample_limits, .doc = "Limits of all." },
};
static const struct option_table sample_table =
    OPTION_TABLE("configuration", struct sample, sample_rows, "The whole file.");

#endif
