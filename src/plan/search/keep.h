/* Inside of plan/search: what is kept of the layouts that go by, on one number of chips. */
#ifndef TR_PLAN_SEARCH_KEEP_H
#define TR_PLAN_SEARCH_KEEP_H

#include "plan/layout/layout.h"

struct tr_seen {
    double time_s, bytes;
    struct tr_layout layout;
    bool beyond; /* of the second walk */
};

/* The fastest in so much memory, by time, then bytes: of all, and one for each way to divide the chips (tr_layout_divides_alike). */
struct tr_keep_list {
    struct tr_seen *at;
    int count, max;
};
struct tr_keep_fastest {
    double limit_bytes;
    struct tr_keep_list all, apart;
    double wanted_s; /* while the walk is at one way to divide the chips, what is slower changes neither */
};

/* Bins of memory: so many to what there is, and as many beyond. */
enum { TR_KEEP_BINS = 1024, TR_KEEP_BINS_ALL = 2 * TR_KEEP_BINS, TR_KEEP_FRONT_MAX = 1 << 16 };

struct tr_keep {
    double bins_a_byte;
    int64_t legal, too_big, beyond; /* of the first walk; beyond: of the second */
    struct tr_keep_fastest fits, sure; /* in what there is; so that it fits to the top of memory's interval */
    struct tr_seen *front; /* of all, also of what is too big: bytes grow, times fall, both strictly */
    int front_count, front_max;
    double bin_s[TR_KEEP_BINS_ALL + 1]; /* the best time of the front in less than so many bins: a quick no */
};

TR_MUST_CHECK enum tr_status tr_keep_make(struct tr_keep *keep, double limit_bytes, double sure_bytes, int top, int apart,
                                          struct tr_err *err);
void tr_keep_free(struct tr_keep *keep);

/* Layouts from here on divide the chips as this one does. */
void tr_keep_turn(struct tr_keep *keep, const struct tr_layout *layout);

/* What is slower and divides the chips so is neither the fastest nor in the list of ways to divide them; there is a fastest. */
double tr_keep_last_s(const struct tr_keep_fastest *fastest, const struct tr_layout *layout);

static inline int tr_keep_bin(const struct tr_keep *keep, double bytes)
{
    double bin = bytes * keep->bins_a_byte;
    return bin < TR_KEEP_BINS_ALL ? (int)bin : TR_KEEP_BINS_ALL;
}

/* Whether the layout changes anything that is kept; if so it must be given to tr_keep_add. */
static inline bool tr_keep_wants(const struct tr_keep *keep, double time_s, double bytes)
{
    const bool fits = bytes <= keep->fits.limit_bytes;
    const int bin = tr_keep_bin(keep, bytes);
    return time_s < keep->bin_s[bin] || (fits && time_s <= keep->fits.wanted_s) ||
           (bytes <= keep->sure.limit_bytes && time_s <= keep->sure.wanted_s);
}

TR_MUST_CHECK enum tr_status tr_keep_add(struct tr_keep *keep, const struct tr_seen *seen, struct tr_err *err);

/* The fastest that need no more than so many bytes: an index of the front; -1: none. */
int tr_keep_within(const struct tr_keep *keep, double bytes);

#endif
