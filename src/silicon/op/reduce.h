/* The words that the reduction contract is written in (docs/contract.md): where an axis is cut, how the parts are
 * joined, and in which order the elements of one part are summed. Every kernel, reference or fast, on any number of
 * threads or ranks, computes what these words say; that is why one run has one hash.
 *
 * CUT     tr_cut(n, quantum, parts, p): part p of an axis of n elements begins here. Fixed by the logical width
 *         `parts` of the run's config alone, never by how many threads or ranks there are.
 * TREE    parts are joined by one fixed binary tree over the logical parts: left + right, where the left subtree holds
 *         the largest power of two that is smaller than the count (tr_tree_split). 7 = 4 + (2 + 1). A contiguous range
 *         of parts that one rank owns is a few whole subtrees (tr_tree_roots), so that partial sums of a rank are
 *         nodes of the same tree.
 * CHAIN   acc = fma(a[k], b[k], acc) for k ascending, from acc = +0. Vector lanes run along another axis.
 * BLOCKS  a sum over tokens: within a leaf, tokens are cut in blocks of TR_TOKEN_BLOCK; each block is a chain from +0
 *         and is added to the accumulator, blocks ascending: acc = acc + chain(block). An accumulator kept between
 *         microbatches continues, so that gradient accumulation equals the big batch to the bit.
 * FOLD16  a sum along a row: 16 strided partial sums, p[r] = sum of x[j], j = r, r+16, r+32 ... ascending, from +0;
 *         then p[r] += p[r+8] for r < 8, p[r] += p[r+4], p[r] += p[r+2], p[0] + p[1]. A vector of 16 or 2 of 8 lanes.
 * EXACT   order-independent (exact.h). MAX is exact in any order by itself.
 */
#ifndef TR_SILICON_OP_REDUCE_H
#define TR_SILICON_OP_REDUCE_H

#include "base/err.h"
#include "silicon/op/dtype.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    TR_TOKEN_BLOCK = 256, /* tokens of one chain in a sum over tokens */
    TR_KEY_BLOCK = 64,    /* keys of one softmax block, counted from absolute position 0 */
    TR_FOLD = 16,
    TR_PARTS_MAX = 4096,                  /* largest logical width of any kind */
    TR_TREE_DEPTH_MAX = 13,               /* partial sums alive at once: log2(TR_PARTS_MAX) + 1 */
    TR_TREE_ROOTS_MAX = 2 * TR_TREE_DEPTH_MAX /* whole subtrees in a range of parts */
};

/* First element of part p, 0 <= p <= parts; parts differ by at most one quantum. n must be a multiple of quantum
 * unless the last part takes the rest (n % quantum). Parts may be empty when parts > n / quantum. */
static inline int64_t tr_cut(int64_t n, int64_t quantum, int64_t parts, int64_t p)
{
    TR_ASSERT(n >= 0 && quantum > 0 && parts > 0 && p >= 0 && p <= parts && parts <= TR_PARTS_MAX);
    if (p == parts)
        return n;
    return (n / quantum) * p / parts * quantum;
}

/* How many of `count` >= 2 leaves are in the left subtree. */
static inline int64_t tr_tree_split(int64_t count)
{
    TR_ASSERT(count >= 2);
    int64_t left = 1;
    while (2 * left < count)
        left *= 2;
    return left;
}

/* The binary counter: after leaf number `index` has been pushed, so many times are the two topmost partial sums
 * joined (below = below + top). After the last of `count` leaves all that remain are joined, top first: this gives the
 * tree above. */
static inline int tr_tree_joins_after(int64_t index, int64_t count)
{
    TR_ASSERT(index >= 0 && index < count);
    if (index == count - 1) {
        /* all that is on the stack: one for each set bit of index, and the leaf itself, become one */
        return __builtin_popcountll((unsigned long long)index);
    }
    return __builtin_ctzll(~(unsigned long long)index);
}

/* Partial sums alive at once while `count` leaves stream through the binary counter. */
static inline int tr_tree_depth(int64_t count)
{
    TR_ASSERT(count >= 1);
    int depth = 1;
    for (int64_t index = 0; index < count; index++) {
        int height = __builtin_popcountll((unsigned long long)index) + 1;
        depth = height > depth ? height : depth;
        if (depth == TR_TREE_DEPTH_MAX)
            break;
    }
    return depth;
}

struct tr_range {
    int64_t first, last; /* [first, last) */
};

/* The whole subtrees of the tree over `count` leaves that make up the leaves [first, last), left to right: the largest
 * possible ones. Returns how many; 1 for the whole range. */
int tr_tree_roots(int64_t count, int64_t first, int64_t last, struct tr_range root[TR_TREE_ROOTS_MAX]);

/* Joins `leaf_count` arrays of n floats, leaf i at leaves + i * stride, along the tree, in place: the sum ends in leaf
 * 0, the others are overwritten. */
void tr_tree_join(float *leaves, int64_t stride, int64_t leaf_count, int64_t n);

/* Joins the roots of several adjacent owners as one sum, in place into node 0. `node[i]` is the range of leaves that
 * array i sums up; together they must cover [0, count). */
void tr_tree_join_roots(float *arrays, int64_t stride, int64_t n, const struct tr_range *node, int node_count,
                        int64_t count);

/* FOLD16 of the 16 strided partial sums. */
static inline float tr_fold16(float partial[TR_FOLD])
{
    for (int width = TR_FOLD / 2; width >= 1; width /= 2)
        for (int r = 0; r < width; r++)
            partial[r] += partial[r + width];
    return partial[0];
}

/* One step of a bf16 chain over a pair of k: what vdpbf16ps does. The odd element is accumulated first, then the even
 * one, each a fused multiply-add rounded to nearest even; subnormal inputs, accumulator and results count as zero of
 * their sign. An odd k is padded with zeros. */
static inline float tr_flush(float x)
{
    uint32_t bits = tr_f32_bits(x);
    return (bits & 0x7f800000u) == 0 ? tr_f32_from_bits(bits & 0x80000000u) : x;
}

/* a * b + acc of factors that came from bf16. The product is exact in double, and rounding the sum first to 53 bits and
 * then to 24 is rounding it once (53 >= 2 * 24 + 2). The processor decides whether a result is subnormal after rounding
 * to 24 bits, with an exponent that has no lower end: all below 2^-126 - 2^-151 is flushed, also what rounding to the
 * spacing of subnormals would lift to 2^-126. */
static inline float tr_fma_flush(float a, float b, float acc)
{
    double sum = (double)tr_flush(a) * (double)tr_flush(b) + (double)tr_flush(acc);
    return fabs(sum) < 0x1.ffffffp-127 ? copysignf(0.0f, (float)sum) : (float)sum;
}

static inline float tr_dp_bf16(float acc, tr_bf16 a_even, tr_bf16 a_odd, tr_bf16 b_even, tr_bf16 b_odd)
{
    acc = tr_fma_flush(tr_f32_from_bf16(a_odd), tr_f32_from_bf16(b_odd), acc);
    return tr_fma_flush(tr_f32_from_bf16(a_even), tr_f32_from_bf16(b_even), acc);
}

#endif
