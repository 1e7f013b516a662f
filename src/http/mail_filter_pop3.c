/* mail_filter_pop3.c: POP3 (RFC 1939, CAPA RFC 2449, SASL RFC 5034). Whether an answer has more lines than one depends on
 * what was asked, so the questions are remembered in their order, up to the login. */
#include "http/mail_filter_private.h"

enum asked { ASKED_ELSE, ASKED_CAPABILITIES, ASKED_LIST, ASKED_LOGIN };

static bool may_be_line(struct bytes start)
{
    (void)start;
    return true;
}

static enum asked take_asked(struct mail_filter *f)
{
    enum asked oldest = f->asked[0];

    for (unsigned i = 1; i < f->asked_count; i++)
        f->asked[i - 1] = f->asked[i];
    f->asked_count--;
    return oldest;
}

static void status(struct mail_filter *f, bool is_ok)
{
    enum asked asked;

    f->in_sasl = false;
    if (f->asked_count == 0) { /* the server says farewell, or we have lost count */
        f->is_over = is_ok;
        return;
    }
    asked = take_asked(f);
    if (!is_ok)
        return;
    f->is_over = asked == ASKED_LOGIN;
    f->in_capabilities = asked == ASKED_CAPABILITIES;
    f->in_list = f->in_capabilities || asked == ASKED_LIST;
}

static void answer(struct mail_filter *f, struct buffer *b, const struct mail_line *line)
{
    struct mail_flow *flow = &f->server;
    struct bytes rest, word = mail_first_word(line->text, &rest);

    if (f->in_list && f->in_capabilities && mail_is(word, "STLS")) {
        buffer_cut(b, line->at, line->size);
        return;
    }
    if (f->in_list)
        f->in_list = !bytes_equal_text(line->text, ".");
    else if (mail_is(word, "+OK") || mail_is(word, "-ERR"))
        status(f, mail_is(word, "+OK"));
    else if (bytes_equal_text(word, "+"))
        f->in_sasl = true;
    else
        f->is_over = true;
    flow->seen += line->size;
    flow->ready = flow->seen;
}

static enum asked what_is_asked(struct bytes word, bool has_argument)
{
    if (mail_is(word, "CAPA"))
        return ASKED_CAPABILITIES;
    if (mail_is(word, "PASS") || mail_is(word, "APOP") || (mail_is(word, "AUTH") && has_argument))
        return ASKED_LOGIN;
    if ((mail_is(word, "AUTH") || mail_is(word, "LANG")) && !has_argument)
        return ASKED_LIST; /* RFC 1734's mechanisms, RFC 6856's languages */
    return ASKED_ELSE;
}

static void command(struct mail_filter *f, struct buffer *b, const struct mail_line *line)
{
    struct bytes rest, word = mail_first_word(line->text, &rest);

    if (f->in_sasl) {
        f->in_sasl = false;
        return;
    }
    if (f->asked_count == MAIL_FILTER_COMMANDS_MOST) {
        f->is_over = true;
        return;
    }
    f->asked[f->asked_count++] = (uint8_t)what_is_asked(word, bytes_trim(rest).size > 0);
    if (mail_is(word, "STLS"))
        mail_disguise(b, word);
}

const struct mail_dialect mail_pop3 = { answer, command, may_be_line, may_be_line };
