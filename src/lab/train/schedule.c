#include "lab/train/schedule.h"

#include "base/err.h"
#include "base/fmath.h"

static double cosine(const struct tr_schedule *s, int64_t step)
{
    static const double pi = 0x1.921fb54442d18p+1;
    double done = (double)(step - s->warmup) / (double)(s->steps - s->warmup);
    return s->min_ratio + (1.0 - s->min_ratio) * 0.5 * (1.0 + tr_cos(pi * done));
}

static double decay(const struct tr_schedule *s, int64_t step)
{
    int64_t begin = s->steps - s->decay_steps;
    if (step < begin)
        return 1.0;
    return 1.0 - (1.0 - s->min_ratio) * ((double)(step - begin) / (double)s->decay_steps);
}

double tr_schedule_lr(const struct tr_schedule *s, int64_t step)
{
    TR_ASSERT(step >= 0 && s->warmup >= 0 && s->decay_steps >= 0 && s->decay_steps <= s->steps);
    if (step < s->warmup)
        return s->lr * ((double)(step + 1) / (double)s->warmup);
    if (s->kind == TR_SCHEDULE_CONSTANT)
        return s->lr;
    if (step >= s->steps)
        return s->lr * s->min_ratio;
    return s->lr * (s->kind == TR_SCHEDULE_COSINE ? cosine(s, step) : decay(s, step));
}
