/* mail_filter.c: the walk over the lines of both directions. What each protocol does with a line stands in
 * mail_filter_smtp.c, _imap.c and _pop3.c. */
#include "http/mail_filter_private.h"

static const struct mail_dialect *const dialects[] = {
    [MAIL_SMTP] = &mail_smtp,
    [MAIL_IMAP] = &mail_imap,
    [MAIL_POP3] = &mail_pop3,
};

void mail_filter_start(struct mail_filter *f, enum mail_protocol protocol)
{
    *f = (struct mail_filter){ .protocol = protocol };
}

struct bytes mail_first_word(struct bytes line, struct bytes *ret_rest)
{
    size_t start = 0, end;

    while (start < line.size && (line.at[start] == ' ' || line.at[start] == '\t'))
        start++;
    for (end = start; end < line.size && line.at[end] != ' ' && line.at[end] != '\t'; end++)
        ;
    *ret_rest = bytes_from(line, end);
    return bytes_part(line, start, end - start);
}

void mail_disguise(struct buffer *b, struct bytes word)
{
    size_t offset = (size_t)(word.at - buffer_content(b).at);

    b->data[b->start + offset] = 'X';
}

/* Whether no byte of it is a control byte, but tabs and, at the end, the CR of a line. */
static bool is_text(struct bytes line)
{
    for (size_t i = 0; i < line.size; i++)
        if ((line.at[i] < ' ' && line.at[i] != '\t' && (line.at[i] != '\r' || i + 1 < line.size)) || line.at[i] == 0x7f)
            return false;
    return true;
}

/* Bytes that are no lines: they pass. Returns whether lines go on behind them. */
static bool skip(struct mail_flow *flow, size_t used)
{
    size_t n = used - flow->seen;

    if (n > flow->skip)
        n = (size_t)flow->skip;
    flow->skip -= n;
    flow->seen += n;
    flow->ready = flow->seen;
    return flow->skip == 0;
}

/* The next line, if it is there. */
static bool next_line(struct mail_flow *flow, const struct buffer *b, bool (*may_be_line)(struct bytes start),
                      struct mail_line *ret)
{
    struct bytes rest = bytes_from(buffer_content(b), flow->seen);
    size_t end = bytes_find(rest, '\n');
    bool is_whole = end < rest.size;
    struct bytes text = bytes_part(rest, 0, end);

    if (text.size > MAIL_FILTER_LINE_MOST || !is_text(text) ||
        (!is_whole && text.size && !flow->continued && !may_be_line(text))) {
        flow->is_opaque = true;
        return false;
    }
    if (!is_whole)
        return false;
    if (text.size && text.at[text.size - 1] == '\r')
        text.size--;
    *ret = (struct mail_line){ .text = text, .at = flow->seen, .size = end + 1 };
    return true;
}

static size_t end_look(struct mail_filter *f, struct mail_flow *flow, const struct buffer *b, bool ended)
{
    if (f->server.is_opaque) /* nothing is understood any more: who knows what the client's lines are */
        f->is_over = true;
    if (f->is_over || flow->is_opaque || ended)
        flow->ready = flow->seen = buffer_used(b);
    return flow->ready;
}

size_t mail_filter_from_server(struct mail_filter *f, struct buffer *b, bool ended)
{
    const struct mail_dialect *dialect = dialects[f->protocol];
    struct mail_flow *flow = &f->server;
    struct mail_line line;

    while (!f->is_over && !flow->is_opaque && flow->seen < buffer_used(b)) {
        if (flow->skip && !skip(flow, buffer_used(b)))
            break;
        if (!next_line(flow, b, dialect->may_be_answer, &line))
            break;
        dialect->answer(f, b, &line);
    }
    return end_look(f, flow, b, ended);
}

size_t mail_filter_from_client(struct mail_filter *f, struct buffer *b, bool ended)
{
    const struct mail_dialect *dialect = dialects[f->protocol];
    struct mail_flow *flow = &f->client;
    struct mail_line line;

    while (!f->is_over && !flow->is_opaque && flow->seen < buffer_used(b)) {
        if (f->in_content) {
            mail_smtp_content(f, b);
            continue;
        }
        if (flow->skip && !skip(flow, buffer_used(b)))
            break;
        if (!next_line(flow, b, dialect->may_be_command, &line))
            break;
        dialect->command(f, b, &line);
        flow->seen += line.size;
        flow->ready = flow->seen;
    }
    return end_look(f, flow, b, ended);
}
