/* floor: what a TLS library alone costs the server of one handshake. Two SSL
 * objects in this process talk through memory BIOs; only the time inside the
 * server's calls is counted, and the median over the handshakes is printed.
 * usage: floor CERT KEY 1.2|1.3 full|resumed [GROUPS] [COUNT] [bulk]
 * With "bulk": after the handshake, ns per 16 KiB record sealed by the server. */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static SSL_SESSION *sess;
static char buf[16384];

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e6 + t.tv_nsec * 1e-3;
}

static int keep(SSL *s, SSL_SESSION *x)
{
    (void)s;
    SSL_SESSION_free(sess); /* OpenSSL uses a TLS 1.3 ticket once: keep the newest */
    sess = x;
    return 1;
}

static void move(BIO *from, BIO *to)
{
    char b[65536];
    int n;

    while ((n = BIO_read(from, b, sizeof b)) > 0)
        BIO_write(to, b, n);
}

static void pair(SSL_CTX *sc, SSL_CTX *cc, SSL **ps, SSL **pc, double *us)
{
    double t = now();
    SSL *s = SSL_new(sc), *c;
    BIO *si = BIO_new(BIO_s_mem()), *so = BIO_new(BIO_s_mem());
    SSL_set_bio(s, si, so);
    SSL_set_accept_state(s);
    *us = now() - t;

    c = SSL_new(cc);
    BIO *ci = BIO_new(BIO_s_mem()), *co = BIO_new(BIO_s_mem());
    SSL_set_bio(c, ci, co);
    SSL_set_connect_state(c);
    if (sess)
        SSL_set_session(c, sess);
    for (int sd = 0, cd = 0, i = 0; !(sd && cd) && i < 10; i++) {
        cd = SSL_do_handshake(c) == 1;
        move(co, si);
        t = now();
        sd = SSL_do_handshake(s) == 1;
        if (sd)
            SSL_read(s, buf, sizeof buf); /* AWS-LC sends its tickets here or at a write */
        *us += now() - t;
        move(so, ci);
    }
    if (!SSL_is_init_finished(s) || !SSL_is_init_finished(c)) {
        ERR_print_errors_fp(stderr);
        exit(1);
    }
    SSL_read(c, buf, sizeof buf);
    *ps = s;
    *pc = c;
}

static void end(SSL *s)
{
    SSL_set_shutdown(s, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); /* else OpenSSL spoils the session */
    SSL_free(s);
}

static int cmp(const void *a, const void *b)
{
    return (*(double *)a > *(double *)b) - (*(double *)a < *(double *)b);
}

int main(int argc, char **argv)
{
    if (argc < 5)
        return 1;
    SSL_CTX *sc = SSL_CTX_new(TLS_server_method()), *cc = SSL_CTX_new(TLS_client_method());
    int ver = !strcmp(argv[3], "1.2") ? TLS1_2_VERSION : TLS1_3_VERSION, re = *argv[4] == 'r';
    const char *groups = argc > 5 && *argv[5] ? argv[5] : "X25519";
    int n = argc > 6 ? atoi(argv[6]) : 4000, bulk = argc > 7;
    double *us = calloc(n, sizeof *us), sum = 0;
    SSL *s, *c;

    if (SSL_CTX_use_certificate_chain_file(sc, argv[1]) != 1 ||
        SSL_CTX_use_PrivateKey_file(sc, argv[2], SSL_FILETYPE_PEM) != 1 || !SSL_CTX_set1_groups_list(sc, groups) ||
        !SSL_CTX_set1_groups_list(cc, groups))
        return ERR_print_errors_fp(stderr), 1;
    SSL_CTX_set_min_proto_version(cc, ver);
    SSL_CTX_set_max_proto_version(cc, ver);
    SSL_CTX_set_session_id_context(sc, (const unsigned char *)"x", 1);
    SSL_CTX_set_session_cache_mode(sc, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_session_cache_mode(cc, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_set_ciphersuites(cc, "TLS_AES_128_GCM_SHA256");
    if (re)
        SSL_CTX_sess_set_new_cb(cc, keep);
    pair(sc, cc, &s, &c, us);
    if (re) { /* let AWS-LC flush its tickets */
        SSL_write(s, "x", 1);
        move(SSL_get_wbio(s), SSL_get_rbio(c));
        SSL_read(c, buf, 1);
        end(s), end(c);
        pair(sc, cc, &s, &c, us);
    }
    if (bulk) {
        for (int i = 0; i < n; i++) {
            double t = now();
            SSL_write(s, buf, sizeof buf);
            us[i] = now() - t;
            (void)BIO_reset(SSL_get_wbio(s));
        }
    } else
        for (int i = 0; i < n; i++) {
            end(c);
            double t = now();
            end(s);
            t = now() - t;
            pair(sc, cc, &s, &c, us + i);
            if (re != SSL_session_reused(s))
                return fprintf(stderr, "resumed: %d, not as asked\n", !re), 1;
            us[i] += t;
        }
    for (int i = 0; i < n; i++)
        sum += us[i];
    qsort(us, n, sizeof *us, cmp);
    printf("{\"library\": \"%s\", \"what\": \"%s %s %s\", \"cert\": \"%s\", \"median_us\": %.2f, \"mean_us\": %.2f}\n",
           OpenSSL_version(0), argv[3], bulk ? "16K record" : argv[4], groups, argv[1], us[n / 2], sum / n);
    return 0;
}
