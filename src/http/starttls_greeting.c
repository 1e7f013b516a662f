/* starttls_greeting.c: what a mail server says first, and who never hears it. */
#include "http/starttls.h"

/* One line at the start of in, up to its LF (servers are read as they write). Its bytes with the end, or 0. */
static size_t next_line(struct bytes in, struct bytes *ret_line)
{
    size_t end = bytes_find(in, '\n');

    if (end == in.size)
        return 0;
    *ret_line = bytes_part(in, 0, end > 0 && in.at[end - 1] == '\r' ? end - 1 : end);
    return end + 1;
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* RFC 5321 4.2: "220-text" any number of times, then "220 text" or "220". */
static int read_smtp(struct bytes in, struct bytes *ret_refusal)
{
    struct bytes line, first = bytes_part(in, 0, 3);
    size_t used = 0, n;

    while ((n = next_line(bytes_from(in, used), &line)) > 0) {
        if (line.size < 3 || !is_digit(line.at[0]) || !is_digit(line.at[1]) || !is_digit(line.at[2]) ||
            !bytes_equal(bytes_part(line, 0, 3), first) || (line.size > 3 && line.at[3] != ' ' && line.at[3] != '-'))
            return -E_BAD_RESPONSE;
        used += n;
        if (line.size > 3 && line.at[3] == '-')
            continue;
        if (bytes_equal_text(first, "220"))
            return (int)used;
        if (first.at[0] != '4' && first.at[0] != '5')
            return -E_BAD_RESPONSE;
        *ret_refusal = bytes_part(in, 0, used);
        return -E_REFUSED;
    }
    return -E_AGAIN;
}

/* RFC 9051 7.1: "* OK text"; "* BYE text" refuses. Who is logged in by it (PREAUTH) would serve every client as the same
 * user. */
static int read_imap(struct bytes in, struct bytes *ret_refusal)
{
    struct bytes line, word;
    size_t used = next_line(in, &line);

    if (used == 0)
        return -E_AGAIN;
    if (!bytes_equal_text(mail_word(line, &line), "*"))
        return -E_BAD_RESPONSE;
    word = mail_word(line, &line);
    if (mail_is(word, "OK"))
        return (int)used;
    if (!mail_is(word, "BYE"))
        return -E_BAD_RESPONSE;
    *ret_refusal = bytes_part(in, 0, used);
    return -E_REFUSED;
}

/* RFC 1939 section 3: "+OK text"; "-ERR text" refuses. */
static int read_pop3(struct bytes in, struct bytes *ret_refusal)
{
    struct bytes line, word;
    size_t used = next_line(in, &line);

    if (used == 0)
        return -E_AGAIN;
    word = mail_word(line, &line);
    if (mail_is(word, "+OK"))
        return (int)used;
    if (!mail_is(word, "-ERR"))
        return -E_BAD_RESPONSE;
    *ret_refusal = bytes_part(in, 0, used);
    return -E_REFUSED;
}

int starttls_read_greeting(enum mail_protocol protocol, struct bytes in, struct bytes *ret_refusal)
{
    static int (*const read[])(struct bytes, struct bytes *) = {
        [MAIL_SMTP] = read_smtp,
        [MAIL_IMAP] = read_imap,
        [MAIL_POP3] = read_pop3,
    };
    int result = read[protocol](bytes_part(in, 0, STARTTLS_GREETING_MOST), ret_refusal);

    return result == -E_AGAIN && in.size >= STARTTLS_GREETING_MOST ? -E_BAD_RESPONSE : result;
}
