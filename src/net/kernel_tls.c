#include "net/kernel_tls.h"

#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SOL_TLS
#define SOL_TLS 282
#endif
enum { STATE_CLOSE = 7 }; /* of tcpi_state, which linux/tcp.h does not name */
#ifndef TCP_ULP
#define TCP_ULP 31
#endif

/* ---- Keys ---- */

static void put_sequence(uint64_t sequence, uint8_t to[8])
{
    for (int i = 0; i < 8; i++)
        to[i] = (uint8_t)(sequence >> (56 - 8 * i));
}

/* AES-GCM's nonce is a salt of four bytes and eight that, in TLS 1.2, are written in each record: the kernel counts them on
 * from the first one. In TLS 1.3 all twelve are mixed with the sequence number. */
static void put_gcm_nonce(uint16_t version, const struct traffic_key *key, uint8_t salt[4], uint8_t iv[8])
{
    memcpy(salt, key->iv, 4);
    if (version == 0x0304)
        memcpy(iv, key->iv + 4, 8);
    else
        put_sequence(key->explicit_nonce, iv);
}

size_t kernel_tls_layout(uint16_t version, enum aead aead, const struct traffic_key *key,
                         union kernel_tls_info *ret_info)
{
    union kernel_tls_info *i = ret_info;

    memset(i, 0, sizeof *i);
    i->info.version = version == 0x0304 ? TLS_1_3_VERSION : TLS_1_2_VERSION;
    switch (aead) {
    case AEAD_AES_128_GCM:
        i->info.cipher_type = TLS_CIPHER_AES_GCM_128;
        memcpy(i->aes_128.key, key->key, sizeof i->aes_128.key);
        put_gcm_nonce(version, key, i->aes_128.salt, i->aes_128.iv);
        put_sequence(key->sequence, i->aes_128.rec_seq);
        return sizeof i->aes_128;
    case AEAD_AES_256_GCM:
        i->info.cipher_type = TLS_CIPHER_AES_GCM_256;
        memcpy(i->aes_256.key, key->key, sizeof i->aes_256.key);
        put_gcm_nonce(version, key, i->aes_256.salt, i->aes_256.iv);
        put_sequence(key->sequence, i->aes_256.rec_seq);
        return sizeof i->aes_256;
    case AEAD_CHACHA20_POLY1305:
        i->info.cipher_type = TLS_CIPHER_CHACHA20_POLY1305;
        memcpy(i->chacha.key, key->key, sizeof i->chacha.key);
        memcpy(i->chacha.iv, key->iv, sizeof i->chacha.iv);
        put_sequence(key->sequence, i->chacha.rec_seq);
        return sizeof i->chacha;
    default:
        return 0;
    }
}

int kernel_tls_attach(int fd)
{
    return setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof "tls") == 0 ? 0 : -E_SYSTEM;
}

int kernel_tls_give(int fd, bool is_sending, uint16_t version, enum aead aead, const struct traffic_key *key)
{
    union kernel_tls_info info;
    size_t size = kernel_tls_layout(version, aead, key, &info);
    int result = -1;

    if (size)
        result = setsockopt(fd, SOL_TLS, is_sending ? TLS_TX : TLS_RX, &info, (socklen_t)size);
    explicit_bzero(&info, sizeof info);
    return result == 0 ? 0 : -E_SYSTEM;
}

/* ---- Records ---- */

int kernel_tls_send(int fd, enum content_type type, struct bytes content)
{
    union {
        struct cmsghdr head;
        uint8_t room[CMSG_SPACE(1)];
    } control = { .head = { .cmsg_len = CMSG_LEN(1), .cmsg_level = SOL_TLS, .cmsg_type = TLS_SET_RECORD_TYPE } };
    struct iovec part = { (void *)content.at, content.size };
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.room
    };
    ssize_t n;

    *CMSG_DATA(&control.head) = (uint8_t)type;
    do
        n = sendmsg(fd, &message, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n >= 0)
        return 0; /* they are few bytes: one record, or none */
    return errno == EAGAIN ? -E_AGAIN : -E_RESET;
}

static int receive_error(int error)
{
    switch (error) {
    case EAGAIN:
        return -E_AGAIN;
    case EBADMSG:
        return -E_TLS;
    case EMSGSIZE:
        return -E_LIMIT;
    case EINVAL:
        return -E_VERSION;
    case EKEYEXPIRED:
        return -E_PASSED_ON;
    default:
        return -E_RESET;
    }
}

int kernel_tls_receive(int fd, uint8_t *to, size_t room, enum content_type *ret_type)
{
    union {
        struct cmsghdr head;
        uint8_t room[CMSG_SPACE(1)];
    } control;
    struct iovec part = { to, room };
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.room
    };
    const struct cmsghdr *c;
    ssize_t n;

    do
        n = recvmsg(fd, &message, 0);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return receive_error(errno);
    c = CMSG_FIRSTHDR(&message);
    *ret_type = c && c->cmsg_level == SOL_TLS && c->cmsg_type == TLS_GET_RECORD_TYPE
                    ? (enum content_type) * CMSG_DATA(c)
                    : CONTENT_APPLICATION_DATA;
    return (int)n;
}

/* ---- How far it is ---- */

int kernel_tls_written(int fd, uint64_t *ret_bytes)
{
    struct tcp_info info = { 0 };
    socklen_t size = sizeof info;
    int unconfirmed = 0;

    /* In this order: what is confirmed between the two calls is counted too little, never twice. */
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) < 0 || info.tcpi_state == STATE_CLOSE ||
        ioctl(fd, SIOCOUTQ, &unconfirmed) < 0)
        return -E_RESET;
    *ret_bytes = info.tcpi_bytes_acked + (uint64_t)(unsigned)unconfirmed;
    return 0;
}

uint64_t kernel_tls_sequence(int fd, enum aead aead)
{
    union kernel_tls_info info = { 0 };
    const uint8_t *at = aead == AEAD_AES_128_GCM   ? info.aes_128.rec_seq
                        : aead == AEAD_AES_256_GCM ? info.aes_256.rec_seq
                                                   : info.chacha.rec_seq;
    socklen_t size = aead == AEAD_AES_128_GCM   ? sizeof info.aes_128
                     : aead == AEAD_AES_256_GCM ? sizeof info.aes_256
                                                : sizeof info.chacha;
    uint64_t sequence = 0;

    if (getsockopt(fd, SOL_TLS, TLS_TX, &info, &size) == 0)
        for (int i = 0; i < 8; i++)
            sequence = sequence << 8 | at[i];
    explicit_bzero(&info, sizeof info);
    return sequence;
}

/* ---- Asking the kernel ---- */

/* Connects fd to the listener, whose queue the other end stands in while it is open. */
static bool connect_both(int listener, int fd)
{
    struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t size = sizeof any;

    return listener >= 0 && fd >= 0 && bind(listener, (struct sockaddr *)&any, sizeof any) == 0 &&
           listen(listener, 1) == 0 && getsockname(listener, (struct sockaddr *)&any, &size) == 0 &&
           connect(fd, (struct sockaddr *)&any, size) == 0;
}

static atomic_int said = -1; /* enum kernel_tls */

enum kernel_tls kernel_tls_now(void)
{
    int can = atomic_load_explicit(&said, memory_order_relaxed);

    return can < 0 ? kernel_tls_probe() : (enum kernel_tls)can;
}

enum kernel_tls kernel_tls_probe(void)
{
    const struct traffic_key key = { 0 }; /* nothing is ever sealed with it */
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    enum kernel_tls can = KERNEL_TLS_NONE;

    if (connect_both(listener, fd) && kernel_tls_attach(fd) == 0 &&
        kernel_tls_give(fd, true, 0x0304, AEAD_AES_128_GCM, &key) == 0) {
        can = KERNEL_TLS_FIXED_KEYS;
        if (kernel_tls_give(fd, true, 0x0304, AEAD_AES_128_GCM, &key) == 0)
            can = KERNEL_TLS_NEW_KEYS;
    }
    if (fd >= 0)
        close(fd);
    if (listener >= 0)
        close(listener);
    atomic_store_explicit(&said, can, memory_order_relaxed);
    return can;
}
