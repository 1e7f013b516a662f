/* h1_scan.c: classes of bytes, and where a head ends. */
#include "http/h1_private.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* A target may hold what RFC 3986 allows, and beyond that what browsers send unescaped (the URL standard's percent-
 * encode sets leave them alone) and what cannot be mistaken: [ ] ^ ` { | } and, in a query, '\' and a lone '%'. In a
 * path '\' is refused since some servers read it as '/'. A '#', quotes, angle brackets and bytes above 0x7f never. */
const uint8_t h1_class[256] = {
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* 0x00 */
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* 0x10 */
    0x08, 0x0f, 0x08, 0x09, 0x0f, 0x0d, 0x0f, 0x0f, 0x0e, 0x0e, 0x0f, 0x0f, 0x0e, 0x0f, 0x0f, 0x0e, /* 0x20 */
    0x5f, 0x5f, 0x5f, 0x5f, 0x5f, 0x5f, 0x5f, 0x5f, 0x5f, 0x5f, 0x0e, 0x0e, 0x08, 0x0e, 0x08, 0x0c, /* 0x30 */
    0x0e, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x2f, 0x2f, 0x2f, 0x2f, 0x2f, 0x2f, 0x2f, 0x2f, 0x2f, /* 0x40 */
    0x2f, 0x2f, 0x2f, 0x2f, 0x2f, 0x2f, 0x2f, 0x2f, 0x2f, 0x2f, 0x2f, 0x0e, 0x0c, 0x0e, 0x0f, 0x0f, /* 0x50 */
    0x0f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x2f, 0x2f, 0x2f, 0x2f, 0x2f, 0x2f, 0x2f, 0x2f, 0x2f, /* 0x60 */
    0x2f, 0x2f, 0x2f, 0x2f, 0x2f, 0x2f, 0x2f, 0x2f, 0x2f, 0x2f, 0x2f, 0x0e, 0x0f, 0x0e, 0x0f, 0x00, /* 0x70 */
    0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, /* 0x80 */
    0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, /* 0x90 */
    0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, /* 0xa0 */
    0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, /* 0xb0 */
    0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, /* 0xc0 */
    0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, /* 0xd0 */
    0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, /* 0xe0 */
    0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, /* 0xf0 */
};

const uint8_t *h1_text_end(const uint8_t *at, const uint8_t *end)
{
#ifdef __SSE2__
    const __m128i highest_control = _mm_set1_epi8(0x1f), tab = _mm_set1_epi8('\t'), delete = _mm_set1_epi8(0x7f);

    for (; end - at >= 16; at += 16) {
        __m128i block = _mm_loadu_si128((const __m128i *)(const void *)at);
        __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(block, highest_control), block);
        __m128i odd =
            _mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(block, tab), control), _mm_cmpeq_epi8(block, delete));
        unsigned mask = (unsigned)_mm_movemask_epi8(odd);

        if (mask)
            return at + __builtin_ctz(mask);
    }
#endif
    return h1_class_end(at, end, H1_TEXT);
}

const uint8_t *h1_token_end(const uint8_t *at, const uint8_t *end)
{
#ifdef __SSE2__
    const __m128i case_bit = _mm_set1_epi8(0x20), a = _mm_set1_epi8('a'), hyphen = _mm_set1_epi8('-');
    const __m128i last_letter = _mm_set1_epi8('z' - 'a');

    /* Names are letters and hyphens, nearly always: the table is for what else there may be. */
    if (end - at >= 16) {
        __m128i block = _mm_loadu_si128((const __m128i *)(const void *)at);
        __m128i letter = _mm_sub_epi8(_mm_or_si128(block, case_bit), a);
        __m128i usual =
            _mm_or_si128(_mm_cmpeq_epi8(_mm_min_epu8(letter, last_letter), letter), _mm_cmpeq_epi8(block, hyphen));

        at += __builtin_ctz(~(unsigned)_mm_movemask_epi8(usual));
    }
#endif
    return h1_class_end(at, end, H1_TOKEN);
}

/* Takes note of a line of line_bytes that ended, with its CRLF, before next. Returns the head's size when it was the
 * empty line at its end, 0 when it was another, or an error. */
static int scan_line(struct h1_scan *scan, uint32_t line_bytes, uint32_t next, bool is_request,
                     const struct h1_limits *limits)
{
    if (line_bytes == 0 && scan->lines > 0)
        return (int)next;
    if (line_bytes == 0) {
        if (!is_request || scan->line_start > 0)
            return -E_SYNTAX;
    } else {
        scan->lines++;
        if (scan->lines - 1 > limits->fields)
            return -E_HEAD_TOO_LARGE;
    }
    scan->line_start = next;
    scan->scanned = next;
    return 0;
}

int h1_head_scan(struct h1_scan *scan, struct bytes in, bool is_request, const struct h1_limits *limits)
{
    /* What lies beyond the limit is not looked at, so that the answer does not depend on how much came at once. */
    uint32_t size = in.size < limits->head ? (uint32_t)in.size : limits->head;

    while (true) {
        uint32_t at =
            scan->scanned < size ? (uint32_t)(h1_text_end(in.at + scan->scanned, in.at + size) - in.at) : size;

        if (is_request && scan->lines == 0 && at - scan->line_start > limits->request_line)
            return -E_URI_TOO_LONG;
        scan->scanned = at;
        if (at < size && in.at[at] != '\r')
            return -E_SYNTAX;
        if (at == size || at + 1 == size)
            return size == limits->head ? -E_HEAD_TOO_LARGE : -E_AGAIN;
        if (in.at[at + 1] != '\n')
            return -E_SYNTAX;
        int result = scan_line(scan, at - scan->line_start, at + 2, is_request, limits);
        if (result != 0)
            return result;
    }
}
