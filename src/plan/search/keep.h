/* Inside of plan/search: what is kept of the layouts that go by, on one number of chips. */
#ifndef TR_PLAN_SEARCH_KEEP_H
#define TR_PLAN_SEARCH_KEEP_H

#include "plan/layout/layout.h"

struct tr_seen {
    double time_s, bytes;
    struct tr_layout layout;
};

enum { TR_KEEP_BINS = 1024, TR_KEEP_FRONT_MAX = 1 << 16 };

struct tr_keep {
    double limit_bytes;
    int64_t legal, too_big;
    struct tr_seen lightest, unlimited;
    struct tr_seen *top; /* by time, then bytes */
    int top_count, top_max;
    double top_worst_s; /* INFINITY until top is full */
    struct tr_seen *front; /* bytes grow, times fall, both strictly */
    int front_count, front_max;
    double bin_s[TR_KEEP_BINS + 1]; /* the best time of the front in less than so many parts of the limit: a quick no */
};

TR_MUST_CHECK enum tr_status tr_keep_make(struct tr_keep *keep, double limit_bytes, int top, struct tr_err *err);
void tr_keep_free(struct tr_keep *keep);

/* Whether the layout changes anything that is kept; if so it must be given to tr_keep_add. Counts it. */
static inline bool tr_keep_wants(struct tr_keep *keep, double time_s, double bytes)
{
    keep->legal++;
    if (bytes > keep->limit_bytes) {
        keep->too_big++;
        return bytes <= keep->lightest.bytes || time_s < keep->unlimited.time_s;
    }
    int bin = (int)(bytes / keep->limit_bytes * TR_KEEP_BINS);
    return time_s < keep->bin_s[bin] || time_s <= keep->top_worst_s || bytes <= keep->lightest.bytes;
}

TR_MUST_CHECK enum tr_status tr_keep_add(struct tr_keep *keep, const struct tr_seen *seen, struct tr_err *err);

#endif
