/* Random numbers without state: a pure function of (seed, purpose, step, global index).
 *
 * Every element of every random tensor, every dropout bit and every shuffle can be computed anywhere, in any order, by
 * any rank and any thread, and comes out the same. The generator is Philox4x32-10 (Salmon and others, "Parallel random
 * numbers: as easy as 1, 2, 3", SC11): a 64-bit key, a 128-bit counter, four 32-bit words out.
 *
 *     struct tr_rng_key key = tr_rng_key(seed, "init wte", 0);
 *     tr_rng_fill_normal(key, first_index, count, 0.02, weights);
 *
 * A key is made from (seed, purpose, step) by Philox itself; different purposes are different streams. One key serves
 * one kind of number: words, floats, doubles, normals and integers cut the same blocks differently. */
#ifndef TR_BASE_RNG_H
#define TR_BASE_RNG_H

#include <stdint.h>

/* Ten rounds of Philox4x32 on `counter` under (key0, key1). */
void tr_philox(uint32_t key0, uint32_t key1, const uint32_t counter[4], uint32_t out[4]);

struct tr_rng_key {
    uint32_t key[2];
    uint32_t stream[2]; /* upper half of the counter; the lower half is the block index */
};

/* `purpose` is a constant that names the use ("dropout", "init", "shuffle"); its spelling is part of the result. */
struct tr_rng_key tr_rng_key(uint64_t seed, const char *purpose, uint64_t step);

/* A key below a key: one for each layer, tensor, document. */
struct tr_rng_key tr_rng_subkey(struct tr_rng_key key, uint64_t index);

/* Words 4*block .. 4*block+3: the fast way for kernels that take four at a time. */
void tr_rng_block(struct tr_rng_key key, uint64_t block, uint32_t out[4]);

uint32_t tr_rng_u32(struct tr_rng_key key, uint64_t index);   /* word `index` */
uint64_t tr_rng_u64(struct tr_rng_key key, uint64_t index);   /* words 2*index (low), 2*index + 1 */
float tr_rng_float(struct tr_rng_key key, uint64_t index);    /* [0, 1): the upper 24 bits of word `index` */
double tr_rng_double(struct tr_rng_key key, uint64_t index);  /* [0, 1): the upper 53 bits of u64 `index` */

/* Mean 0, deviation 1 (Box-Muller in double with fmath.h, rounded once to float). Elements 2i and 2i+1 share a block.
 * |x| is at most 8.58. */
float tr_rng_normal(struct tr_rng_key key, uint64_t index);

/* out[i] = (float)(deviation * normal in double) of element first_index + i. */
void tr_rng_fill_normal(struct tr_rng_key key, uint64_t first_index, int64_t count, double deviation, float *out);

/* Uniform on [0, bound), bound >= 1, without bias: multiply-shift, rejected draws go on to a fresh counter. */
uint64_t tr_rng_below(struct tr_rng_key key, uint64_t index, uint64_t bound);

/* A shuffle that can be sought: for fixed (key, count) a bijection of [0, count) on itself, in constant memory. A
 * balanced Feistel network on the next even number of bits, walked until it falls inside (fewer than 4 rounds on
 * average). index < count, count >= 1. Not every one of the count! orders can come out; none is favoured visibly. */
uint64_t tr_permute(uint64_t index, uint64_t count, struct tr_rng_key key);

#endif
