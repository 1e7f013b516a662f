/* hostname.h: the one matcher of host names: for the choice of certificates, for routes, for every version of HTTP.
 *
 * Names are compared in their canonical form: A-labels in lower case, without a trailing dot and without a port.
 * A pattern is such a name, or one whose first label is "*", which stands for exactly one label (RFC 6125 6.4.3,
 * RFC 9525 6.3): "*.example.org" matches a.example.org but neither example.org nor a.b.example.org. IP addresses are
 * compared as text in their canonical form and never match a wildcard.
 *
 * A table answers "which entry is for this name" in two look-ups whatever its size: exact first, then wildcard. */
#ifndef BASE_HOSTNAME_H
#define BASE_HOSTNAME_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/error.h"

enum { HOSTNAME_MOST = 253 }; /* bytes; RFC 1035 2.3.4 */

struct hostname {
    char text[HOSTNAME_MOST + 1]; /* canonical, terminated */
    uint16_t size;
    bool is_address; /* an IPv4 or IPv6 literal (without brackets) */
    bool is_pattern; /* starts with "*." */
};

/* What a peer sent (SNI, Host without port, :authority): letters, digits, '-', '_' and dots in labels of 1 to 63
 * bytes; one trailing dot is dropped; IPv6 literals come in brackets and lose them. A name that ends in a number must
 * be an IPv4 address ("127.1" is refused, as in RFC 3986 3.2.2). U-labels do not occur on the wire.
 * Returns 0 or -E_HOST; then ret_name holds nothing of use, here and below. */
int hostname_parse(struct bytes wire, struct hostname *ret_name) MUST_USE;
/* What an operator wrote, or a certificate says: the same, and a leading "*.", IPv6 without brackets, and UTF-8 labels,
 * which become A-labels (base/idn.h). */
int hostname_parse_pattern(struct bytes text, struct hostname *ret_name) MUST_USE;
/* Splits "host", "host:port", "[v6]:port". ret_port is 0 when there is none. Returns 0 or -E_HOST. */
int hostname_parse_authority(struct bytes authority, struct hostname *ret_name, uint16_t *ret_port) MUST_USE;
bool hostname_matches(const struct hostname *pattern, const struct hostname *name);

/* Patterns to values. Built once, then read by any number of threads. */
struct hostname_table;
struct hostname_table *hostname_table_new(struct arena *arena, size_t most_entries); /* NULL: memory */
/* Returns 0, -E_MEMORY, or -E_CONFIG when the pattern is there already. value must not be NULL; more than
 * most_entries patterns are our own bug. */
int hostname_table_add(struct hostname_table *t, const struct hostname *pattern, void *value) MUST_USE;
/* The value of the exact name, else of the wildcard that covers it, else NULL. */
void *hostname_table_find(const struct hostname_table *t, const struct hostname *name);

#endif
