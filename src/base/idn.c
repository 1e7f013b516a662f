#include "base/idn.h"

#include "base/check.h"

/* Unicode's simple lower-case mappings of the Latin, Greek and Cyrillic scripts: every step-th of first..last. */
static const struct fold {
    uint16_t first, last;
    uint8_t step;
    int16_t add;
} folds[] = {
    { 0xC0, 0xD6, 1, 32 },       { 0xD8, 0xDE, 1, 32 },        { 0x100, 0x12E, 2, 1 },     { 0x132, 0x136, 2, 1 },
    { 0x139, 0x147, 2, 1 },      { 0x14A, 0x176, 2, 1 },       { 0x178, 0x178, 1, -121 },  { 0x179, 0x17D, 2, 1 },
    { 0x181, 0x181, 1, 210 },    { 0x182, 0x184, 2, 1 },       { 0x186, 0x186, 1, 206 },   { 0x187, 0x187, 1, 1 },
    { 0x189, 0x18A, 1, 205 },    { 0x18B, 0x18B, 1, 1 },       { 0x18E, 0x18E, 1, 79 },    { 0x18F, 0x18F, 1, 202 },
    { 0x190, 0x190, 1, 203 },    { 0x191, 0x191, 1, 1 },       { 0x193, 0x193, 1, 205 },   { 0x194, 0x194, 1, 207 },
    { 0x196, 0x196, 1, 211 },    { 0x197, 0x197, 1, 209 },     { 0x198, 0x198, 1, 1 },     { 0x19C, 0x19C, 1, 211 },
    { 0x19D, 0x19D, 1, 213 },    { 0x19F, 0x19F, 1, 214 },     { 0x1A0, 0x1A4, 2, 1 },     { 0x1A6, 0x1A6, 1, 218 },
    { 0x1A7, 0x1A7, 1, 1 },      { 0x1A9, 0x1A9, 1, 218 },     { 0x1AC, 0x1AC, 1, 1 },     { 0x1AE, 0x1AE, 1, 218 },
    { 0x1AF, 0x1AF, 1, 1 },      { 0x1B1, 0x1B2, 1, 217 },     { 0x1B3, 0x1B5, 2, 1 },     { 0x1B7, 0x1B7, 1, 219 },
    { 0x1B8, 0x1B8, 1, 1 },      { 0x1BC, 0x1BC, 1, 1 },       { 0x1C4, 0x1C4, 1, 2 },     { 0x1C5, 0x1C5, 1, 1 },
    { 0x1C7, 0x1C7, 1, 2 },      { 0x1C8, 0x1C8, 1, 1 },       { 0x1CA, 0x1CA, 1, 2 },     { 0x1CB, 0x1DB, 2, 1 },
    { 0x1DE, 0x1EE, 2, 1 },      { 0x1F1, 0x1F1, 1, 2 },       { 0x1F2, 0x1F4, 2, 1 },     { 0x1F6, 0x1F6, 1, -97 },
    { 0x1F7, 0x1F7, 1, -56 },    { 0x1F8, 0x21E, 2, 1 },       { 0x220, 0x220, 1, -130 },  { 0x222, 0x232, 2, 1 },
    { 0x23A, 0x23A, 1, 10795 },  { 0x23B, 0x23B, 1, 1 },       { 0x23D, 0x23D, 1, -163 },  { 0x23E, 0x23E, 1, 10792 },
    { 0x241, 0x241, 1, 1 },      { 0x243, 0x243, 1, -195 },    { 0x244, 0x244, 1, 69 },    { 0x245, 0x245, 1, 71 },
    { 0x246, 0x24E, 2, 1 },      { 0x370, 0x372, 2, 1 },       { 0x376, 0x376, 1, 1 },     { 0x37F, 0x37F, 1, 116 },
    { 0x386, 0x386, 1, 38 },     { 0x388, 0x38A, 1, 37 },      { 0x38C, 0x38C, 1, 64 },    { 0x38E, 0x38F, 1, 63 },
    { 0x391, 0x3A1, 1, 32 },     { 0x3A3, 0x3AB, 1, 32 },      { 0x3CF, 0x3CF, 1, 8 },     { 0x3D8, 0x3EE, 2, 1 },
    { 0x3F4, 0x3F4, 1, -60 },    { 0x3F7, 0x3F7, 1, 1 },       { 0x3F9, 0x3F9, 1, -7 },    { 0x3FA, 0x3FA, 1, 1 },
    { 0x3FD, 0x3FF, 1, -130 },   { 0x400, 0x40F, 1, 80 },      { 0x410, 0x42F, 1, 32 },    { 0x460, 0x480, 2, 1 },
    { 0x48A, 0x4BE, 2, 1 },      { 0x4C0, 0x4C0, 1, 15 },      { 0x4C1, 0x4CD, 2, 1 },     { 0x4D0, 0x52E, 2, 1 },
    { 0x1E00, 0x1E94, 2, 1 },    { 0x1E9E, 0x1E9E, 1, -7615 }, { 0x1EA0, 0x1EFE, 2, 1 },   { 0x1F08, 0x1F0F, 1, -8 },
    { 0x1F18, 0x1F1D, 1, -8 },   { 0x1F28, 0x1F2F, 1, -8 },    { 0x1F38, 0x1F3F, 1, -8 },  { 0x1F48, 0x1F4D, 1, -8 },
    { 0x1F59, 0x1F5F, 2, -8 },   { 0x1F68, 0x1F6F, 1, -8 },    { 0x1F88, 0x1F8F, 1, -8 },  { 0x1F98, 0x1F9F, 1, -8 },
    { 0x1FA8, 0x1FAF, 1, -8 },   { 0x1FB8, 0x1FB9, 1, -8 },    { 0x1FBA, 0x1FBB, 1, -74 }, { 0x1FBC, 0x1FBC, 1, -9 },
    { 0x1FC8, 0x1FCB, 1, -86 },  { 0x1FCC, 0x1FCC, 1, -9 },    { 0x1FD8, 0x1FD9, 1, -8 },  { 0x1FDA, 0x1FDB, 1, -100 },
    { 0x1FE8, 0x1FE9, 1, -8 },   { 0x1FEA, 0x1FEB, 1, -112 },  { 0x1FEC, 0x1FEC, 1, -7 },  { 0x1FF8, 0x1FF9, 1, -128 },
    { 0x1FFA, 0x1FFB, 1, -126 }, { 0x1FFC, 0x1FFC, 1, -9 },
};

/* Characters that IDNA 2008 (RFC 5892) does not allow, or that it allows only after a mapping that is not made here. */
static const struct refused {
    uint32_t first, last;
} refused[] = {
    { 0x80, 0xB6 },       { 0xB8, 0xBF },       { 0xD7, 0xD7 },        { 0xF7, 0xF7 },     { 0x130, 0x130 },
    { 0x132, 0x133 },     { 0x13F, 0x140 },     { 0x149, 0x149 },      { 0x17F, 0x17F },   { 0x1C4, 0x1CC },
    { 0x1F1, 0x1F3 },     { 0x2B0, 0x2B8 },     { 0x300, 0x374 },      { 0x384, 0x385 },   { 0x387, 0x387 },
    { 0x1100, 0x11FF },   { 0x2000, 0x2BFF },   { 0x3000, 0x3004 },    { 0x3008, 0x3020 }, { 0x3164, 0x3164 },
    { 0xD800, 0xF9FF },   { 0xFB00, 0xFB1D },   { 0xFB50, 0xFE1F },    { 0xFE30, 0xFFFF }, { 0x1D100, 0x1D7FF },
    { 0x1F000, 0x1FBFF }, { 0x2F800, 0x2FA1F }, { 0x30000, 0x10FFFF },
};

int utf8_decode(struct bytes *text)
{
    static const int least[] = { 0, 0x80, 0x800, 0x10000 };
    uint8_t first = text->at[0];
    size_t more = first < 0x80 ? 0 : first < 0xC2 ? 4 : first < 0xE0 ? 1 : first < 0xF0 ? 2 : first < 0xF5 ? 3 : 4;
    int c = more == 0 ? first : first & (0x3F >> more);

    if (more > 3 || text->size <= more)
        return -E_SYNTAX;
    for (size_t i = 1; i <= more; i++) {
        if ((text->at[i] & 0xC0) != 0x80)
            return -E_SYNTAX;
        c = c << 6 | (text->at[i] & 0x3F);
    }
    if (c < least[more] || (c >= 0xD800 && c <= 0xDFFF) || c > 0x10FFFF)
        return -E_SYNTAX;
    *text = bytes_from(*text, more + 1);
    return c;
}

static uint32_t lower(uint32_t c)
{
    if (c < 0x80)
        return ascii_lower((uint8_t)c);
    for (size_t i = 0; i < COUNT_OF(folds); i++)
        if (c >= folds[i].first && c <= folds[i].last && (c - folds[i].first) % folds[i].step == 0)
            return (uint32_t)((int)c + folds[i].add);
    return c;
}

static bool is_allowed(uint32_t c)
{
    if (c < 0x80)
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    for (size_t i = 0; i < COUNT_OF(refused); i++)
        if (c >= refused[i].first && c <= refused[i].last)
            return false;
    return true;
}

/* RFC 3492 section 6.1, with the parameters of section 5. */
enum { BASE = 36, T_MIN = 1, T_MAX = 26, SKEW = 38, DAMP = 700, INITIAL_BIAS = 72, INITIAL_N = 128 };

static uint32_t adapt(uint32_t delta, uint32_t points, bool first)
{
    uint32_t k = 0;

    delta = first ? delta / DAMP : delta / 2;
    delta += delta / points;
    for (; delta > (BASE - T_MIN) * T_MAX / 2; k += BASE)
        delta /= BASE - T_MIN;
    return k + (BASE - T_MIN + 1) * delta / (delta + SKEW);
}

/* One delta as a number of variable length. Returns the new size, or -E_HOST when there is no room. */
static int put_delta(uint32_t delta, uint32_t bias, char out[IDN_LABEL_MOST], int size)
{
    for (uint32_t k = BASE;; k += BASE) {
        uint32_t t = k <= bias ? T_MIN : k >= bias + T_MAX ? T_MAX : k - bias;
        uint32_t digit = delta < t ? delta : t + (delta - t) % (BASE - t);

        if (size == IDN_LABEL_MOST)
            return -E_HOST;
        out[size++] = (char)(digit < 26 ? 'a' + digit : '0' + digit - 26);
        if (delta < t)
            return size;
        delta = (delta - t) / (BASE - t);
    }
}

/* RFC 3492 section 6.3. At most IDN_LABEL_MOST points below 0x110000, so that delta stays far below 2^32. */
static int encode(const uint32_t *points, uint32_t count, char out[IDN_LABEL_MOST])
{
    uint32_t n = INITIAL_N, delta = 0, bias = INITIAL_BIAS, done = 0, basic;
    int size = 4;

    memcpy(out, "xn--", 4);
    for (uint32_t i = 0; i < count; i++) {
        if (points[i] >= 0x80)
            continue;
        if (size == IDN_LABEL_MOST - 1)
            return -E_HOST;
        out[size++] = (char)points[i];
        done++;
    }
    basic = done;
    if (basic)
        out[size++] = '-';
    for (; done < count; delta++, n++) {
        uint32_t next = UINT32_MAX;

        for (uint32_t i = 0; i < count; i++)
            if (points[i] >= n && points[i] < next)
                next = points[i];
        delta += (next - n) * (done + 1);
        n = next;
        for (uint32_t i = 0; i < count; i++) {
            delta += points[i] < n;
            if (points[i] != n)
                continue;
            size = put_delta(delta, bias, out, size);
            if (size < 0)
                return size;
            bias = adapt(delta, done + 1, done == basic);
            delta = 0;
            done++;
        }
    }
    return size;
}

int idn_label_encode(struct bytes label, char ret_label[IDN_LABEL_MOST])
{
    uint32_t points[IDN_LABEL_MOST], count = 0;

    while (label.size) {
        int c = utf8_decode(&label);
        if (c < 0 || count == IDN_LABEL_MOST)
            return -E_HOST;
        points[count] = lower((uint32_t)c);
        if (!is_allowed(points[count]))
            return -E_HOST;
        count++;
    }
    return encode(points, count, ret_label);
}
