#include "proxy/route_options.h"

static const struct option field_rows[] = {
    { "value", OPTION_TEXT, OPTION_AT(struct field_options, value), .required = true,
      .doc = "The value as it is sent; \"\" for an empty one." },
};
static const struct option_table field_table =
    OPTION_TABLE("header field", struct field_options, field_rows, "A header field.", .shorthand = "value");

static const struct option field_name_rows[] = {
    { "name", OPTION_TEXT, OPTION_AT(struct field_name_options, name), .required = true, .doc = "Its name." },
};
static const struct option_table field_name_table =
    OPTION_TABLE("name of a header field", struct field_name_options, field_name_rows, "A header field's name.",
                 .shorthand = "name");

static const struct option field_rules_rows[] = {
    { "remove", OPTION_LIST, OPTION_AT(struct field_rules_options, remove), .table = &field_name_table,
      .doc = "Names of fields that are taken out. Upper and lower case are one, and so are \"-\", \"_\" and \".\"." },
    { "set", OPTION_MAP, OPTION_AT(struct field_rules_options, set), .table = &field_table,
      .doc = "Fields that replace all of the same name." },
    { "add", OPTION_MAP, OPTION_AT(struct field_rules_options, add), .table = &field_table,
      .doc = "Fields that are added to those that are there." },
};
static const struct option_table field_rules_table =
    OPTION_TABLE("rules for header fields", struct field_rules_options, field_rules_rows,
                 "In this order: `remove`, `set`, `add`. Fields that frame messages (Connection, Content-Length, "
                 "Transfer-Encoding and their kin) and Host are not to be had here.");

static const struct option headers_rows[] = {
    { "request", OPTION_SECTION, OPTION_AT(struct headers_options, request), .table = &field_rules_table,
      .doc = "Of requests that are passed on, after the forwarding fields were set." },
    { "response", OPTION_SECTION, OPTION_AT(struct headers_options, response), .table = &field_rules_table,
      .doc = "Of responses: the servers', redirects and fixed ones; not of the proxy's own error pages." },
};
const struct option_table headers_options =
    OPTION_TABLE("headers", struct headers_options, headers_rows,
                 "Changes of header fields. A listener's come first, then its host's, then the route's.");

static const struct option prefix_rows[] = {
    { "to", OPTION_TEXT, OPTION_AT(struct prefix_options, to), .required = true,
      .doc = "What takes its place; / for nothing." },
};
static const struct option_table prefix_table =
    OPTION_TABLE("prefix", struct prefix_options, prefix_rows, "A prefix and what takes its place.", .shorthand = "to");

static const struct option_choice redirect_status[] = {
    { "301", 301, "Moved for good; clients may turn POST into GET." },
    { "302", 302, "For now; clients may turn POST into GET." },
    { "307", 307, "For now; the method stays." },
    { "308", 308, "Moved for good; the method stays." },
    { 0 },
};
static const struct option redirect_rows[] = {
    { "to", OPTION_TEXT, OPTION_AT(struct redirect_options, to), .required = true,
      .doc = "An absolute URL, https://www.example.org/new, or a path of the same host, /new." },
    { "status", OPTION_CHOICE, OPTION_AT(struct redirect_options, status), .choices = redirect_status,
      .standard = "302", .doc = "Browsers remember 301 and 308, mistakes too." },
    { "keep_path", OPTION_BOOL, OPTION_AT(struct redirect_options, keep_path), .standard = "no",
      .doc = "What stands behind the route's path, and the query, is appended to `to`." },
};
static const struct option_table redirect_table =
    OPTION_TABLE("redirect", struct redirect_options, redirect_rows, "Sends clients elsewhere.", .shorthand = "to");

static const struct option respond_rows[] = {
    { "status", OPTION_NUMBER, OPTION_AT(struct respond_options, status), .standard = "200", .least = 200, .most = 599,
      .doc = "The status." },
    { "body", OPTION_TEXT, OPTION_AT(struct respond_options, body),
      .doc = "The content, at most 16 KB; none by default." },
    { "type", OPTION_TEXT, OPTION_AT(struct respond_options, type), .standard = "\"text/plain; charset=utf-8\"",
      .doc = "Its Content-Type." },
};
static const struct option_table respond_table =
    OPTION_TABLE("response", struct respond_options, respond_rows, "A fixed response.", .shorthand = "status");

static const struct option upgrade_rows[] = {
    { "protocol", OPTION_TEXT, OPTION_AT(struct upgrade_options, protocol), .required = true,
      .doc = "A protocol as in the field Upgrade: websocket, or with its version, mqtt/3.1." },
};
static const struct option_table upgrade_table = OPTION_TABLE(
    "upgrade", struct upgrade_options, upgrade_rows, "A protocol that clients may switch to.", .shorthand = "protocol");

static const struct option route_rows[] = {
    { "path", OPTION_TEXT, OPTION_AT(struct route_options, path), .standard = "/",
      .doc = "Prefix of the path, byte for byte, on whole segments: /api covers /api and /api/x, not /apis. The "
             "longest prefix wins." },
    { "to", OPTION_REFERENCE, OPTION_AT(struct route_options, to), .refers_to = "upstreams",
      .doc = "The upstream that gets the request. A route has one of `to`, `redirect` and `respond`." },
    { "redirect", OPTION_OPTIONAL, OPTION_AT(struct route_options, redirect), .table = &redirect_table,
      .doc = "Where clients are sent instead." },
    { "respond", OPTION_OPTIONAL, OPTION_AT(struct route_options, respond), .table = &respond_table,
      .doc = "What they get instead." },
    { "strip_prefix", OPTION_TEXT, OPTION_AT(struct route_options, strip_prefix),
      .doc = "Leading segments of `path`, or all of it, that the server does not get to see: of /api/x, /x is left." },
    { "replace_prefix", OPTION_MAP, OPTION_AT(struct route_options, replace_prefix), .table = &prefix_table, .most = 1,
      .doc = "The same with something in its place: { /old: /new } makes /new/x of /old/x." },
    { "host", OPTION_TEXT, OPTION_AT(struct route_options, host),
      .doc = "Host as the server gets it; the client's by default. X-Forwarded-Host keeps that in any case." },
    { "headers", OPTION_OPTIONAL, OPTION_AT(struct route_options, headers), .table = &headers_options,
      .doc = "Header fields to set, add and remove." },
    { "upgrade", OPTION_LIST, OPTION_AT(struct route_options, upgrade), .table = &upgrade_table,
      .standard = "[websocket]",
      .doc = "Protocols that clients may switch to (HTTP's Upgrade); [] for none. From all others the field Upgrade is "
             "taken, so that they are ordinary requests. h2c is never passed on." },
};
const struct option_table route_options =
    OPTION_TABLE("route", struct route_options, route_rows, "What becomes of the requests for a path.");
