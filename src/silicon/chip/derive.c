#include "silicon/chip/derive.h"

#include <math.h>

const char *tr_level_name(enum tr_level level)
{
    static const char *const names[TR_LEVEL_COUNT] = {"memory", "links", "host"};
    TR_ASSERT(level >= 0 && level < TR_LEVEL_COUNT);
    return names[level];
}

double tr_chip_ridge(const struct tr_chip *chip, enum tr_rate rate, enum tr_level level)
{
    const struct tr_fact *bytes_s[TR_LEVEL_COUNT] = {&chip->memory_bytes_s, &chip->scaleup_bytes_s, &chip->host_bytes_s};
    TR_ASSERT(rate >= 0 && rate < TR_RATE_COUNT && level >= 0 && level < TR_LEVEL_COUNT);
    if (!tr_known(&chip->rate_flop_s[rate]) || !tr_known(bytes_s[level]))
        return NAN;
    return chip->rate_flop_s[rate].value / bytes_s[level]->value;
}
