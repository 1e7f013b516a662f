/* mail_filter_private.h: what the walk over the lines asks of each protocol. */
#ifndef HTTP_MAIL_FILTER_PRIVATE_H
#define HTTP_MAIL_FILTER_PRIVATE_H

#include "http/mail_filter.h"

/* A whole line in its buffer. */
struct mail_line {
    struct bytes text; /* without its end */
    size_t at, size;   /* offset, and bytes with the end */
};

struct mail_dialect {
    /* Looks at a line of the server's, edits it, and moves f->server on beyond it. */
    void (*answer)(struct mail_filter *f, struct buffer *b, const struct mail_line *line);
    /* Looks at a line of the client's, may change bytes of it, but no sizes. */
    void (*command)(struct mail_filter *f, struct buffer *b, const struct mail_line *line);
    /* Whether a line may start so. What holds back the beginning of something that is no line would stall it. */
    bool (*may_be_answer)(struct bytes start);
    bool (*may_be_command)(struct bytes start);
};

extern const struct mail_dialect mail_smtp, mail_imap, mail_pop3;

/* Takes the content of a message, as far as it goes (SMTP's DATA). */
void mail_smtp_content(struct mail_filter *f, const struct buffer *b);

/* The first word of a command as a lenient server finds it: behind spaces and tabs, before the next of them. */
struct bytes mail_first_word(struct bytes line, struct bytes *ret_rest);
/* Makes the word, which lies in the buffer, one that no server knows: its first letter becomes an X. */
void mail_disguise(struct buffer *b, struct bytes word);

#endif
