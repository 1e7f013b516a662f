/* mail.h: what the protocols of mail have in common for a proxy in front of them: lines that end with CRLF.
 *
 * Sources: SMTP RFC 5321, IMAP RFC 3501 and 9051, POP3 RFC 1939; their STARTTLS: RFC 3207, RFC 2595, RFC 9051 6.2.1. */
#ifndef HTTP_MAIL_H
#define HTTP_MAIL_H

#include "base/bytes.h"
#include "base/error.h"

enum mail_protocol { MAIL_SMTP, MAIL_IMAP, MAIL_POP3 };

/* Bytes of a line that a client says before TLS, its CRLF included. RFC 5321 wants 512 and RFC 2449 255; an IMAP client's
 * ID (RFC 2971) may be longer. */
enum { MAIL_LINE_MOST = 2048 };

/* "smtp", "imap", "pop3" */
const char *mail_protocol_name(enum mail_protocol protocol);

/* Takes the next word off the line: what stands before the first space. Returns it; ret_rest is what follows that one
 * space, or empty. */
struct bytes mail_word(struct bytes line, struct bytes *ret_rest);
/* Whether the two are equal but for the case of ASCII letters. */
bool mail_is(struct bytes word, const char *text);
/* An IMAP tag: 1 to 64 bytes of ASTRING-CHAR but "+" (RFC 9051 section 9; the bound is ours). */
bool mail_is_tag(struct bytes word);
/* The literal that an IMAP line (without its CRLF) announces at its end: "{5}", "{5+}", "~{5}". */
bool mail_ends_in_literal(struct bytes line, uint64_t *ret_size);

#endif
