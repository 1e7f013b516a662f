/* test_batch.c: who is done when: queues, done() that hands in and cancels, counts. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/ec.h>
#include <openssl/evp.h>

#include "base/check.h"
#include "tls/batch_inside.h"
#include "tls/key_share.h"
#include "tls/multi_buffer.h"
#include "tls/signer.h"
#include "soft_lanes.h"

/* ---- A library that notes how many lanes it was asked for, and answers with what was handed in ---- */

static unsigned calls;

static uint32_t make_pairs(uint8_t *const public_keys[LANES], const uint8_t *const private_keys[LANES])
{
    for (unsigned i = 0; i < LANES; i++)
        memcpy(public_keys[i], private_keys[i], 32);
    return 0;
}

static uint32_t agree(uint8_t *const shared[LANES], const uint8_t *const private_keys[LANES],
                      const uint8_t *const public_keys[LANES])
{
    calls++;
    for (unsigned i = 0; i < LANES; i++) {
        assert_non_null(private_keys[i]);
        memcpy(shared[i], public_keys[i], 32);
    }
    return 0;
}

static const struct multi_buffer echo = { .x25519_public_key_mb8 = make_pairs, .x25519_mb8 = agree };

/* ---- Requests that note when they are done ---- */

struct asked {
    struct key_agreement a;
    uint8_t share[32];
    unsigned done; /* the how-manieth it was */
    void (*then)(struct asked *self);
};

static unsigned done_count;
static struct batch *batch;
static struct asked many[40];

static void note(struct batch_job *job)
{
    struct asked *self = CONTAINER_OF(job, struct asked, a.job);

    assert_int_equal(self->done, 0);
    self->done = ++done_count;
    if (self->then)
        self->then(self);
}

static void hand_in(unsigned number)
{
    struct asked *self = &many[number];
    void (*then)(struct asked *) = self->then;

    memset(self, 0, sizeof *self);
    memset(self->share, (int)number + 1, sizeof self->share);
    self->then = then;
    self->a.group = GROUP_X25519;
    self->a.client_share = bytes_of(self->share, sizeof self->share);
    self->a.job.done = note;
    key_agreement_start(batch, &self->a);
}

static int begin(void **state)
{
    (void)state;
    batch = batch_new(&echo);
    memset(many, 0, sizeof many);
    calls = done_count = 0;
    return batch ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    batch_free(batch);
    return 0;
}

static void everybody_is_done_once_in_the_order_of_asking(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 20; i++)
        hand_in(i);
    assert_false(batch_is_empty(batch));
    assert_int_equal(done_count, 0);
    batch_run(batch);
    assert_true(batch_is_empty(batch));
    assert_int_equal(done_count, 20);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(many[i].done, i + 1);
        assert_int_equal(many[i].a.error, 0);
        assert_memory_equal(many[i].a.secret, many[i].share, 32); /* its own, not another lane's */
    }
    assert_int_equal(calls, 3);
    batch_run(batch);
    assert_int_equal(done_count, 20);
}

static void calls_and_lanes_are_counted(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 17; i++)
        hand_in(i);
    batch_run(batch);
    assert_int_equal(batch_counts(batch, BATCH_KEY_PAIRS)->calls, 3);
    assert_int_equal(batch_counts(batch, BATCH_KEY_PAIRS)->lanes, 24);
    assert_int_equal(batch_counts(batch, BATCH_X25519)->calls, 2);
    assert_int_equal(batch_counts(batch, BATCH_X25519)->lanes, 16);
    assert_int_equal(batch_counts(batch, BATCH_X25519)->singly, 1); /* one alone is cheaper so */
    assert_string_equal(batch_work_name(BATCH_X25519), "x25519");
}

static void hand_in_another(struct asked *self)
{
    if (self < many + 30)
        hand_in((unsigned)(self - many) + 10);
}

static void what_done_hands_in_is_worked_off_in_the_same_run(void **state)
{
    (void)state;
    for (unsigned i = 0; i < COUNT_OF(many); i++)
        many[i].then = hand_in_another;
    for (unsigned i = 0; i < 10; i++)
        hand_in(i);
    batch_run(batch);
    assert_true(batch_is_empty(batch));
    assert_int_equal(done_count, 40);
}

static void cancel_the_others(struct asked *self)
{
    for (unsigned i = 0; i < 12; i++)
        if (&many[i] != self) {
            key_agreement_wipe(&many[i].a);
            memset(&many[i], 0xee, sizeof many[i]); /* as if freed */
        }
}

/* Those of the same call, whose results are there already, and those that still wait. */
static void done_may_cancel_and_free_the_others(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 12; i++) {
        many[i].then = i == 2 ? cancel_the_others : NULL;
        hand_in(i);
    }
    batch_run(batch);
    assert_true(batch_is_empty(batch));
    assert_int_equal(done_count, 3);
    assert_int_equal(many[2].done, 3);
}

static void wipe_itself(struct asked *self)
{
    key_agreement_wipe(&self->a);
    memset(&self->a, 0xee, sizeof self->a);
}

static void done_may_free_itself(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        many[i].then = wipe_itself;
        hand_in(i);
    }
    batch_run(batch);
    assert_int_equal(done_count, 10);
}

static void cancelling_is_harmless_before_and_after(void **state)
{
    struct key_agreement never = { 0 };

    (void)state;
    batch_cancel(&never.job);
    hand_in(0);
    hand_in(1);
    batch_cancel(&many[0].a.job);
    batch_cancel(&many[0].a.job);
    batch_run(batch);
    batch_cancel(&many[1].a.job);
    assert_int_equal(done_count, 1);
    assert_int_equal(many[1].done, 1);
}

/* A process that holds the keys, say: it is done when that one has answered. */
static void somebody_else_may_finish_a_request(void **state)
{
    struct asked *self = &many[0];

    (void)state;
    self->a.job.done = note;
    batch_run(batch);
    assert_int_equal(self->done, 0);
    batch_finish(batch, &self->a.job);
    assert_false(batch_is_empty(batch));
    assert_int_equal(self->done, 0);
    batch_run(batch);
    assert_int_equal(self->done, 1);
    assert_true(batch_is_empty(batch));
}

/* ---- Agreements lead to signatures ---- */

static struct signer *signer;
static struct signature signatures[24];
static unsigned signed_count;

static void note_signature(struct batch_job *job)
{
    assert_int_equal(CONTAINER_OF(job, struct signature, job)->error, 0);
    signed_count++;
}

static void sign(struct asked *self)
{
    struct signature *sig = &signatures[self - many];

    *sig = (struct signature){ .job.done = note_signature, .scheme = SCHEME_ECDSA_SECP256R1_SHA256,
                               .content = bytes_of_text("content") };
    signer_start(batch, signer, sig);
}

/* The handshakes that wait for their agreements together sign together, too. */
static void signatures_of_one_run_are_made_together(void **state)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");

    (void)state;
    batch_free(batch);
    batch = batch_new(&soft_lanes);
    signer = signer_new(key);
    signed_count = 0;
    for (unsigned i = 0; i < COUNT_OF(signatures); i++) {
        many[i].then = sign;
        hand_in(i);
    }
    batch_run(batch);
    assert_int_equal(done_count, COUNT_OF(signatures));
    assert_int_equal(signed_count, COUNT_OF(signatures));
    assert_int_equal(batch_counts(batch, BATCH_ECDSA_P256)->calls, 3);
    assert_int_equal(batch_counts(batch, BATCH_ECDSA_P256)->lanes, 24);
    signer_free(signer);
    EVP_PKEY_free(key);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(everybody_is_done_once_in_the_order_of_asking),
        EACH(calls_and_lanes_are_counted),
        EACH(what_done_hands_in_is_worked_off_in_the_same_run),
        EACH(done_may_cancel_and_free_the_others),
        EACH(done_may_free_itself),
        EACH(cancelling_is_harmless_before_and_after),
        EACH(somebody_else_may_finish_a_request),
        EACH(signatures_of_one_run_are_made_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
