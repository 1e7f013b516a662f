#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/proxy_protocol.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V4        "\xc0\x00\x02\x07" "\xc6\x33\x64\x01" "\xdc\x04" "\x01\xbb" /* 192.0.2.7 198.51.100.1 56324 443 */
#define V2_V4(length_low) SIGNATURE "\x21\x11\x00" length_low V4

static int read_all(struct bytes in, struct proxy_header *h)
{
    return proxy_header_read(in, PROXY_V2_MOST, h);
}

static void assert_ends(const struct proxy_header *h, const char *source, const char *destination)
{
    char text[ADDRESS_TEXT];

    address_print(&h->source, text);
    assert_string_equal(text, source);
    address_print(&h->destination, text);
    assert_string_equal(text, destination);
}

static void assert_text(struct bytes b, const char *expected)
{
    assert_int_equal(b.size, strlen(expected));
    assert_memory_equal(b.at, expected, b.size);
}

/* Every shorter beginning is not enough, in a buffer of its own so that a read past its end is seen, and what follows is
 * left alone. */
static struct proxy_header assert_exact(struct bytes header)
{
    struct proxy_header h;
    uint8_t *more = malloc(header.size + 3);

    for (size_t n = 0; n < header.size; n++) {
        uint8_t *part = malloc(n + 1);
        int result;
        memcpy(part + 1, header.at, n);
        result = read_all(bytes_of(part + 1, n), &h);
        free(part);
        if (result != -E_AGAIN)
            fail_msg("%d after %zu of %zu bytes", result, n, header.size);
    }
    assert_int_equal(read_all(header, &h), header.size);
    memcpy(more, header.at, header.size);
    memcpy(more + header.size, "\r\n\x16", 3);
    assert_int_equal(read_all(bytes_of(more, header.size + 3), &h), header.size);
    free(more);
    assert_int_equal(read_all(header, &h), header.size);
    return h;
}

/* ---- version 1 ---- */

static void a_line_of_version_1_tells_both_ends(void **state)
{
    static const struct {
        const char *line, *source, *destination;
    } good[] = {
        { "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n", "192.0.2.7:56324", "198.51.100.1:443" },
        { "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255:65535", "255.255.255.255:65535" },
        { "PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", "0.0.0.0:0", "0.0.0.0:0" },
        { "PROXY TCP6 2001:db8::7 2001:DB8::1 56324 443\r\n", "[2001:db8::7]:56324", "[2001:db8::1]:443" },
        { "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
          "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535" },
        { "PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n", "192.0.2.7:1", "[::1]:2" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct proxy_header h = assert_exact(bytes_of_text(good[i].line));
        assert_ends(&h, good[i].source, good[i].destination);
        assert_int_equal(h.version, 1);
        assert_false(h.is_local);
    }
}

static void an_unknown_connection_of_version_1_tells_nothing(void **state)
{
    static const char *const good[] = {
        "PROXY UNKNOWN\r\n",
        "PROXY UNKNOWN \r\n",
        "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
        "PROXY UNKNOWN what \x01\xff ever\r\n",
    };

    (void)state;
    assert_int_equal(strlen(good[2]), PROXY_V1_MOST);
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct proxy_header h = assert_exact(bytes_of_text(good[i]));
        assert_int_equal(h.source.size, 0);
        assert_int_equal(h.destination.size, 0);
    }
}

static void malformed_lines_of_version_1_are_refused(void **state)
{
    static const char *const bad[] = {
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP4 \r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 56324 \r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443 \r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443 1\r\n",
        "PROXY TCP4  192.0.2.7 198.51.100.1 56324 443\r\n",
        "PROXY  TCP4 192.0.2.7 198.51.100.1 56324 443\r\n",
        "PROXY TCP4 192.0.2.7  198.51.100.1 56324 443\r\n",
        "PROXY\tTCP4 192.0.2.7 198.51.100.1 56324 443\r\n",
        "PROXY TCP4 192.0.2.7\t198.51.100.1 56324 443\r\n",
        "PROXY TCP4 192.0.2.07 198.51.100.1 56324 443\r\n",
        "PROXY TCP4 192.0.2.256 198.51.100.1 56324 443\r\n",
        "PROXY TCP4 192.0.2 198.51.100.1 56324 443\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 056324 443\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 56324 00\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 65536 443\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 -1 443\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 +1 443\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 18446744073709551617 443\r\n",
        "PROXY TCP4 192.0.2.7 ::1 56324 443\r\n",
        "PROXY TCP4 2001:db8::7 2001:db8::1 56324 443\r\n",
        "PROXY TCP6 192.0.2.7 198.51.100.1 56324 443\r\n",
        "PROXY TCP6 2001:db8::7%eth0 2001:db8::1 56324 443\r\n",
        "PROXY TCP6 2001:db8:::7 2001:db8::1 56324 443\r\n",
        "PROXY TCP6 1:2:3:4:5:6:7 ::1 56324 443\r\n",
        "PROXY TCP6 [::1] ::1 56324 443\r\n",
        "PROXY UDP4 192.0.2.7 198.51.100.1 56324 443\r\n",
        "PROXY tcp4 192.0.2.7 198.51.100.1 56324 443\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY UNKNOW\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\r\n",
        "PROXY UNKNOWN a\nb\r\n",
        "PROXY UNKNOWN a\rb\r\n",
    };
    struct proxy_header h;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (read_all(bytes_of_text(bad[i]), &h) != (i == 10 ? -E_NOT_PROXY : -E_PROXY_HEADER))
            fail_msg("%d for %s", read_all(bytes_of_text(bad[i]), &h), bad[i]);
}

static void a_zero_byte_ends_no_address(void **state)
{
    struct proxy_header h;

    (void)state;
    assert_int_equal(read_all(BYTES_LITERAL("PROXY TCP4 192.0.2.7\0 198.51.100.1 56324 443\r\n"), &h), -E_PROXY_HEADER);
    assert_int_equal(read_all(BYTES_LITERAL("PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\0\r\n"), &h), -E_PROXY_HEADER);
}

static void a_line_without_an_end_in_107_bytes_is_refused(void **state)
{
    char line[PROXY_V1_MOST + 2];
    struct proxy_header h;

    (void)state;
    memset(line, ' ', sizeof line);
    memcpy(line, "PROXY UNKNOWN", 13);
    assert_int_equal(read_all(bytes_of(line, PROXY_V1_MOST - 1), &h), -E_AGAIN);
    assert_int_equal(read_all(bytes_of(line, PROXY_V1_MOST), &h), -E_PROXY_HEADER);
    memcpy(line + PROXY_V1_MOST - 1, "\r\n", 2); /* 108 bytes with its end */
    assert_int_equal(read_all(bytes_of(line, PROXY_V1_MOST + 1), &h), -E_PROXY_HEADER);
    assert_int_equal(read_all(bytes_of(line, PROXY_V1_MOST), &h), -E_PROXY_HEADER);
    memcpy(line + PROXY_V1_MOST - 2, "\r\n", 2);
    assert_int_equal(read_all(bytes_of(line, PROXY_V1_MOST + 1), &h), PROXY_V1_MOST);
}

static void what_is_no_header_is_known_by_its_first_wrong_byte(void **state)
{
    static const struct bytes no[] = {
        { (const uint8_t *)"\x16", 1 },     { (const uint8_t *)"G", 1 },           { (const uint8_t *)"PRI", 3 },
        { (const uint8_t *)"PROXYX", 6 },   { (const uint8_t *)"POST", 2 },        { (const uint8_t *)"\r\n\r\n\r", 5 },
        { (const uint8_t *)"\r\r", 2 },     { (const uint8_t *)"\n", 1 },          { (const uint8_t *)"\0", 1 },
        { (const uint8_t *)"proxy ", 6 },   { (const uint8_t *)SIGNATURE "", 11 }, { (const uint8_t *)"\r\n\r\n\0\r\nQUIT\r", 12 },
    };
    struct proxy_header h;

    (void)state;
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++)
        if (read_all(no[i], &h) != (i == 10 ? -E_AGAIN : -E_NOT_PROXY))
            fail_msg("%zu: %d", i, read_all(no[i], &h));
}

/* ---- version 2 ---- */

static void a_binary_header_tells_both_ends(void **state)
{
    struct proxy_header h = assert_exact(BYTES_LITERAL(V2_V4("\x0c")));

    (void)state;
    assert_int_equal(h.version, 2);
    assert_ends(&h, "192.0.2.7:56324", "198.51.100.1:443");
    h = assert_exact(BYTES_LITERAL(SIGNATURE "\x21\x21\x00\x24"
                                   "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07"
                                   "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
                                   "\xff\xff\x00\x50"));
    assert_ends(&h, "[2001:db8::7]:65535", "[2001:db8::1]:80");
}

static void a_binary_header_tells_unix_sockets(void **state)
{
    uint8_t header[16 + 216] = SIGNATURE "\x21\x31\x00\xd8/run/client.sock";
    struct proxy_header h;

    (void)state;
    memcpy(header + 16 + 108, "\0hidden", 7);
    h = assert_exact(bytes_of(header, sizeof header));
    assert_ends(&h, "unix:/run/client.sock", "unix:@hidden");
    memset(header + 16, 'x', 108); /* a path that fills the field has no zero behind it */
    memset(header + 16 + 108, 0, 108);
    h = assert_exact(bytes_of(header, sizeof header));
    assert_int_equal(h.source.size, sizeof(struct sockaddr_un));
    assert_ends(&h, "unix:xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
                "unix:");
}

static void local_headers_tell_nothing_whatever_they_carry(void **state)
{
    static const struct bytes good[] = {
        { (const uint8_t *)SIGNATURE "\x20\x00\x00\x00", 16 },
        { (const uint8_t *)SIGNATURE "\x20\x11\x00\x0c" V4, 28 },
        { (const uint8_t *)SIGNATURE "\x20\xff\x00\x02??", 18 },
        { (const uint8_t *)SIGNATURE "\x20\x11\x00\x07\x03\x00\x04\x01\x02\x03\x04", 23 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct proxy_header h = assert_exact(good[i]);
        assert_true(h.is_local);
        assert_int_equal(h.source.size, 0);
        assert_false(h.has_checksum);
    }
}

static void families_that_say_nothing_are_skipped_by_their_length(void **state)
{
    static const struct bytes good[] = {
        { (const uint8_t *)SIGNATURE "\x21\x00\x00\x00", 16 },
        { (const uint8_t *)SIGNATURE "\x21\x00\x00\x05?????", 21 },     /* addresses of nobody knows what */
        { (const uint8_t *)SIGNATURE "\x21\x01\x00\x02\x01\x00", 18 },
        { (const uint8_t *)SIGNATURE "\x21\x10\x00\x0c" V4, 28 },       /* no transport */
        { (const uint8_t *)SIGNATURE "\x21\x12\x00\x0c" V4, 28 },       /* UDP */
    };

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct proxy_header h = assert_exact(good[i]);
        assert_false(h.is_local);
        assert_int_equal(h.source.size, 0);
        assert_int_equal(h.destination.size, 0);
    }
}

static void malformed_binary_headers_are_refused(void **state)
{
    static const struct bytes bad[] = {
        { (const uint8_t *)SIGNATURE "\x11", 13 },                    /* version 1 */
        { (const uint8_t *)SIGNATURE "\x31", 13 },                    /* version 3 */
        { (const uint8_t *)SIGNATURE "\x22", 13 },                    /* an unknown command */
        { (const uint8_t *)SIGNATURE "\x21\x41", 14 },                /* an unknown family */
        { (const uint8_t *)SIGNATURE "\x21\x13", 14 },                /* an unknown transport */
        { (const uint8_t *)SIGNATURE "\x21\x11\x00\x0b", 16 },        /* shorter than its addresses */
        { (const uint8_t *)SIGNATURE "\x21\x11\x00\x00", 16 },
        { (const uint8_t *)SIGNATURE "\x21\x21\x00\x23", 16 },
        { (const uint8_t *)SIGNATURE "\x21\x31\x00\xd7", 16 },
        { (const uint8_t *)V2_V4("\x0d") "\x01", 29 },                /* a TLV of one byte, */
        { (const uint8_t *)V2_V4("\x0e") "\x01\x00", 30 },            /* of two, */
        { (const uint8_t *)V2_V4("\x0f") "\x04\x00\x01", 31 },        /* that passes the end, */
        { (const uint8_t *)V2_V4("\x12") "\xe0\xff\xff???", 34 },     /* by far, */
        { (const uint8_t *)V2_V4("\x13") "\x04\x00\x00\x04\x00\x02?", 35 }, /* behind a good one */
        { (const uint8_t *)V2_V4("\x14") "\x01\x00\x01" "a" "\x01\x00\x01" "b", 36 }, /* one that comes twice */
        { (const uint8_t *)V2_V4("\x12") "\x03\x00\x03???", 34 },     /* a checksum of three bytes */
        { (const uint8_t *)V2_V4("\x13") "\x20\x00\x04\x01\x00\x00\x00", 35 }, /* TLS without all of `verify` */
        { (const uint8_t *)V2_V4("\x16") "\x20\x00\x07\x01\x00\x00\x00\x00\x21\x00", 38 }, /* a vector within that is cut */
        { (const uint8_t *)V2_V4("\x17") "\x20\x00\x08\x01\x00\x00\x00\x00\x21\x00\x01", 39 },
    };
    struct proxy_header h;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint8_t *copy = malloc(bad[i].size);
        memcpy(copy, bad[i].at, bad[i].size);
        if (read_all(bytes_of(copy, bad[i].size), &h) != -E_PROXY_HEADER)
            fail_msg("%zu: %d", i, read_all(bytes_of(copy, bad[i].size), &h));
        free(copy);
    }
}

static void a_header_beyond_the_limit_is_refused_by_its_length_alone(void **state)
{
    struct proxy_header h;
    struct bytes start = BYTES_LITERAL(SIGNATURE "\x21\x11\x02\x00");

    (void)state;
    assert_int_equal(proxy_header_read(start, 16 + 0x200, &h), -E_AGAIN);
    assert_int_equal(proxy_header_read(start, 16 + 0x1ff, &h), -E_LIMIT);
    assert_int_equal(proxy_header_read(BYTES_LITERAL(SIGNATURE "\x20\x00\xff\xff"), 4096, &h), -E_LIMIT);
}

static void the_longest_header_is_read(void **state)
{
    uint8_t *header = calloc(1, PROXY_V2_MOST);
    struct proxy_header h;
    size_t rest = 65535 - 12 - 3;

    (void)state;
    memcpy(header, SIGNATURE "\x21\x11\xff\xff" V4 "\xe0", 29);
    header[29] = (uint8_t)(rest >> 8);
    header[30] = (uint8_t)rest;
    assert_int_equal(read_all(bytes_of(header, PROXY_V2_MOST - 1), &h), -E_AGAIN);
    assert_int_equal(read_all(bytes_of(header, PROXY_V2_MOST), &h), PROXY_V2_MOST);
    assert_ends(&h, "192.0.2.7:56324", "198.51.100.1:443");
    free(header);
}

static void every_known_vector_is_told(void **state)
{
    struct proxy_header h = assert_exact(BYTES_LITERAL(V2_V4("\x7a")
        "\x01\x00\x02h2"
        "\x02\x00\x0bwww.a.test\x00"
        "\x04\x00\x00"
        "\x05\x00\x03id1"
        "\x04\x00\x02??"
        "\x20\x00\x41\x07\x00\x00\x00\x00"
            "\x21\x00\x07TLSv1.3" "\x22\x00\x05" "alice" "\x23\x00\x16TLS_AES_128_GCM_SHA256" "\x24\x00\x06SHA256" "\x25\x00\x05RSA20"
        "\xe0\x00\x01?"
        "\x30\x00\x02ns"));

    (void)state;
    assert_text(h.alpn, "h2");
    assert_int_equal(h.authority.size, 11); /* as it came, for the caller to judge */
    assert_text(h.unique_id, "id1");
    assert_text(h.namespace, "ns");
    assert_true(h.tls.is_told && h.tls.over_tls && h.tls.certificate_now && h.tls.certificate_before && h.tls.verified);
    assert_text(h.tls.version, "TLSv1.3");
    assert_text(h.tls.common_name, "alice");
    assert_text(h.tls.cipher, "TLS_AES_128_GCM_SHA256");
    assert_text(h.tls.signature_algorithm, "SHA256");
    assert_text(h.tls.key_algorithm, "RSA20");
}

static void a_certificate_counts_as_verified_only_where_there_is_one_and_verify_is_zero(void **state)
{
    static const struct {
        struct bytes header;
        bool verified;
    } cases[] = {
        { { (const uint8_t *)V2_V4("\x14") "\x20\x00\x05\x01\x00\x00\x00\x00", 36 }, false },
        { { (const uint8_t *)V2_V4("\x14") "\x20\x00\x05\x03\x00\x00\x00\x00", 36 }, true },
        { { (const uint8_t *)V2_V4("\x14") "\x20\x00\x05\x05\x00\x00\x00\x00", 36 }, true },
        { { (const uint8_t *)V2_V4("\x14") "\x20\x00\x05\x07\x00\x00\x00\x01", 36 }, false },
        { { (const uint8_t *)V2_V4("\x14") "\x20\x00\x05\x07\x01\x00\x00\x00", 36 }, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct proxy_header h = assert_exact(cases[i].header);
        assert_true(h.tls.is_told && h.tls.over_tls);
        assert_int_equal(h.tls.verified, cases[i].verified);
    }
}

static void a_unique_id_has_at_most_128_bytes(void **state)
{
    uint8_t header[28 + 3 + 129] = V2_V4("\x8f") "\x05\x00\x80";
    struct proxy_header h = assert_exact(bytes_of(header, 28 + 3 + 128));

    (void)state;
    assert_int_equal(h.unique_id.size, PROXY_UNIQUE_ID_MOST);
    header[15]++;
    header[30]++;
    assert_int_equal(read_all(bytes_of(header, sizeof header), &h), -E_PROXY_HEADER);
}

static void crc32c_is_castagnolis(void **state)
{
    uint8_t zeros[32] = { 0 };

    (void)state;
    assert_int_equal(proxy_crc32c(0, BYTES_LITERAL("123456789")), 0xe3069283);
    assert_int_equal(proxy_crc32c(0, bytes_of(zeros, 32)), 0x8a9136aa); /* RFC 3720 B.4 */
    assert_int_equal(proxy_crc32c(proxy_crc32c(0, BYTES_LITERAL("1234")), BYTES_LITERAL("56789")), 0xe3069283);
}

static void a_checksum_is_verified_over_the_whole_header(void **state)
{
    struct proxy_header h = { .version = 2, .has_checksum = true, .alpn = BYTES_LITERAL("h2"), .authority = BYTES_LITERAL("a.test") };
    uint8_t header[256];
    int size;

    (void)state;
    assert_int_equal(address_from_ip("192.0.2.7", 1, &h.source), 0);
    assert_int_equal(address_from_ip("192.0.2.8", 2, &h.destination), 0);
    size = proxy_header_write(&h, header, sizeof header);
    assert_true(size > 0);
    h = assert_exact(bytes_of(header, (size_t)size));
    assert_true(h.has_checksum);
    for (int i = 16; i < size; i++) { /* any bit, also of the sum itself, but those that are lengths and types */
        int result;
        header[i] ^= 0x10;
        result = read_all(bytes_of(header, (size_t)size), &h);
        if (result != -E_PROXY_CHECKSUM && result != -E_PROXY_HEADER && (result != size || h.has_checksum))
            fail_msg("byte %d: %d", i, result);
        if (i < 28)
            assert_int_equal(result, -E_PROXY_CHECKSUM);
        header[i] ^= 0x10;
    }
    assert_int_equal(read_all(bytes_of(header, (size_t)size), &h), size);
}

/* ---- the writer ---- */

static struct proxy_header header_of(uint8_t version, const char *source, const char *destination)
{
    struct proxy_header h = { .version = version };

    if (strncmp(source, "unix:", 5) == 0) {
        assert_int_equal(address_from_path(source + 5, &h.source), 0);
        assert_int_equal(address_from_path(destination + 5, &h.destination), 0);
    } else {
        assert_int_equal(address_from_ip(source, 56324, &h.source), 0);
        assert_int_equal(address_from_ip(destination, 443, &h.destination), 0);
    }
    return h;
}

static void lines_are_written_byte_for_byte(void **state)
{
    static const struct {
        const char *source, *destination, *line;
    } cases[] = {
        { "192.0.2.7", "198.51.100.1", "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n" },
        { "::ffff:192.0.2.7", "198.51.100.1", "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n" },
        { "2001:db8::7", "2001:db8::1", "PROXY TCP6 2001:db8::7 2001:db8::1 56324 443\r\n" },
        { "192.0.2.7", "2001:db8::1", "PROXY TCP6 ::ffff:192.0.2.7 2001:db8::1 56324 443\r\n" },
        { "unix:/run/a", "unix:/run/b", "PROXY UNKNOWN\r\n" },
        { "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
          "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 56324 443\r\n" },
    };
    uint8_t out[PROXY_V1_MOST];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct proxy_header h = header_of(1, cases[i].source, cases[i].destination);
        int size = proxy_header_write(&h, out, sizeof out);
        assert_int_equal(size, strlen(cases[i].line));
        assert_memory_equal(out, cases[i].line, size);
        assert_int_equal(proxy_header_write(&h, out, (size_t)size - 1), -E_LIMIT);
    }
    struct proxy_header none = { .version = 1 };
    assert_int_equal(proxy_header_write(&none, out, sizeof out), 15);
    assert_memory_equal(out, "PROXY UNKNOWN\r\n", 15);
}

static void assert_written(const struct proxy_header *h, struct bytes expected)
{
    uint8_t out[PROXY_WRITTEN_MOST];

    assert_int_equal(proxy_header_write(h, out, sizeof out), expected.size);
    assert_memory_equal(out, expected.at, expected.size);
}

static void binary_headers_are_written_byte_for_byte(void **state)
{
    struct proxy_header h = header_of(2, "192.0.2.7", "198.51.100.1");

    (void)state;
    assert_written(&h, BYTES_LITERAL(V2_V4("\x0c")));
    h.alpn = BYTES_LITERAL("http/1.1");
    h.authority = BYTES_LITERAL("a.test");
    h.unique_id = BYTES_LITERAL("0123");
    h.tls = (struct proxy_tls){ .is_told = true,
                                .over_tls = true,
                                .version = BYTES_LITERAL("TLSv1.3"),
                                .cipher = BYTES_LITERAL("TLS_AES_128_GCM_SHA256") };
    assert_written(&h, BYTES_LITERAL(V2_V4("\x52") "\x01\x00\x08http/1.1" "\x02\x00\x06" "a.test" "\x05\x00\x04" "0123"
                                     "\x20\x00\x28\x01\x00\x00\x00\x01" "\x21\x00\x07TLSv1.3" "\x23\x00\x16TLS_AES_128_GCM_SHA256"));
    h = header_of(2, "192.0.2.7", "198.51.100.1");
    h.tls = (struct proxy_tls){ .is_told = true, .over_tls = true, .certificate_before = true, .verified = true, .common_name = BYTES_LITERAL("al") };
    assert_written(&h, BYTES_LITERAL(V2_V4("\x19") "\x20\x00\x0a\x05\x00\x00\x00\x00" "\x22\x00\x02" "al"));
    h = header_of(2, "192.0.2.7", "2001:db8::1"); /* of unlike families: both as IPv6 */
    assert_written(&h, BYTES_LITERAL(SIGNATURE "\x21\x21\x00\x24" "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\x02\x07"
                                     "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01" "\xdc\x04\x01\xbb"));
    h.is_local = true;
    h.alpn = BYTES_LITERAL("h2");
    assert_written(&h, BYTES_LITERAL(SIGNATURE "\x20\x00\x00\x00"));
    h = (struct proxy_header){ .version = 2, .authority = BYTES_LITERAL("a.test") };
    assert_written(&h, BYTES_LITERAL(SIGNATURE "\x21\x00\x00\x09" "\x02\x00\x06" "a.test"));
}

static void what_was_written_is_read_the_same(void **state)
{
    struct proxy_header h = header_of(2, "unix:/run/client", "unix:@server"), back;
    uint8_t out[PROXY_WRITTEN_MOST], text[255];
    int size;

    (void)state;
    memset(text, 'n', sizeof text);
    h.alpn = h.authority = h.namespace = bytes_of(text, sizeof text);
    h.unique_id = bytes_of(text, PROXY_UNIQUE_ID_MOST);
    h.has_checksum = true;
    h.tls = (struct proxy_tls){ true, true, true, true, true, h.alpn, h.alpn, h.alpn, h.alpn, h.alpn };
    size = proxy_header_write(&h, out, sizeof out);
    if (size != -E_LIMIT) /* more than was ever promised to fit: five texts of TLS, and 432 bytes of paths */
        fail_msg("%d", size);
    h.tls.signature_algorithm = h.tls.key_algorithm = BYTES_NONE;
    size = proxy_header_write(&h, out, sizeof out);
    assert_true(size > 0);
    back = assert_exact(bytes_of(out, (size_t)size));
    assert_ends(&back, "unix:/run/client", "unix:@server");
    assert_true(back.has_checksum && back.tls.verified);
    assert_true(bytes_equal(back.alpn, h.alpn) && bytes_equal(back.authority, h.authority));
    assert_true(bytes_equal(back.unique_id, h.unique_id) && bytes_equal(back.namespace, h.namespace));
    assert_true(bytes_equal(back.tls.version, h.alpn) && bytes_equal(back.tls.common_name, h.alpn));
    for (int room = 0; room < size; room++) {
        uint8_t *exact = malloc((size_t)room + 1);
        assert_int_equal(proxy_header_write(&h, exact + 1, (size_t)room), -E_LIMIT);
        free(exact);
    }
    h.unique_id = bytes_of(text, PROXY_UNIQUE_ID_MOST + 1);
    assert_int_equal(proxy_header_write(&h, out, sizeof out), -E_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_of_version_1_tells_both_ends),
        cmocka_unit_test(an_unknown_connection_of_version_1_tells_nothing),
        cmocka_unit_test(malformed_lines_of_version_1_are_refused),
        cmocka_unit_test(a_zero_byte_ends_no_address),
        cmocka_unit_test(a_line_without_an_end_in_107_bytes_is_refused),
        cmocka_unit_test(what_is_no_header_is_known_by_its_first_wrong_byte),
        cmocka_unit_test(a_binary_header_tells_both_ends),
        cmocka_unit_test(a_binary_header_tells_unix_sockets),
        cmocka_unit_test(local_headers_tell_nothing_whatever_they_carry),
        cmocka_unit_test(families_that_say_nothing_are_skipped_by_their_length),
        cmocka_unit_test(malformed_binary_headers_are_refused),
        cmocka_unit_test(a_header_beyond_the_limit_is_refused_by_its_length_alone),
        cmocka_unit_test(the_longest_header_is_read),
        cmocka_unit_test(every_known_vector_is_told),
        cmocka_unit_test(a_certificate_counts_as_verified_only_where_there_is_one_and_verify_is_zero),
        cmocka_unit_test(a_unique_id_has_at_most_128_bytes),
        cmocka_unit_test(crc32c_is_castagnolis),
        cmocka_unit_test(a_checksum_is_verified_over_the_whole_header),
        cmocka_unit_test(lines_are_written_byte_for_byte),
        cmocka_unit_test(binary_headers_are_written_byte_for_byte),
        cmocka_unit_test(what_was_written_is_read_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
