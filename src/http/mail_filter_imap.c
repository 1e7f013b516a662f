/* mail_filter_imap.c: IMAP (RFC 9051). Capabilities come in "* CAPABILITY ..." and in the code of a status response, "* OK
 * [CAPABILITY ...] text" or "tag OK [CAPABILITY ...] text". Before the login a server says nothing but status responses,
 * capabilities, ID and continuations; so the first line that is none of these comes after it, and from there on everything
 * passes: no byte of a mailbox is ever looked at. */
#include "http/mail_filter_private.h"

enum kind { KIND_OTHER, KIND_STATUS, KIND_CAPABILITY, KIND_ID, KIND_PLAIN };

static const struct {
    const char *word;
    enum kind kind;
    bool untagged_only;
} kinds[] = {
    { "OK", KIND_STATUS, false },    { "NO", KIND_STATUS, false }, { "BAD", KIND_STATUS, false },
    { "BYE", KIND_STATUS, true },    { "ID", KIND_ID, true },      { "CAPABILITY", KIND_CAPABILITY, true },
    { "ENABLED", KIND_PLAIN, true },
};

static enum kind kind_of(struct bytes tag, struct bytes word)
{
    bool untagged = bytes_equal_text(tag, "*");

    if (!untagged && !mail_is_tag(tag))
        return KIND_OTHER;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (mail_is(word, kinds[i].word) && (untagged || !kinds[i].untagged_only))
            return kinds[i].kind;
    return KIND_OTHER;
}

/* Whether `start` is the beginning of a line "tag word ..."; a word is letters. */
static bool starts_with_words(struct bytes start, bool (*is_first)(struct bytes word))
{
    struct bytes rest, first = mail_word(start, &rest);

    if (first.size && first.at[first.size - 1] == '\r')
        first.size--;
    if (first.size && !is_first(first))
        return false;
    for (size_t i = 0; i < rest.size && rest.at[i] != ' ' && rest.at[i] != '\r'; i++)
        if (ascii_lower(rest.at[i]) < 'a' || ascii_lower(rest.at[i]) > 'z')
            return false;
    return true;
}

static bool is_answer_word(struct bytes word)
{
    return bytes_equal_text(word, "*") || mail_is_tag(word);
}

static bool may_be_answer(struct bytes start)
{
    return start.at[0] == '+' || starts_with_words(start, is_answer_word);
}

/* A tag, or a line of AUTHENTICATE's. */
static bool is_command_word(struct bytes word)
{
    for (size_t i = 0; i < word.size; i++)
        if (word.at[i] <= ' ' || word.at[i] >= 0x7f)
            return false;
    return true;
}

static bool may_be_command(struct bytes start)
{
    return starts_with_words(start, is_command_word);
}

/* Takes the two words out of a list that begins with a space, offset bytes into the buffer and `size` long. Returns the
 * bytes taken out. */
static size_t hide_words(struct buffer *b, size_t offset, size_t size)
{
    size_t cut = 0, at = 0;

    while (at < size) { /* at a space */
        struct bytes list = bytes_part(buffer_content(b), offset, size);
        size_t word_size = bytes_find(bytes_from(list, at + 1), ' ');
        struct bytes word = bytes_part(list, at + 1, word_size);

        if (mail_is(word, "STARTTLS") || mail_is(word, "LOGINDISABLED")) {
            buffer_cut(b, offset + at, 1 + word_size);
            size -= 1 + word_size;
            cut += 1 + word_size;
        } else {
            at += 1 + word_size;
        }
    }
    return cut;
}

/* Returns the bytes by which the line became shorter. text: what stands behind its second word and a space. */
static size_t hide_in_line(struct buffer *b, enum kind kind, struct bytes text)
{
    static const char code[] = "[CAPABILITY ";
    size_t offset = (size_t)(text.at - buffer_content(b).at), end = bytes_find(text, ']');
    struct bytes start = bytes_part(text, 0, sizeof code - 1);

    if (text.size == 0)
        return 0;
    if (kind == KIND_CAPABILITY)
        return hide_words(b, offset - 1, text.size + 1);
    if (kind == KIND_STATUS && mail_is(start, code) && end < text.size)
        return hide_words(b, offset + start.size - 1, end - start.size + 1);
    return 0;
}

static void pass_line(struct mail_flow *flow, const struct mail_line *line, size_t cut)
{
    flow->seen += line->size - cut;
    flow->ready = flow->seen;
}

static void answer(struct mail_filter *f, struct buffer *b, const struct mail_line *line)
{
    struct mail_flow *flow = &f->server;
    struct bytes rest, first = mail_word(line->text, &rest);
    enum kind kind = flow->continued ? KIND_ID : KIND_PLAIN;
    size_t cut = 0;

    if (!flow->continued && !bytes_equal_text(first, "+")) {
        kind = kind_of(first, mail_word(rest, &rest));
        if (kind == KIND_OTHER) {
            f->is_over = true;
            return;
        }
        cut = hide_in_line(b, kind, rest);
    }
    flow->continued = kind == KIND_ID && mail_ends_in_literal(line->text, &flow->skip);
    pass_line(flow, line, cut);
}

static void command(struct mail_filter *f, struct buffer *b, const struct mail_line *line)
{
    struct mail_flow *flow = &f->client;
    struct bytes rest, tag = mail_word(line->text, &rest), word = mail_first_word(rest, &rest);

    if (!flow->continued && tag.size && mail_is(word, "STARTTLS"))
        mail_disguise(b, word);
    if (!flow->continued && mail_is(word, "COMPRESS"))
        f->is_over = true;
    flow->continued = mail_ends_in_literal(line->text, &flow->skip);
}

const struct mail_dialect mail_imap = { answer, command, may_be_answer, may_be_command };
