#include "http/mail.h"

enum { TAG_MOST = 64 };

const char *mail_protocol_name(enum mail_protocol protocol)
{
    static const char *const names[] = { [MAIL_SMTP] = "smtp", [MAIL_IMAP] = "imap", [MAIL_POP3] = "pop3" };

    return names[protocol];
}

struct bytes mail_word(struct bytes line, struct bytes *ret_rest)
{
    size_t end = bytes_find(line, ' ');

    *ret_rest = bytes_from(line, end + 1);
    return bytes_part(line, 0, end);
}

bool mail_is(struct bytes word, const char *text)
{
    return bytes_equal_nocase(word, bytes_of_text(text));
}

bool mail_is_tag(struct bytes word)
{
    if (word.size == 0 || word.size > TAG_MOST)
        return false;
    for (size_t i = 0; i < word.size; i++)
        if (word.at[i] <= ' ' || word.at[i] >= 0x7f || strchr("(){%*\"\\+", word.at[i]))
            return false;
    return true;
}

bool mail_ends_in_literal(struct bytes line, uint64_t *ret_size)
{
    size_t end = line.size, start;

    if (end == 0 || line.at[--end] != '}')
        return false;
    if (end > 0 && (line.at[end - 1] == '+' || line.at[end - 1] == '-'))
        end--;
    for (start = end; start > 0 && line.at[start - 1] >= '0' && line.at[start - 1] <= '9'; start--)
        ;
    return start > 0 && line.at[start - 1] == '{' &&
           bytes_to_number(bytes_part(line, start, end - start), UINT32_MAX, ret_size) == 0;
}
