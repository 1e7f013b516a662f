/* h2_budget.c: work that a peer makes without use. One budget for all kinds, so that a mixture fares no better than one:
 * each frame costs points, each completed message pays back what it cost and more, content that is sent pays for the
 * window updates that it causes, and time fills the rest. A browser or a gRPC client with thousands of requests stays
 * near the full budget; what a flood of any kind can make is FILL points a second, and one message more in the log. */
#include "http/h2_private.h"

enum {
    BUDGET_MOST = 8000, /* points */
    FILL = 400,         /* points a second */
    CUT_LEAST = 32,     /* bytes */
    UPDATES_DUE_MOST = 500,
    BLOCK_PIECES = 4, /* a header block may take so many times the bytes that its fields may have */
};
#define NS_PER_SECOND 1000000000ull

void h2_budget_fill(struct h2_budget *b, uint64_t now_ns)
{
    uint64_t step = NS_PER_SECOND / FILL, points;

    if (b->filled_ns == 0) {
        b->filled_ns = now_ns;
        b->left = BUDGET_MOST;
    }
    points = now_ns > b->filled_ns ? (now_ns - b->filled_ns) / step : 0;
    if (!points)
        return;
    b->filled_ns += points * step;
    h2_budget_refund(b, points < BUDGET_MOST ? (int64_t)points : BUDGET_MOST);
}

void h2_budget_refund(struct h2_budget *b, int64_t points)
{
    b->left += points;
    if (b->left < BUDGET_MOST)
        return;
    b->left = BUDGET_MOST;
    memset(b->used, 0, sizeof b->used);
}

void h2_budget_charge(struct h2_budget *b, enum h2_work work, int64_t points)
{
    static const char *const names[WORK_KINDS] = {
        [WORK_HEAD] = "HEADERS",
        [WORK_CONTINUATION] = "CONTINUATION",
        [WORK_EMPTY_DATA] = "empty DATA",
        [WORK_PRIORITY] = "PRIORITY",
        [WORK_RESET] = "rapid reset",
        [WORK_SETTINGS] = "SETTINGS",
        [WORK_PING] = "PING",
        [WORK_WINDOW_UPDATE] = "WINDOW_UPDATE",
        [WORK_UNKNOWN] = "unknown frames",
        [WORK_PROVOKED] = "provoked resets",
        [WORK_HPACK] = "HPACK bomb",
        [WORK_DROPPED] = "DATA of closed streams",
    };
    enum h2_work most = work;

    b->left -= points;
    b->used[work] += points;
    if (b->left >= 0 || b->flood)
        return;
    for (enum h2_work i = 0; i < WORK_KINDS; i++)
        if (b->used[i] > b->used[most])
            most = i;
    b->flood = names[most];
}

/* A frame's head came. */
void h2_budget_frame(struct h2 *h, const nghttp2_frame_hd *hd)
{
    struct h2_budget *b = &h->budget;
    uint64_t block_most = (uint64_t)BLOCK_PIECES * h->options.limits.head + 16384;

    switch (hd->type) {
    case NGHTTP2_HEADERS:
        h->block_bytes = hd->length;
        h2_budget_charge(b, WORK_HEAD, 2);
        break;
    case NGHTTP2_CONTINUATION:
        h->block_bytes += hd->length;
        h2_budget_charge(b, WORK_CONTINUATION,
                         h->block_bytes > block_most ? 2 * BUDGET_MOST
                         : hd->length < 1024         ? 40
                                                     : 5);
        break;
    case NGHTTP2_PRIORITY:
    case NGHTTP2_PRIORITY_UPDATE:
        h2_budget_charge(b, WORK_PRIORITY, 4);
        break;
    case NGHTTP2_SETTINGS:
        h2_budget_charge(b, WORK_SETTINGS, hd->flags & NGHTTP2_FLAG_ACK ? 0 : 40 + (int64_t)(hd->length / 16));
        break;
    case NGHTTP2_PING:
        h2_budget_charge(b, WORK_PING, hd->flags & NGHTTP2_FLAG_ACK ? 1 : b->pings_due ? 0 : 10);
        b->pings_due = false;
        break;
    case NGHTTP2_WINDOW_UPDATE: /* what it costs depends on what is in it; of a stream that is gone, nobody looks */
        if (hd->stream_id && !nghttp2_session_find_stream(h->session, hd->stream_id))
            h2_budget_charge(b, WORK_WINDOW_UPDATE, 4);
        break;
    default: /* these depend on what is in them, or h2_watch() has seen them */
        break;
    }
}

/* DATA was sent. It calls for a PING (gRPC measures the line so) and for window updates of the stream and the connection,
 * however small: many clients answer each frame so, and it was us who made it small. They are free, but for frames of a few
 * bytes that the peer's window has cut: else a response could be asked for byte by byte. */
void h2_budget_sent(struct h2_budget *b, size_t length, bool cut)
{
    h2_budget_refund(b, 1 + (int64_t)(length / 1024));
    if (cut && length < CUT_LEAST)
        return;
    b->pings_due = true;
    if (b->updates_due < UPDATES_DUE_MOST)
        b->updates_due += 2;
}

void h2_budget_update(struct h2_budget *b, int32_t increment)
{
    if (b->updates_due)
        b->updates_due--;
    else
        h2_budget_charge(b, WORK_WINDOW_UPDATE, increment < 256 ? 3 : 1);
}

bool h2_budget_is_strained(const struct h2_budget *b)
{
    return b->filled_ns && b->left < BUDGET_MOST / 8 * 7;
}
