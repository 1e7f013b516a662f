#include "config/suggest.h"

enum { WORD_MOST = 48 }; /* longer words get no suggestion but for case and separators */

/* Lower case, without separators: "idleTime", "idle-time" and "idle_time" are one. */
static size_t simplify(struct bytes word, char out[WORD_MOST])
{
    size_t size = 0;

    for (size_t i = 0; i < word.size; i++) {
        if (word.at[i] == '-' || word.at[i] == '_' || word.at[i] == ' ' || word.at[i] == '.')
            continue;
        if (size == WORD_MOST)
            return WORD_MOST + 1;
        out[size++] = (char)ascii_lower(word.at[i]);
    }
    return size;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Insertions, deletions, replacements and swaps of neighbours (optimal string alignment), three rows at a time. */
static size_t edit_distance(const char *a, size_t a_size, const char *b, size_t b_size)
{
    size_t rows[3][WORD_MOST + 1], *before = rows[0], *last = rows[1], *now = rows[2];

    for (size_t j = 0; j <= b_size; j++)
        last[j] = j;
    for (size_t i = 1; i <= a_size; i++) {
        size_t *spare = before;
        now[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            now[j] = least(least(last[j], now[j - 1]) + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = least(now[j], before[j - 2] + 1);
        }
        before = last;
        last = now;
        now = spare;
    }
    return last[b_size];
}

void suggest(struct suggestion *best, struct bytes written, const char *known)
{
    char a[WORD_MOST], b[WORD_MOST];
    size_t a_size = simplify(written, a), b_size = simplify(bytes_of_text(known), b);
    size_t distance, bearable, shorter = least(a_size, b_size);

    if (a_size > WORD_MOST || b_size > WORD_MOST || shorter == 0)
        return;
    distance = edit_distance(a, a_size, b, b_size);
    bearable = shorter == 1 ? 0 : shorter == 2 ? a_size != b_size : shorter <= 4 ? 1 : shorter <= 8 ? 2 : 3;
    /* A plural, a cut or a lengthened word: "addresses" for "address", "cert" for "certificates". */
    if (shorter >= 4 && memcmp(a, b, shorter) == 0)
        distance = least(distance, bearable);
    if (distance <= bearable && (!best->word || distance < best->distance))
        *best = (struct suggestion){ known, distance };
}
