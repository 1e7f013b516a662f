/* mail_filter_smtp.c: SMTP (RFC 5321). A reply is lines of one code: "250-text" and, the last one, "250 text". STARTTLS is
 * a line of its own in the reply to EHLO, and no server says just that in another reply's second or later line. When it is
 * the last one, the line before becomes the last: each line of a 250 reply waits for the next. */
#include "http/mail_filter_private.h"

enum { CODE = 3 };

/* How far "CRLF . CRLF" has come, the end of a message's content; it begins at a line's start. */
enum dot { DOT_LINE_START, DOT_POINT, DOT_POINT_CR, DOT_TEXT, DOT_CR };

static bool may_be_reply(struct bytes start)
{
    for (size_t i = 0; i < start.size && i < CODE; i++)
        if (start.at[i] < '0' || start.at[i] > '9')
            return false;
    return start.size <= CODE || start.at[CODE] == ' ' || start.at[CODE] == '-' || start.at[CODE] == '\r';
}

static bool may_be_command(struct bytes start)
{
    (void)start;
    return true;
}

/* The line goes. If it was the last of its reply, the one before it, which still waits, becomes the last. */
static void hide(struct mail_filter *f, struct buffer *b, const struct mail_line *line, bool is_last)
{
    buffer_cut(b, line->at, line->size);
    if (is_last) {
        b->data[b->start + f->server.ready + CODE] = ' ';
        f->server.ready = f->server.seen;
    }
}

static void answer(struct mail_filter *f, struct buffer *b, const struct mail_line *line)
{
    struct mail_flow *flow = &f->server;
    struct bytes code = bytes_part(line->text, 0, CODE), text = bytes_trim(bytes_from(line->text, CODE + 1));
    bool is_last = line->text.size <= CODE || line->text.at[CODE] == ' ';

    if (line->text.size < CODE || !may_be_reply(line->text)) {
        flow->is_opaque = true;
        return;
    }
    if (flow->ready < flow->seen && bytes_equal_text(code, "250") && mail_is(text, "STARTTLS")) {
        hide(f, b, line, is_last);
        return;
    }
    flow->ready = flow->seen; /* what waited */
    flow->seen += line->size;
    if (is_last || !bytes_equal_text(code, "250"))
        flow->ready = flow->seen;
    f->in_sasl = is_last && bytes_equal_text(code, "334");
    if (is_last && bytes_equal_text(code, "354")) {
        f->in_content = true;
        f->content_state = DOT_LINE_START;
    }
}

static void command(struct mail_filter *f, struct buffer *b, const struct mail_line *line)
{
    struct bytes rest, word = mail_first_word(line->text, &rest);

    if (f->in_sasl) {
        f->in_sasl = false;
        return;
    }
    if (mail_is(word, "STARTTLS"))
        mail_disguise(b, word);
    else if (mail_is(word, "BDAT") && bytes_to_number(mail_first_word(rest, &rest), UINT32_MAX, &f->client.skip) < 0)
        f->client.skip = 0; /* the server says so too */
}

void mail_smtp_content(struct mail_filter *f, const struct buffer *b)
{
    struct bytes all = buffer_content(b);
    size_t at = f->client.seen;
    enum dot dot = f->content_state;

    for (; f->in_content && at < all.size; at++) {
        uint8_t c = all.at[at];

        if (dot == DOT_POINT_CR && c == '\n')
            f->in_content = false;
        else if (dot == DOT_CR && c == '\n')
            dot = DOT_LINE_START;
        else if (dot == DOT_LINE_START && c == '.')
            dot = DOT_POINT;
        else if (c == '\r')
            dot = dot == DOT_POINT ? DOT_POINT_CR : DOT_CR;
        else
            dot = DOT_TEXT;
    }
    f->content_state = (uint8_t)dot;
    f->client.seen = f->client.ready = at;
}

const struct mail_dialect mail_smtp = { answer, command, may_be_reply, may_be_command };
