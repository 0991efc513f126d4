/* How fast this processor reads memory: the denominator of "share of what memory allows". Generation reads every weight
 * once a token, so bytes a token over this rate is the least time that a token takes.
 *
 * tr_chip_measure_read_rate reads `bytes` bytes (64-byte aligned) from the beginning to the end with the widest loads of
 * `isa`, `threads` threads with a piece each. The wall clock counts: on a loaded machine it is what is left of memory. Rates
 * mean something when the memory is much larger than the caches. */
#ifndef TR_SILICON_CHIP_READ_RATE_H
#define TR_SILICON_CHIP_READ_RATE_H

#include "silicon/kernel/kernel.h"

/* Bytes a second. */
double tr_chip_measure_read_rate(enum tr_isa isa, const void *memory, int64_t bytes, int threads);

/* The loops: something that depends on all of the memory. */
uint64_t tr_read_all_ref(const void *memory, int64_t bytes);
uint64_t tr_read_all_avx2(const void *memory, int64_t bytes);
uint64_t tr_read_all_avx512(const void *memory, int64_t bytes);

#endif
