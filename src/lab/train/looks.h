/* What the machine gives a run: looked at when it begins, now and then, and when it saves, which the end is too.
 *
 * A host moves the processors of a virtual machine about, a clock falls, a neighbour comes: a run may begin on one machine and end on another.
 * So profile.json has not only what was measured at its start. Looks are the lead's, between steps: a hand-over (silicon/chip/peak.h) takes a
 * millisecond or two and comes each ten seconds; all of it takes 0.2 s and comes at a save each minute of one rank, and at the end of a run of ten seconds. */
#ifndef TR_LAB_TRAIN_LOOKS_H
#define TR_LAB_TRAIN_LOOKS_H

#include "base/err.h"

#include <stdint.h>

#define TR_LOOKS_EVERY_S 10.
#define TR_LOOKS_BETWEEN_S 60.
enum { TR_HANDS_MAX = 64 };

struct tr_look {
    double after_s;     /* since the attempt's first step; 0: there was none */
    double peak_flop_s; /* of all ranks, as in struct tr_run */
    double read_byte_s; /* of struct tr_looks' read_bytes */
    double hand_s;      /* a line of a cache from core to core; 0: not known */
};

/* Hand-overs at equal distances in time, of one rank with several threads: when all places are taken each second one is dropped, and the
 * distance doubles. */
struct tr_hands {
    double at[TR_HANDS_MAX];
    int count;
    double every_s, next_s; /* 0: none so far */
};

struct tr_looks {
    int64_t read_bytes;        /* that all threads together read: the largest size that a calibration reads too and the run has; 0: none */
    double first_read_byte_s;  /* then; what else there was then is the run's own: peak_flop_s, hand_s */
    struct tr_look last;
    struct tr_hands hands;
};

/* `hand_s` was measured `now_s` after the first step; 0: nobody knows, and it is asked again at the next time. */
void tr_hands_add(struct tr_hands *hands, double hand_s, double now_s);

/* "looks": {"read_bytes", "first_read_byte_s", "last" (where there was one): {"after_s", "peak_flop_s", "read_byte_s", "hand_s"}, "hands_s": [...]} of
 * an object; where it is not there all is 0. */
struct tr_json;
struct tr_node;
void tr_looks_write(const struct tr_looks *looks, struct tr_json *json);
TR_MUST_CHECK enum tr_status tr_looks_read(const struct tr_node *object, struct tr_looks *out, struct tr_err *err);

#endif
