/* starttls.h: what a mail server says in clear text before TLS, for SMTP, IMAP and POP3.
 *
 *     client                                      us
 *                                                 220 mail.example.org ESMTP            starttls_greeting()
 *     EHLO client.example                         250-mail.example.org ... STARTTLS     starttls_take() = STARTTLS_ANSWERED
 *     MAIL FROM:<a@example.org>                   530 5.7.0 Must issue a STARTTLS command first
 *     STARTTLS                                    220 2.0.0 Ready to start TLS          starttls_take() = STARTTLS_BEGIN
 *     (ClientHello)
 *
 * We speak these lines ourselves: no server is asked before TLS stands. Nothing that was said in them is remembered
 * (RFC 3207 4.2, RFC 2595 3.1): the client begins anew inside TLS.
 *
 * The danger here is injection: whoever sits between may write commands in clear text that the server takes for the
 * client's, said under TLS. So a line ends with CRLF and nothing else, control bytes are refused, an IMAP literal (bytes
 * that are no line) is refused, and STARTTLS must be the last that came: a byte behind its line ends the connection. What
 * comes later than that meets the ClientHello's parser, since no byte of the clear text is kept.
 *
 * Pure: no descriptor, no clock, no log. The owner keeps the received bytes and consumes what starttls_take() used. */
#ifndef HTTP_STARTTLS_H
#define HTTP_STARTTLS_H

#include "http/mail.h"

enum {
    STARTTLS_ANSWER_MOST = 640, /* bytes: a host name twice, a tag, and our words */
    STARTTLS_COMMANDS_MOST = 20,
    STARTTLS_REFUSED_MOST = 5,  /* that we do not serve before TLS: a browser's request does not go on to its body */
    STARTTLS_GREETING_MOST = 8192, /* bytes of a server's greeting */
};

enum starttls_step {
    STARTTLS_ANSWERED, /* send the answer, go on */
    STARTTLS_BEGIN,    /* send the answer; then TLS */
    STARTTLS_END,      /* send the answer and end: the client said so */
};

struct starttls {
    enum mail_protocol protocol;
    uint8_t commands, refused;
    const char *name; /* of this server, as it greets; outlives the struct */
};

struct starttls_answer {
    char text[STARTTLS_ANSWER_MOST];
    size_t size; /* bytes */
};

/* name: what follows the greeting's code: a domain, at most 255 bytes of it are said. */
void starttls_start(struct starttls *s, enum mail_protocol protocol, const char *name);
void starttls_greeting(const struct starttls *s, struct starttls_answer *ret);

/* Takes the next line from what came. Returns an enum starttls_step, -E_AGAIN (no whole line yet; nothing was used), or an
 * error, after which the answer (it may be empty) is sent and the connection ends:
 *   -E_PIPELINED   bytes came behind STARTTLS: somebody may be injecting commands
 *   -E_SYNTAX      a byte that no line may have, a bare CR or LF, a literal
 *   -E_LIMIT       a line that is too long, too many lines, or too many that are not served before TLS
 * ret_used: bytes of the line, set with a step. */
int starttls_take(struct starttls *s, struct bytes in, size_t *ret_used, struct starttls_answer *ret) MUST_USE;
/* The words for a client whose connection ends for another reason than its own: SMTP 421, IMAP BYE, POP3 -ERR. text: a few
 * words. Inside TLS too: each protocol allows it at any time (POP3: as the answer to the next command). */
void starttls_farewell(const struct starttls *s, const char *text, struct starttls_answer *ret);

/* A server's greeting, which the client never sees. Returns its bytes (> 0), -E_AGAIN, or
 *   -E_REFUSED        it does not want to serve: ret_refusal is what it said, in a form that a client understands
 *   -E_BAD_RESPONSE   it is no greeting, or one of a connection that is logged in already (PREAUTH), or too long */
int starttls_read_greeting(enum mail_protocol protocol, struct bytes in, struct bytes *ret_refusal) MUST_USE;

#endif
