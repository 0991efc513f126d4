/* How fast this processor can multiply and add: the denominator of "share of peak" and of MFU.
 *
 * tr_chip_measure_peak_flop_s keeps `threads` threads busy with nothing but fused multiply-adds in registers, in bursts
 * of about 20 ms, and returns the rate of the best burst, in flop/s (2 per multiply-add, over all threads and lanes).
 * Time is that which a thread had a processor for, so that other programs do not count. It takes about 0.2 s. The
 * vectors are those of `isa`; for TR_ISA_REF, which has none, those of the best instruction set that runs here. Factors
 * are of type `type`: bf16 is twice as fast where there is an instruction for its pairs, else as fast as fp32. The best
 * of a few bursts is what the processor can do: neighbours and a low clock only ever make a burst slower. It is no
 * promise for hours: a hot processor may clock lower later on.
 *
 * tr_chip_measure_read_byte_s is how fast `threads` threads read `bytes` at `memory` together, each its share from end to
 * end as often as a burst lasts: the other limit of an operation. In bytes a second, the best of the bursts, by processor
 * time, in about 0.2 s. It is what main memory gives when `bytes` is several times the last cache, else what that
 * cache gives. 0 bytes: 0.
 *
 * tr_chip_look_peak_flop_s and tr_chip_look_read_byte_s are the same by three bursts, in some 0.1 s: to see between other work whether
 * the machine is what it was.
 *
 * tr_chip_measure_hand_s is what it takes two threads to hand a line of their caches to one another, one way, the best of a few bursts, in a millisecond or
 * two a pair of cores: some 50 ns where two cores have a cache together, several times as much where not. The mean of up to seven pairs, the first core that may
 * be used with others spread over all, so that on a machine with several last caches it is always of the same cores, wherever the system would have put two
 * threads. A host that moves a virtual machine's processors about changes it from one minute to the next, and with it all that threads read of what another
 * one wrote. 0: there is one core, or other programs left no pair of cores to the two threads for 50 ms.
 */
#ifndef TR_SILICON_CHIP_PEAK_H
#define TR_SILICON_CHIP_PEAK_H

#include "silicon/kernel/kernel.h"

/* What a calibration reads, bytes a thread, from the nearest cache to memory: rates of one level may be held against each other. */
enum { TR_READ_NEAR, TR_READ_MIDDLE, TR_READ_FAR, TR_READ_MEMORY, TR_READ_LEVELS };
extern const int64_t tr_read_bytes[TR_READ_LEVELS];

double tr_chip_measure_peak_flop_s(enum tr_isa isa, enum tr_dtype type, int threads);
double tr_chip_measure_read_byte_s(enum tr_isa isa, const void *memory, int64_t bytes, int threads);
double tr_chip_look_peak_flop_s(enum tr_isa isa, enum tr_dtype type, int threads);
double tr_chip_look_read_byte_s(enum tr_isa isa, const void *memory, int64_t bytes, int threads);
double tr_chip_measure_hand_s(void);

/* `count` rounds of independent fused multiply-adds; returns how many flop they were. x is any number about 1; *sink
 * takes the result, so that no compiler leaves the work out. */
double tr_chip_burn_avx2(long count, float x, float *sink);
double tr_chip_burn_avx512(long count, float x, float *sink);
double tr_chip_burn_avx512bf16(long count, float x, float *sink); /* of pairs of bf16 */

/* Reads `count` floats, whatever their bits; *sink takes something that depends on all of them. */
void tr_chip_sweep_avx2(const float *at, int64_t count, float *sink);
void tr_chip_sweep_avx512(const float *at, int64_t count, float *sink);

#endif
