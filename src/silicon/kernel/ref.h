/* What the reference kernels are built from: the words of the reduction contract as plain loops over single elements.
 * Only the files x_ref.c include it. */
#ifndef TR_SILICON_KERNEL_REF_H
#define TR_SILICON_KERNEL_REF_H

#include "silicon/kernel/kernel.h"

/* Elements first, first + stride, first + 2 stride ... of a tensor. */
struct tr_line {
    const void *tensor;
    enum tr_dtype type;
    int64_t first, stride;
};

static inline struct tr_line tr_line_of(const void *tensor, enum tr_dtype type, int64_t first, int64_t stride)
{
    return (struct tr_line){tensor, type, first, stride};
}

static inline float tr_line_at(struct tr_line line, int64_t i)
{
    return tr_load(line.tensor, line.type, line.first + i * line.stride);
}

static inline tr_bf16 tr_line_bf16(struct tr_line line, int64_t i, int64_t n)
{
    return i < n ? tr_bf16_from_f32(tr_line_at(line, i)) : 0;
}

/* CHAIN over n elements, going on from acc. `pairs`: the bf16 chain of pairs, whose factors are rounded to bf16. */
static inline float tr_chain(float acc, struct tr_line a, struct tr_line b, int64_t n, bool pairs)
{
    if (!pairs) {
        for (int64_t k = 0; k < n; k++)
            acc = fmaf(tr_line_at(a, k), tr_line_at(b, k), acc);
        return acc;
    }
    for (int64_t k = 0; k < n; k += 2)
        acc = tr_dp_bf16(acc, tr_line_bf16(a, k, n), tr_line_bf16(a, k + 1, n), tr_line_bf16(b, k, n),
                         tr_line_bf16(b, k + 1, n));
    return acc;
}

/* A product chain is one of pairs when both factors are bf16. */
static inline bool tr_pairs(enum tr_dtype a, enum tr_dtype b) { return a == TR_BF16 && b == TR_BF16; }

/* The sum of the parts [begin, end) of the tree, part(context, p) each. */
typedef float tr_part_fn(void *context, int64_t part);

static inline float tr_tree_of(tr_part_fn *part, void *context, int64_t begin, int64_t end)
{
    if (end - begin == 1)
        return part(context, begin);
    int64_t middle = begin + tr_tree_split(end - begin);
    float left = tr_tree_of(part, context, begin, middle);
    return left + tr_tree_of(part, context, middle, end);
}

/* The same where a part may have nothing to sum (false): it is skipped, the other side stands as it is. */
typedef bool tr_maybe_part_fn(void *context, int64_t part, float *sum);

static inline bool tr_tree_of_present(tr_maybe_part_fn *part, void *context, int64_t begin, int64_t end, float *sum)
{
    if (end - begin == 1)
        return part(context, begin, sum);
    int64_t middle = begin + tr_tree_split(end - begin);
    float left = 0.0f, right = 0.0f;
    bool has_left = tr_tree_of_present(part, context, begin, middle, &left);
    bool has_right = tr_tree_of_present(part, context, middle, end, &right);
    *sum = has_left && has_right ? left + right : has_left ? left : right;
    return has_left || has_right;
}

#endif
