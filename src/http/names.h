/* names.h: field names inside the http room. What others need of them stands in message.h. */
#ifndef HTTP_NAMES_H
#define HTTP_NAMES_H

#include "http/message.h"

/* Fields of one hop: the codec that parses turns them into members of the message, the one that writes makes new ones
 * (RFC 9110 7.6.1; RFC 9113 8.2.2 for HTTP2-Settings). Host is among them because the target may replace it. */
#define FIELDS_FRAMING \
    (FIELD_BIT(FIELD_CONNECTION) | FIELD_BIT(FIELD_CONTENT_LENGTH) | FIELD_BIT(FIELD_HOST) | \
     FIELD_BIT(FIELD_HTTP2_SETTINGS) | FIELD_BIT(FIELD_KEEP_ALIVE) | FIELD_BIT(FIELD_PROXY_CONNECTION) | \
     FIELD_BIT(FIELD_TE) | FIELD_BIT(FIELD_TRANSFER_ENCODING) | FIELD_BIT(FIELD_UPGRADE))

/* name: a valid token. Returns its number, FIELD_OTHER for unknown ones.
 *   ret_like   the same, also for what a backend may take for it ("content_length") */
enum field_id field_lookup(struct bytes name, enum field_id *ret_like);

/* Makes room for more fields. Returns 0 or -E_MEMORY. */
int message_grow(struct message *m) MUST_USE;
/* Where the next field comes to stand, which is counted already; NULL: memory. */
static inline struct field *message_next(struct message *m)
{
    if (m->fields.count == m->fields.room && message_grow(m) < 0)
        return NULL;
    return &m->fields.at[m->fields.count++];
}
/* message_add of a field whose numbers are known, framing or not. Returns 0 or -E_MEMORY. */
static inline int message_push(struct message *m, const struct field *field)
{
    struct field *at = message_next(m);

    if (!at)
        return -E_MEMORY;
    *at = *field;
    return 0;
}

#endif
