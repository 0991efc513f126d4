/* What the chips that programs run on can do: rates that predictions and shares of peak are made of.
 *
 *     peak.h    the peak of fused multiply-adds of this processor, measured
 *
 * A rate is in its unit's name (_flop_s, _bytes_s) and is one of the whole processor as far as the caller uses it
 * (`threads`), not of one core.
 */
#ifndef TR_SILICON_CHIP_CHIP_H
#define TR_SILICON_CHIP_CHIP_H

#include "silicon/chip/peak.h"

#endif
