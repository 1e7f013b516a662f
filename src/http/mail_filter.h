/* mail_filter.h: what a mail server says after its client has begun TLS with us, without its offers of STARTTLS.
 *
 *     server --bytes--> buffer, mail_filter_from_server() --ready bytes--> client
 *     client --bytes--> buffer, mail_filter_from_client() --ready bytes--> server
 *
 * The server does not know of TLS, so it may offer STARTTLS (SMTP, IMAP), STLS (POP3) and say LOGINDISABLED (IMAP): these
 * words, and nothing else, are taken out of its lists of capabilities. A client that starts TLS within TLS all the same is
 * refused by the server itself, since the command reaches it as one that it does not know (XTARTTLS, XTLS): every answer
 * stays in its place whatever was pipelined.
 *
 * Both directions are edited in the buffer that holds them, line by line; nothing grows. Only whole lines become ready, so
 * that a stall is that of the peer who did not end its line. What is no line of the dialogue passes untouched:
 *   SMTP   the content of DATA and BDAT and the lines of an AUTH exchange; all replies are looked at, to the end
 *   IMAP   literals; and everything from the server's first line on that only a client who is logged in can get
 *   POP3   everything from the login on, for there a line of a message may say STLS
 * and everything from the first line on that is too long or has a byte that no line of the protocol has (a SASL security
 * layer, COMPRESS). Then is_over says that nobody needs to be asked any more.
 *
 * Pure. One for each connection; the buffers stay their owner's. */
#ifndef HTTP_MAIL_FILTER_H
#define HTTP_MAIL_FILTER_H

#include "base/buffer.h"
#include "http/mail.h"

enum {
    MAIL_FILTER_LINE_MOST = 8192, /* bytes of a line that is looked at */
    MAIL_FILTER_COMMANDS_MOST = 32, /* POP3 commands that wait for their answers */
};

/* One direction. Offsets are from the start of the buffer's content. */
struct mail_flow {
    size_t ready;    /* may go on */
    size_t seen;     /* was looked at; a line that the next one may still change lies between */
    uint64_t skip;   /* bytes to come that are no lines: a literal, a chunk */
    bool is_opaque;  /* all passes */
    bool continued;  /* a literal has ended: what follows belongs to the line before it */
};

struct mail_filter {
    enum mail_protocol protocol;
    struct mail_flow client, server;
    bool is_over;
    bool in_content;  /* SMTP: the client sends a message's content, to the line with a dot alone */
    uint8_t content_state; /* how much of its end has come */
    bool in_sasl;     /* SMTP, POP3: the client's next line answers a challenge */
    bool in_list;     /* POP3: the answer has more lines */
    bool in_capabilities; /* POP3: and they are capabilities */
    uint8_t asked[MAIL_FILTER_COMMANDS_MOST]; /* POP3: what was asked, the oldest first */
    uint8_t asked_count;
};

void mail_filter_start(struct mail_filter *f, enum mail_protocol protocol);
/* Looks at what the buffer has got since, edits it, and returns how many bytes from its start may go on. ended: no more
 * will come, so all of it may. */
size_t mail_filter_from_server(struct mail_filter *f, struct buffer *b, bool ended);
size_t mail_filter_from_client(struct mail_filter *f, struct buffer *b, bool ended);
/* n bytes have gone on and were consumed from the buffer. */
static inline void mail_flow_took(struct mail_flow *flow, size_t n)
{
    flow->ready -= n;
    flow->seen -= n;
}

#endif
