/* The learning rate of each step, in double by base/fmath.h: the same bits everywhere.
 *
 * Steps count from 0. The first `warmup` steps rise linearly: lr * (step + 1) / warmup. Then
 *     constant   lr
 *     cosine     from lr to lr * min_ratio along half a cosine that ends at `steps`
 *     wsd        lr until the last decay_steps, then linearly to lr * min_ratio at `steps` (warm-up, stable, decay)
 */
#ifndef TR_LAB_TRAIN_SCHEDULE_H
#define TR_LAB_TRAIN_SCHEDULE_H

#include <stdint.h>

enum tr_schedule_kind { TR_SCHEDULE_COSINE, TR_SCHEDULE_WSD, TR_SCHEDULE_CONSTANT };

struct tr_schedule {
    enum tr_schedule_kind kind;
    double lr;           /* the highest */
    double min_ratio;    /* 0..1 */
    int64_t warmup;      /* 0..steps */
    int64_t decay_steps; /* WSD */
    int64_t steps;
};

double tr_schedule_lr(const struct tr_schedule *schedule, int64_t step);

#endif
