#include "http/h1.h"

#include "h1_test.h"

static struct arena arena;

static int setup(void **state)
{
    arena_init(&arena, NULL, SIZE_MAX);
    return 0;
}

static int teardown(void **state)
{
    arena_reset(&arena);
    return 0;
}

#define HOST "Host: a.example\r\n"

struct good {
    const char *text, *message;
};

static const struct good good[] = {
    { "GET / HTTP/1.1\r\n" HOST "\r\n", "GET a.example / 1.1 persistent" },
    { "\r\nGET / HTTP/1.1\r\n" HOST "\r\n", "GET a.example / 1.1 persistent" },
    { "GET /a/b%2Fc?d=e&f=%20%zz%|{}[]^`\\? HTTP/1.1\r\n" HOST "\r\n",
      "GET a.example /a/b%2Fc?d=e&f=%20%zz%|{}[]^`\\? 1.1 persistent" },
    { "get /;a=b,c:@!$&'()*+=~-._ HTTP/1.1\r\n" HOST "\r\n", "get a.example /;a=b,c:@!$&'()*+=~-._ 1.1 persistent" },
    { "M!#$%&'*+-.^_`|~9 // HTTP/1.1\r\n" HOST "\r\n", "M!#$%&'*+-.^_`|~9 a.example // 1.1 persistent" },
    /* versions */
    { "GET / HTTP/1.0\r\n\r\n", "GET  / 1.0" },
    { "GET / HTTP/1.0\r\n" HOST "Connection: Keep-Alive\r\n\r\n", "GET a.example / 1.0 persistent" },
    { "GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", "GET  / 1.0" },
    { "GET / HTTP/1.9\r\n" HOST "\r\n", "GET a.example / 1.1 persistent" },
    { "GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", "GET a.example / 1.1" },
    { "GET / HTTP/1.1\r\n" HOST "Connection: keep-alive\r\nConnection: ,CLOSE,\r\n\r\n", "GET a.example / 1.1" },
    /* forms of the target */
    { "GET http://b.example HTTP/1.1\r\n" HOST "\r\n", "GET http://b.example / 1.1 persistent" },
    { "GET HTTPS://b.example:8443/x?y HTTP/1.1\r\n" HOST "\r\n", "GET https://b.example:8443 /x?y 1.1 persistent" },
    { "GET http://b.example?y HTTP/1.1\r\n" HOST "\r\n", "GET http://b.example /?y 1.1 persistent" },
    { "GET http://[::1]:80/ HTTP/1.0\r\n\r\n", "GET http://[::1]:80 / 1.0" },
    { "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", "OPTIONS a.example * 1.1 persistent" },
    { "OPTIONS http://b.example HTTP/1.1\r\n" HOST "\r\n", "OPTIONS http://b.example * 1.1 persistent" },
    { "OPTIONS http://b.example/ HTTP/1.1\r\n" HOST "\r\n", "OPTIONS http://b.example / 1.1 persistent" },
    { "OPTIONS http://b.example?a HTTP/1.1\r\n" HOST "\r\n", "OPTIONS http://b.example /?a 1.1 persistent" },
    { "CONNECT b.example:443 HTTP/1.1\r\n" HOST "\r\n", "CONNECT b.example:443  1.1 persistent" },
    /* authorities */
    { "GET / HTTP/1.1\r\nhost:\t A.example:8080 \t\r\n\r\n", "GET A.example:8080 / 1.1 persistent" },
    { "GET / HTTP/1.1\r\nHost: [2001:db8::1]:8080\r\n\r\n", "GET [2001:db8::1]:8080 / 1.1 persistent" },
    { "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "GET 127.0.0.1 / 1.1 persistent" },
    /* fields */
    { "GET / HTTP/1.1\r\n" HOST "A:\r\nB: \t \r\nC:c\r\nD: d d\td\t \r\nE: \xff\x80:\r\n\r\n",
      "GET a.example / 1.1 persistent | A:  | B:  | C: c | D: d d\td | E: \xff\x80:" },
    { "GET / HTTP/1.1\r\nX: 1\r\n" HOST "x: 2\r\nY_Z: 3\r\n\r\n",
      "GET a.example / 1.1 persistent | X: 1 | x: 2 | Y_Z: 3" },
    /* content */
    { "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\n", "POST a.example / 1.1 body=length length=5 persistent" },
    { "POST / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", "POST a.example / 1.1 body=length length=0 persistent" },
    { "POST / HTTP/1.1\r\n" HOST "content-length:\t007 \r\n\r\n",
      "POST a.example / 1.1 body=length length=7 persistent" },
    { "POST / HTTP/1.1\r\n" HOST "Content-Length: 9223372036854775807\r\n\r\n",
      "POST a.example / 1.1 body=length length=9223372036854775807 persistent" },
    { "POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\n", "POST  / 1.0 body=length length=5" },
    { "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n",
      "POST a.example / 1.1 body=streamed persistent" },
    { "POST / HTTP/1.1\r\n" HOST "transfer-encoding:CHUNKED \r\n\r\n",
      "POST a.example / 1.1 body=streamed persistent" },
    { "POST / HTTP/1.1\r\n" HOST "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\n",
      "POST a.example / 1.1 body=length length=1 persistent continue | Expect: 100-Continue" },
    { "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n", "POST  / 1.0 body=length length=1" },
    { "POST / HTTP/1.0\r\nExpect: the unexpected\r\nContent-Length: 1\r\n\r\n", "POST  / 1.0 body=length length=1" },
    { "GET / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\n\r\n", "GET a.example / 1.1 persistent" },
    { "POST / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 0\r\n\r\n",
      "POST a.example / 1.1 body=length length=0 persistent" },
    /* fields of one hop */
    { "GET / HTTP/1.1\r\n" HOST
      "Keep-Alive: 5\r\nProxy-Connection: close\r\nTE: gzip;q=1, Trailers\r\nConnection: TE\r\n\r\n",
      "GET a.example / 1.1 persistent trailers" },
    { "GET / HTTP/1.1\r\n" HOST "TE: gzip\r\nTE: trailers\r\n\r\n", "GET a.example / 1.1 persistent trailers" },
    { "GET / HTTP/1.0\r\nTE: trailers\r\n\r\n", "GET  / 1.0" },
    { "GET / HTTP/1.1\r\n" HOST "TE: xtrailers\r\n\r\n", "GET a.example / 1.1 persistent" },
    { "GET / HTTP/1.1\r\n" HOST "A-B: 1\r\nConnection: a_b, Via\r\nVia: 1\r\nC: 1\r\nConnection: c\r\nD: 1\r\n\r\n",
      "GET a.example / 1.1 persistent | D: 1" },
    { "POST / HTTP/1.1\r\n" HOST "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n",
      "POST a.example / 1.1 body=streamed persistent" },
    { "GET / HTTP/1.1\r\n" HOST "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
      "GET a.example / 1.1 persistent upgrade=websocket" },
    { "GET / HTTP/1.1\r\n" HOST "Upgrade: websocket\r\n\r\n", "GET a.example / 1.1 persistent" },
    { "GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", "GET  / 1.0" },
    { "GET / HTTP/1.1\r\n" HOST "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n\r\n",
      "GET a.example / 1.1 persistent" },
    { "GET / HTTP/1.1\r\n" HOST "Connection: upgrade\r\nUpgrade: H2C,a/1,,TLS/1.0,HTTP/2.0, b ,h2\r\n\r\n",
      "GET a.example / 1.1 persistent upgrade=a/1, b" },
    { "GET / HTTP/1.1\r\n" HOST "Connection: upgrade\r\nUpgrade: a\r\nUpgrade: b\r\n\r\n",
      "GET a.example / 1.1 persistent" },
};

static void well_formed_requests_become_messages(void **state)
{
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        struct message m;

        message_init(&m, &arena);
        int result = test_request(bytes_of_text(good[i].text), &test_limits, &m);
        if (result != 0)
            fail_msg("%s: %s", error_token(result), good[i].text);
        assert_string_equal(test_describe(&m), good[i].message);
    }
}

static void what_is_written_parses_to_the_same_message(void **state)
{
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        char before[4096];
        uint8_t out[4096];
        struct message m, again;

        message_init(&m, &arena);
        assert_int_equal(test_request(bytes_of_text(good[i].text), &test_limits, &m), 0);
        /* what a request cannot carry on: its version, its scheme, and an authority that it lacked */
        if (m.version == HTTP_1_0)
            m.persistent = false;
        m.version = HTTP_1_1;
        m.scheme = BYTES_NONE;
        if (m.authority.size == 0)
            m.authority = BYTES_LITERAL("a.example");
        snprintf(before, sizeof(before), "%s", test_describe(&m));
        int size = h1_write_request(&m, out, sizeof(out));
        assert_true(size > 0);
        message_init(&again, &arena);
        assert_int_equal(test_request(bytes_of(out, (size_t)size), &test_limits, &again), 0);
        assert_string_equal(test_describe(&again), before);
    }
}

struct bad {
    const char *text;
    int error;
};

#define GET  "GET / HTTP/1.1\r\n"
#define POST "POST / HTTP/1.1\r\n" HOST
#define END  "\r\n\r\n"

static const struct bad bad[] = {
    /* lines */
    { "GET / HTTP/1.1\n" HOST "\r\n", E_SYNTAX },
    { "GET / HTTP/1.1\r" HOST "\r\n", E_SYNTAX },
    { GET "Host: a.example\n\r\n", E_SYNTAX },
    { GET HOST "\n", E_SYNTAX },
    { GET "Host: a.example\rX: y" END, E_SYNTAX },
    { GET HOST "X: a\r\r\n\r\n", E_SYNTAX },
    { GET HOST "X: \x0b" END, E_SYNTAX },
    { GET HOST "X: \x7f" END, E_SYNTAX },
    { GET HOST "X\x01: a" END, E_SYNTAX },
    { "\r\n\r\n" GET HOST "\r\n", E_SYNTAX },
    { "\n" GET HOST "\r\n", E_SYNTAX },
    { " " GET HOST "\r\n", E_SYNTAX },
    { "\x16\x03\x01\x02", E_SYNTAX },
    /* the request line */
    { "GET /" END, E_SYNTAX },
    { "GET" END, E_SYNTAX },
    { "GET / " END, E_SYNTAX },
    { "GET  / HTTP/1.1\r\n" HOST "\r\n", E_SYNTAX },
    { "GET /  HTTP/1.1\r\n" HOST "\r\n", E_SYNTAX },
    { "GET / HTTP/1.1 \r\n" HOST "\r\n", E_SYNTAX },
    { "GET\t/\tHTTP/1.1\r\n" HOST "\r\n", E_SYNTAX },
    { "GET /\tHTTP/1.1\r\n" HOST "\r\n", E_SYNTAX },
    { "GET  HTTP/1.1\r\n" HOST "\r\n", E_SYNTAX },
    { "G(T / HTTP/1.1\r\n" HOST "\r\n", E_SYNTAX },
    { "G\xc3\xa9T / HTTP/1.1\r\n" HOST "\r\n", E_SYNTAX },
    { "GET: / HTTP/1.1\r\n" HOST "\r\n", E_SYNTAX },
    /* the version */
    { "GET / HTTP/0.9\r\n" HOST "\r\n", E_VERSION },
    { "GET / HTTP/2.0\r\n" HOST "\r\n", E_VERSION },
    { "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", E_VERSION },
    { "GET / HTTP/3.1\r\n" HOST "\r\n", E_VERSION },
    { "GET / http/1.1\r\n" HOST "\r\n", E_SYNTAX },
    { "GET / HTTP/1.10\r\n" HOST "\r\n", E_SYNTAX },
    { "GET / HTTP/11\r\n" HOST "\r\n", E_SYNTAX },
    { "GET / HTTP/1,1\r\n" HOST "\r\n", E_SYNTAX },
    { "GET / HTTP/x.1\r\n" HOST "\r\n", E_SYNTAX },
    { "GET / HTTP/1.x\r\n" HOST "\r\n", E_SYNTAX },
    { "GET / HTTP/1\r\n" HOST "\r\n", E_SYNTAX },
    { "GET / HTTPS/1.1\r\n" HOST "\r\n", E_SYNTAX },
    /* the target */
    { "GET * HTTP/1.1\r\n" HOST "\r\n", E_SYNTAX },
    { "OPTIONS ** HTTP/1.1\r\n" HOST "\r\n", E_SYNTAX },
    { "GET a.example HTTP/1.1\r\n" HOST "\r\n", E_SYNTAX },
    { "GET a.example:80 HTTP/1.1\r\n" HOST "\r\n", E_SYNTAX },
    { "GET ?a HTTP/1.1\r\n" HOST "\r\n", E_SYNTAX },
    { "GET /a#b HTTP/1.1\r\n" HOST "\r\n", E_SYNTAX },
    { "GET /?a#b HTTP/1.1\r\n" HOST "\r\n", E_SYNTAX },
    { "GET /%zz HTTP/1.1\r\n" HOST "\r\n", E_SYNTAX },
    { "GET /%a HTTP/1.1\r\n" HOST "\r\n", E_SYNTAX },
    { "GET /% HTTP/1.1\r\n" HOST "\r\n", E_SYNTAX },
    { "GET /%2?a HTTP/1.1\r\n" HOST "\r\n", E_SYNTAX },
    { "GET /a\\b HTTP/1.1\r\n" HOST "\r\n", E_SYNTAX },
    { "GET /\"<> HTTP/1.1\r\n" HOST "\r\n", E_SYNTAX },
    { "GET /?\"<> HTTP/1.1\r\n" HOST "\r\n", E_SYNTAX },
    { "GET /\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n", E_SYNTAX },
    { "GET /?\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n", E_SYNTAX },
    { "GET ftp://a.example/ HTTP/1.1\r\n" HOST "\r\n", E_SYNTAX },
    { "GET http:/a.example/ HTTP/1.1\r\n" HOST "\r\n", E_SYNTAX },
    { "GET http:a.example/ HTTP/1.1\r\n" HOST "\r\n", E_SYNTAX },
    { "GET http://a.example/%1 HTTP/1.1\r\n" HOST "\r\n", E_SYNTAX },
    { "GET http://a.example/#b HTTP/1.1\r\n" HOST "\r\n", E_SYNTAX },
    { "GET http:/// HTTP/1.1\r\n" HOST "\r\n", E_HOST },
    { "GET http://?a HTTP/1.1\r\n" HOST "\r\n", E_HOST },
    { "GET http://u:p@a.example/ HTTP/1.1\r\n" HOST "\r\n", E_HOST },
    { "GET http://a.example#b HTTP/1.1\r\n" HOST "\r\n", E_HOST },
    { "GET http://a.example:99999/ HTTP/1.1\r\n" HOST "\r\n", E_HOST },
    { "GET http://a.example\\@b/ HTTP/1.1\r\n" HOST "\r\n", E_HOST },
    { "CONNECT / HTTP/1.1\r\n" HOST "\r\n", E_HOST },
    { "CONNECT b.example HTTP/1.1\r\n" HOST "\r\n", E_SYNTAX },
    { "CONNECT http://b.example:1/ HTTP/1.1\r\n" HOST "\r\n", E_HOST },
    { "CONNECT * HTTP/1.1\r\n" HOST "\r\n", E_HOST },
    /* Host */
    { GET "\r\n", E_HOST },
    { GET HOST HOST "\r\n", E_HOST },
    { GET HOST "host: b.example" END, E_HOST },
    { "GET / HTTP/1.0\r\n" HOST HOST "\r\n", E_HOST },
    { "GET http://b.example/ HTTP/1.1\r\n\r\n", E_HOST },
    { "GET http://b.example/ HTTP/1.1\r\n" HOST HOST "\r\n", E_HOST },
    { "GET http://b.example/ HTTP/1.1\r\nHost: a b" END, E_HOST },
    { GET "Host:" END, E_HOST },
    { "GET / HTTP/1.0\r\nHost:" END, E_HOST },
    { GET "Host: a.example/x" END, E_HOST },
    { GET "Host: a.example?x" END, E_HOST },
    { GET "Host: a.example b.example" END, E_HOST },
    { GET "Host: a.example, b.example" END, E_HOST },
    { GET "Host: u@a.example" END, E_HOST },
    { GET "Host: a.example:80:80" END, E_HOST },
    { GET "Host: a.example:x" END, E_HOST },
    { GET "Host: a.example:-1" END, E_HOST },
    { GET "Host: http://a.example" END, E_HOST },
    { GET "Host: a..example" END, E_HOST },
    { GET "Host: \xc3\xa9.example" END, E_HOST },
    { GET "Host: *.example" END, E_HOST },
    { GET "Host: [::1" END, E_HOST },
    { GET "Host: a%2eexample" END, E_HOST },
    /* fields */
    { GET HOST "X : a" END, E_SYNTAX },
    { GET HOST "X\t: a" END, E_SYNTAX },
    { GET HOST " X: a" END, E_SYNTAX },
    { GET " X: a\r\n" HOST "\r\n", E_SYNTAX },
    { GET HOST "X: a\r\n b" END, E_SYNTAX },
    { GET HOST "X: a\r\n\tb" END, E_SYNTAX },
    { GET HOST "X: a\r\n \r\n\r\n", E_SYNTAX },
    { GET HOST ": a" END, E_SYNTAX },
    { GET HOST "X" END, E_SYNTAX },
    { GET HOST "X Y: a" END, E_SYNTAX },
    { GET HOST "X\"Y: a" END, E_SYNTAX },
    { GET HOST "X(: a" END, E_SYNTAX },
    { GET HOST "X\x80: a" END, E_SYNTAX },
    { GET HOST "{X}: a" END, E_SYNTAX },
    /* length */
    { POST "Content-Length: 5\r\nContent-Length: 6" END, E_AMBIGUOUS },
    { POST "Content-Length: 5\r\nContent-Length: 5" END, E_AMBIGUOUS },
    { POST "Content-Length: 5, 5" END, E_AMBIGUOUS },
    { POST "Content-Length: 5, 6" END, E_AMBIGUOUS },
    { POST "Content-Length: ,5" END, E_AMBIGUOUS },
    { POST "Content-Length:" END, E_SYNTAX },
    { POST "Content-Length: +5" END, E_SYNTAX },
    { POST "Content-Length: -5" END, E_SYNTAX },
    { POST "Content-Length: -0" END, E_SYNTAX },
    { POST "Content-Length: 0x5" END, E_SYNTAX },
    { POST "Content-Length: 5 5" END, E_SYNTAX },
    { POST "Content-Length: 5;" END, E_SYNTAX },
    { POST "Content-Length: 5.0" END, E_SYNTAX },
    { POST "Content-Length: 1e1" END, E_SYNTAX },
    { POST "Content-Length: \"5\"" END, E_SYNTAX },
    { POST "Content-Length: 5_0" END, E_SYNTAX },
    { POST "Content-Length: \xd9\xa5" END, E_SYNTAX },
    { POST "Content-Length: 9223372036854775808" END, E_SYNTAX },
    { POST "Content-Length: 18446744073709551616" END, E_SYNTAX },
    { POST "Content-Length: 18446744073709551621" END, E_SYNTAX },
    { POST "Content-Length: 99999999999999999999999999999999" END, E_SYNTAX },
    { POST "Content-Length : 5" END, E_SYNTAX },
    { POST "Content_Length: 5" END, E_AMBIGUOUS },
    { POST "Content-Length: 5\r\nContent_Length: 5" END, E_AMBIGUOUS },
    /* transfer codings */
    { POST "Content-Length: 5\r\nTransfer-Encoding: chunked" END, E_AMBIGUOUS },
    { POST "Transfer-Encoding: chunked\r\nContent-Length: 5" END, E_AMBIGUOUS },
    { POST "Transfer-Encoding: chunked\r\nContent-Length: 0" END, E_AMBIGUOUS },
    { POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked" END, E_AMBIGUOUS },
    { POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity" END, E_AMBIGUOUS },
    { POST "Transfer-Encoding: x\r\nTransfer-Encoding: chunked" END, E_AMBIGUOUS },
    { "POST / HTTP/1.0\r\nTransfer-Encoding: chunked" END, E_AMBIGUOUS },
    { "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\nContent-Length: 5" END, E_AMBIGUOUS },
    { POST "Transfer-Encoding : chunked" END, E_SYNTAX },
    { POST "Transfer-Encoding\t: chunked" END, E_SYNTAX },
    { POST " Transfer-Encoding: chunked" END, E_SYNTAX },
    { POST "X: y\r\n Transfer-Encoding: chunked" END, E_SYNTAX },
    { POST "X: y\rTransfer-Encoding: chunked" END, E_SYNTAX },
    { POST "X: y\nTransfer-Encoding: chunked" END, E_SYNTAX },
    { POST "Transfer-Encoding:\x0b"
           "chunked" END,
      E_SYNTAX },
    { POST "Transfer-Encoding: \x0c"
           "chunked" END,
      E_SYNTAX },
    { POST "Transfer-Encoding: chunked\x0b" END, E_SYNTAX },
    { POST "Transfer-Encoding:\r\n chunked" END, E_SYNTAX },
    { POST "Transfer-Encoding\r\n : chunked" END, E_SYNTAX },
    { POST "Transfer_Encoding: chunked" END, E_AMBIGUOUS },
    { POST "Transfer-Encoding: xchunked" END, E_AMBIGUOUS },
    { POST "Transfer-Encoding: chunkedx" END, E_AMBIGUOUS },
    { POST "Transfer-Encoding: chunk" END, E_AMBIGUOUS },
    { POST "Transfer-Encoding: 'chunked'" END, E_AMBIGUOUS },
    { POST "Transfer-Encoding: \"chunked\"" END, E_AMBIGUOUS },
    { POST "Transfer-Encoding: chunked;a=b" END, E_AMBIGUOUS },
    { POST "Transfer-Encoding: chunked, chunked" END, E_AMBIGUOUS },
    { POST "Transfer-Encoding: chunked, gzip" END, E_AMBIGUOUS },
    { POST "Transfer-Encoding: chunked, identity" END, E_AMBIGUOUS },
    { POST "Transfer-Encoding: ,chunked" END, E_AMBIGUOUS },
    { POST "Transfer-Encoding: identity" END, E_AMBIGUOUS },
    { POST "Transfer-Encoding: gzip" END, E_AMBIGUOUS },
    { POST "Transfer-Encoding:" END, E_AMBIGUOUS },
    { POST "Transfer-Encoding: a b, chunked" END, E_AMBIGUOUS },
    { POST "Transfer-Encoding: \x80, chunked" END, E_AMBIGUOUS },
    { POST "Transfer-Encoding: gzip, chunked" END, E_CODING },
    { POST "Transfer-Encoding: x;q=\"1\", chunked" END, E_CODING },
    /* what may not be listed as a field of one hop */
    { POST "Connection: host" END, E_AMBIGUOUS },
    { POST "Connection: close, Content-Length\r\nContent-Length: 5" END, E_AMBIGUOUS },
    { POST "Connection: content_length" END, E_AMBIGUOUS },
    { POST "Connection: X-Forwarded-For" END, E_AMBIGUOUS },
    { POST "Connection: x_real_ip" END, E_AMBIGUOUS },
    { POST "Connection: Cookie" END, E_AMBIGUOUS },
    { POST "Connection: Authorization" END, E_AMBIGUOUS },
    { POST "Connection: Cache-Control" END, E_AMBIGUOUS },
    { POST "Connection: a b" END, E_SYNTAX },
    { POST "Connection: \"close\"" END, E_SYNTAX },
    { POST "Connection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q" END, E_HEAD_TOO_LARGE },
    /* expectations */
    { POST "Expect: 200-ok\r\nContent-Length: 1" END, E_EXPECTATION },
    { POST "Expect: 100-continue, x\r\nContent-Length: 1" END, E_EXPECTATION },
    { POST "Expect: 100-continue\r\nExpect: x\r\nContent-Length: 1" END, E_EXPECTATION },
    { POST "Expect:" END, E_EXPECTATION },
};

static void malformed_requests_are_refused(void **state)
{
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct message m;

        message_init(&m, &arena);
        int result = test_request(bytes_of_text(bad[i].text), &test_limits, &m);
        if (result != -bad[i].error)
            fail_msg("%s instead of %s: %s", error_token(result), error_token(bad[i].error), bad[i].text);
    }
}

static void a_nul_is_refused_wherever_it_stands(void **state)
{
    static const char text[] = "GET /a HTTP/1.1\r\n" HOST "X: y\r\n\r\n";

    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        char copy[sizeof(text)];
        struct message m;

        memcpy(copy, text, sizeof(text));
        copy[i] = 0;
        message_init(&m, &arena);
        assert_int_equal(test_request(bytes_of(copy, sizeof(text) - 1), &test_limits, &m), -E_SYNTAX);
    }
}

/* The parser alone, without the scanner in front of it, never accepts what the scanner would not. */
static void the_parser_does_not_trust_the_scanner(void **state)
{
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct message m;

        message_init(&m, &arena);
        assert_int_not_equal(h1_parse_request(bytes_of_text(bad[i].text), &test_limits, &m), 0);
    }
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        struct bytes text = bytes_of_text(good[i].text);

        for (size_t size = 0; size < text.size; size++) {
            struct message m;
            message_init(&m, &arena);
            assert_int_not_equal(h1_parse_request(bytes_part(text, 0, size), &test_limits, &m), 0);
        }
        arena_reset(&arena);
    }
}

static void an_error_leaves_for_the_log_what_could_be_read(void **state)
{
    struct message m;

    message_init(&m, &arena);
    assert_int_equal(test_request(BYTES_LITERAL("GET /%zz HTTP/1.1\r\n" HOST "\r\n"), &test_limits, &m), -E_SYNTAX);
    assert_true(bytes_equal_text(m.method_name, "GET") && bytes_equal_text(m.path, "/%zz"));
    message_init(&m, &arena);
    assert_int_equal(test_request(BYTES_LITERAL(GET HOST "Content-Length: x\r\n\r\n"), &test_limits, &m), -E_SYNTAX);
    assert_true(bytes_equal_text(m.path, "/") && bytes_equal_text(m.authority, "a.example"));
}

static void a_full_arena_refuses_the_request(void **state)
{
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        int result = -1;

        for (size_t limit = 0; result != 0; limit += 16) {
            struct message m;
            struct arena small;

            arena_init(&small, NULL, limit);
            message_init(&m, &small);
            result = h1_parse_request(bytes_of_text(good[i].text), &test_limits, &m);
            assert_true(result == 0 || result == -E_MEMORY);
            arena_reset(&small);
        }
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(well_formed_requests_become_messages),  TEST(what_is_written_parses_to_the_same_message),
        TEST(malformed_requests_are_refused),        TEST(a_nul_is_refused_wherever_it_stands),
        TEST(the_parser_does_not_trust_the_scanner), TEST(an_error_leaves_for_the_log_what_could_be_read),
        TEST(a_full_arena_refuses_the_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
