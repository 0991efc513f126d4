/* Logical widths executed in any grouping give one hash.
 *
 * For every operation that the contract cuts, at widths 1, 2, 3, 4, 7, 8, 9: one owner does it whole; then several
 * owners do it, each with its share of the operands and a contiguous range of the parts (equal or not), their partial
 * sums are joined as the contract says, and the bits are compared. Accumulators are also fed by microbatches of every
 * size. The whole results of all widths make one hash for each operation and number type: the same from every kernel
 * set, and as contract_hashes.txt has it. (Attention and the vocabulary of the head: test_contract_joins.c.)
 */
#include "lib/opcase.h"
#include "lib/widths.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const int widths[] = {1, 2, 3, 4, 7, 8, 9};

enum { WIDTH_COUNT = sizeof widths / sizeof widths[0], NODES_MAX = 32 };

/* One run of the whole test: with one kernel set and number type. */
struct trial {
    const struct tr_kernel_set *set;
    enum tr_dtype type;
    struct tr_hash hash;
    struct tr_arrays arrays;
};

static struct tr_op blank(const struct trial *trial, enum tr_op_kind kind, int64_t seqs, int64_t seq_len)
{
    return (struct tr_op){.kind = kind,
                          .act = trial->type,
                          .weight = trial->type,
                          .seqs = seqs,
                          .seq_len = seq_len,
                          .heads = 1,
                          .segments = 1,
                          .eps = 1e-5f,
                          .context = tr_all_parts(1),
                          .part = tr_all_parts(1),
                          .quantum = {2, 2, 2}};
}

/* ---- products that are cut along what they sum ------------------------------------------------------------------- */

/* The share [first, last) of an axis of n elements. */
static struct tr_range share_of(struct tr_parts owner, int64_t n, int64_t quantum)
{
    return (struct tr_range){tr_cut(n, quantum, owner.parts, owner.first), tr_cut(n, quantum, owner.parts, owner.last)};
}

/* One owner of a product; its slabs go to `slabs`. */
static void run_product_owner(struct trial *trial, const struct tr_op *op, void *const whole[], struct tr_parts owner,
                              float *slabs)
{
    struct tr_op mine = *op;
    void *operand[TR_OP_OPERANDS_MAX] = {0};
    int64_t tokens = op->seqs * op->seq_len;
    mine.part = owner;
    if (op->kind == TR_OP_LINEAR) {
        struct tr_range in = share_of(owner, op->in, op->quantum[0]);
        mine.in = in.last - in.first;
        mine.whole[0] = op->in;
        operand[TR_LINEAR_X] = tr_take_columns(&trial->arrays, whole[TR_LINEAR_X], op->act, tokens, op->in, in);
        operand[TR_LINEAR_W] = tr_take_columns(&trial->arrays, whole[TR_LINEAR_W], op->weight, op->out[0], op->in, in);
        operand[TR_LINEAR_Y] = slabs;
    } else {
        for (int i = 0; i < op->segments; i++) {
            struct tr_range out = share_of(owner, op->out[i], op->quantum[i]);
            struct tr_range rows = {out.first * op->in, out.last * op->in};
            mine.out[i] = out.last - out.first;
            mine.whole[i] = op->out[i];
            operand[TR_LINEAR_DX_DY + i] =
                tr_take_columns(&trial->arrays, whole[TR_LINEAR_DX_DY + i], op->act, tokens, op->out[i], out);
            operand[TR_LINEAR_DX_W + i] =
                tr_take_columns(&trial->arrays, whole[TR_LINEAR_DX_W + i], op->weight, 1, op->out[i] * op->in, rows);
        }
        operand[TR_LINEAR_DX_DX] = slabs;
    }
    tr_run_operands(trial->set, &mine, operand);
}

/* What follows the tree: bias, residual, one rounding to the type of the activations. */
static void finish_product(const struct tr_op *op, void *const whole[], const float *sum, int64_t n, void *out)
{
    for (int64_t i = 0; i < n; i++) {
        float y = sum[i];
        if (op->kind == TR_OP_LINEAR) {
            y = y + tr_load(whole[TR_LINEAR_B], op->weight, i % op->out[0]);
            y = tr_load(whole[TR_LINEAR_RESIDUAL], op->act, i) + y;
        }
        tr_store(out, op->act, i, y);
    }
}

static void check_product_grouping(struct trial *trial, const struct tr_op *op, void *const whole[], uint32_t grouping)
{
    int result = op->kind == TR_OP_LINEAR ? TR_LINEAR_Y : TR_LINEAR_DX_DX, width = op->part.parts;
    int64_t n = tr_op_operand_bytes(op, result) / tr_dtype_bytes(op->act);
    struct tr_range node[NODES_MAX];
    int mark = trial->arrays.count, nodes = tr_grouping_nodes(width, grouping, node);
    float *slabs = tr_array_zeros(&trial->arrays, nodes * n * 4);
    void *joined = tr_array_zeros(&trial->arrays, n * 4);
    for (int pass = 0; pass < 2; pass++) { /* every second owner first: they may arrive in any order */
        int before = 0, index = 0;
        for (struct tr_parts owner = {width, 0, 0}; tr_next_owner(grouping, &owner); index++) {
            struct tr_range mine[TR_TREE_ROOTS_MAX];
            if (index % 2 != pass)
                run_product_owner(trial, op, whole, owner, slabs + before * n);
            before += tr_tree_roots(width, owner.first, owner.last, mine);
        }
    }
    tr_tree_join_roots(slabs, n, n, node, nodes, width);
    finish_product(op, whole, slabs, n, joined);
    if (memcmp(joined, whole[result], (size_t)tr_op_operand_bytes(op, result)) != 0)
        fail_msg("%s %s: width %d, grouping %x: the joined sums are not the whole", tr_op_operands(op->kind)->name,
                 tr_dtype_name(op->act), width, grouping);
    tr_arrays_free(&trial->arrays, mark);
}

static void product_widths(struct trial *trial, enum tr_op_kind kind)
{
    for (int i = 0; i < 2 * WIDTH_COUNT; i++) {
        int width = widths[i / 2];
        bool equal = i % 2 == 0; /* parts of one size */
        struct tr_op op = blank(trial, kind, 1, 3);
        op.segments = kind == TR_OP_LINEAR ? 1 : 2;
        op.flags = kind == TR_OP_LINEAR ? TR_OP_ROW_PARALLEL : 0;
        op.part = tr_all_parts(width);
        op.in = kind == TR_OP_LINEAR ? 4 * width + (equal ? 0 : 7) : 5;
        op.out[0] = kind == TR_OP_LINEAR ? 5 : 4 * width + (equal ? 0 : 6);
        op.out[1] = 2 * width + (equal ? 0 : 4);
        void *whole[TR_OP_OPERANDS_MAX];
        tr_make_operands(&trial->arrays, &op, kind == TR_OP_LINEAR ? 3u << (TR_LINEAR_B + 1) : 0, whole);
        int result = kind == TR_OP_LINEAR ? TR_LINEAR_Y : TR_LINEAR_DX_DX;
        tr_run_operands(trial->set, &op, whole);
        tr_hash_add(&trial->hash, whole[result], tr_op_operand_bytes(&op, result));
        uint32_t grouping = width > 1 ? 1 : tr_each_its_own(width); /* 0 would be the whole */
        do {
            if (width > 1)
                check_product_grouping(trial, &op, whole, grouping);
        } while (tr_next_grouping(width, &grouping));
        tr_arrays_free(&trial->arrays, 0);
    }
}

static void linear_widths(struct trial *trial) { product_widths(trial, TR_OP_LINEAR); }
static void linear_dx_widths(struct trial *trial) { product_widths(trial, TR_OP_LINEAR_DX); }

/* ---- accumulators with leaves ------------------------------------------------------------------------------------ */

/* What one owner has: some sequences, a range of the tokens of each, and of the heads of each token. */
struct share {
    int64_t first_seq, seqs;
    struct tr_range tokens, heads;
    struct tr_parts context, part;
};

static bool is_accumulator(const struct tr_op *op, int i)
{
    return tr_op_operands(op->kind)->operand[i].direction == TR_ACC;
}

/* Whether operand i has a row (or `heads` rows) for each token. */
static bool has_tokens(const struct tr_op *op, int i)
{
    bool parameter =
        (op->kind == TR_OP_NORM_BWD && i == TR_NORM_BWD_GAIN) || (op->kind == TR_OP_HEAD && i == TR_HEAD_W);
    return !parameter && !is_accumulator(op, i);
}

/* Elements of operand i of `op` for one head of one token. */
static int64_t row_elements(const struct tr_op *op, int i)
{
    return tr_op_operand_bytes(op, i) / tr_dtype_bytes(tr_op_operand_dtype(op, i)) /
           (op->seqs * op->seq_len * op->heads);
}

/* Copies the rows of the share out of the whole operand, or compares them with it. Returns whether they are equal. */
static bool share_rows(const struct tr_op *op, int i, const struct share *share, void *whole, void *part, bool compare)
{
    int64_t bytes = row_elements(op, i) * tr_dtype_bytes(tr_op_operand_dtype(op, i));
    int64_t row_bytes = (share->heads.last - share->heads.first) * bytes;
    char *at = part;
    for (int64_t s = share->first_seq; s < share->first_seq + share->seqs; s++) {
        for (int64_t t = share->tokens.first; t < share->tokens.last; t++, at += row_bytes) {
            char *from = (char *)whole + ((s * op->seq_len + t) * op->heads + share->heads.first) * bytes;
            if (!compare)
                memcpy(at, from, (size_t)row_bytes);
            else if (memcmp(at, from, (size_t)row_bytes) != 0)
                return false;
        }
    }
    return true;
}

static struct tr_op share_op(const struct tr_op *op, const struct share *share)
{
    struct tr_op mine = *op;
    mine.seqs = share->seqs;
    mine.seq_len = share->tokens.last - share->tokens.first;
    mine.heads = (int32_t)(share->heads.last - share->heads.first);
    mine.context = share->context;
    mine.part = share->part;
    mine.whole[0] = op->heads;
    mine.whole_seq_len = op->seq_len;
    return mine;
}

/* Runs the operation on a share, into accumulators that are the caller's (their places in operand). Results for each
 * token are compared with the whole. */
static void run_share(struct trial *trial, const struct tr_op *op, void *const whole[], const struct share *share,
                      void *const accumulator[])
{
    struct tr_op mine = share_op(op, share);
    void *operand[TR_OP_OPERANDS_MAX] = {0};
    const struct tr_op_info *info = tr_op_operands(op->kind);
    int mark = trial->arrays.count;
    for (int i = 0; i < info->operand_count; i++) {
        if (whole[i] == NULL)
            continue;
        operand[i] = is_accumulator(op, i) ? accumulator[i] : whole[i];
        if (!has_tokens(op, i))
            continue;
        operand[i] = tr_array_zeros(&trial->arrays, tr_op_operand_bytes(&mine, i));
        if (info->operand[i].direction == TR_IN)
            share_rows(op, i, share, whole[i], operand[i], false);
    }
    tr_run_operands(trial->set, &mine, operand);
    for (int i = 0; i < info->operand_count; i++)
        if (whole[i] != NULL && has_tokens(op, i) && !share_rows(op, i, share, whole[i], operand[i], true))
            fail_msg("%s %s: %s of a share is not that of the whole", info->name, tr_dtype_name(op->act),
                     info->operand[i].name);
    tr_arrays_free(&trial->arrays, mark);
}

static void make_accumulators(struct trial *trial, const struct tr_op *mine, void *const whole[], void *accumulator[])
{
    for (int i = 0; i < tr_op_operands(mine->kind)->operand_count; i++)
        accumulator[i] = whole[i] != NULL && is_accumulator(mine, i)
                             ? tr_array_zeros(&trial->arrays, tr_op_operand_bytes(mine, i))
                             : NULL;
}

/* Whether operand i is dwpe with one row for each position of the sequence: no leaves. */
static bool has_rows(const struct tr_op *op, int i)
{
    return op->kind == TR_OP_EMBED_BWD && i == TR_EMBED_BWD_DWPE && !(op->flags & TR_OP_APART);
}

/* Compares the leaves of a share with those of the whole. */
static void check_leaves(const struct tr_op *op, const struct share *share, void *const whole[],
                         void *const accumulator[])
{
    struct tr_op mine = share_op(op, share);
    for (int i = 0; i < tr_op_operands(op->kind)->operand_count; i++) {
        if (accumulator[i] == NULL)
            continue;
        bool rows = has_rows(op, i);
        int64_t leaves = tr_op_leaves(&mine, i), all = tr_op_leaves(op, i);
        int64_t leaf_bytes = tr_op_operand_bytes(op, i) / all, inner = all / tr_parts_owned(op->context);
        int64_t my_inner = rows ? 1 : leaves / tr_parts_owned(mine.context);
        for (int64_t leaf = 0; leaf < leaves; leaf++) {
            int64_t c = mine.context.first + leaf / my_inner, p = (inner > 1 ? mine.part.first : 0) + leaf % my_inner;
            const char *want = (const char *)whole[i] + (c * inner + p) * leaf_bytes;
            const char *got = (const char *)accumulator[i] + leaf * leaf_bytes;
            int64_t bytes = leaf_bytes;
            if (rows) {
                want = (const char *)whole[i] + share->tokens.first * op->width * 4;
                got = (const char *)accumulator[i] + share->tokens.first * op->width * 4;
                bytes = (share->tokens.last - share->tokens.first) * op->width * 4;
            }
            if (memcmp(got, want, (size_t)bytes) != 0)
                fail_msg("%s %s: context %d-%d of %d, part %d-%d of %d: leaf %lld of %s is not that of the whole",
                         tr_op_operands(op->kind)->name, tr_dtype_name(op->act), mine.context.first, mine.context.last,
                         mine.context.parts, mine.part.first, mine.part.last, mine.part.parts, (long long)leaf,
                         tr_op_operands(op->kind)->operand[i].name);
        }
    }
}

/* An owner in one go. */
static void check_owner(struct trial *trial, const struct tr_op *op, void *const whole[], const struct share *share)
{
    void *accumulator[TR_OP_OPERANDS_MAX] = {0};
    struct tr_op mine = share_op(op, share);
    int mark = trial->arrays.count;
    make_accumulators(trial, &mine, whole, accumulator);
    run_share(trial, op, whole, share, accumulator);
    check_leaves(op, share, whole, accumulator);
    tr_arrays_free(&trial->arrays, mark);
}

static struct share whole_share(const struct tr_op *op)
{
    return (struct share){.seqs = op->seqs,
                          .tokens = {0, op->seq_len},
                          .heads = {0, op->heads},
                          .context = op->context,
                          .part = op->part};
}

/* The sequences in microbatches, one after another into the same accumulators. */
static void check_microbatches(struct trial *trial, const struct tr_op *op, void *const whole[], uint32_t grouping)
{
    void *accumulator[TR_OP_OPERANDS_MAX] = {0};
    struct share share = whole_share(op);
    int mark = trial->arrays.count;
    make_accumulators(trial, op, whole, accumulator);
    for (struct tr_parts micro = {(int32_t)op->seqs, 0, 0}; tr_next_owner(grouping, &micro);) {
        share.first_seq = micro.first;
        share.seqs = micro.last - micro.first;
        run_share(trial, op, whole, &share, accumulator);
    }
    share.seqs = op->seqs;
    check_leaves(op, &share, whole, accumulator);
    tr_arrays_free(&trial->arrays, mark);
}

/* Owners of ranges of context parts, and, within one context part, of ranges of sequence or tensor parts. */
static void check_owners(struct trial *trial, const struct tr_op *op, void *const whole[], bool by_context)
{
    int width = by_context ? op->context.parts : op->part.parts;
    uint32_t grouping = 0;
    do {
        for (struct tr_parts owner = {width, 0, 0}; tr_next_owner(grouping, &owner);) {
            struct share share = whole_share(op);
            if (by_context) {
                share.context = owner;
                share.tokens = share_of(owner, op->seq_len, TR_CONTEXT_QUANTUM);
                check_owner(trial, op, whole, &share);
                continue;
            }
            share.part = owner;
            if (op->heads > 1)
                share.heads = share_of(owner, op->heads, 1);
            for (int c = 0; c < op->context.parts; c++) {
                share.context = (struct tr_parts){op->context.parts, c, c + 1};
                struct tr_range tokens = share_of(share.context, op->seq_len, TR_CONTEXT_QUANTUM);
                struct tr_range piece = {0, tokens.last - tokens.first};
                if (op->kind == TR_OP_NORM_BWD && op->heads == 1)
                    piece = share_of(owner, tokens.last - tokens.first, 1);
                share.tokens = (struct tr_range){tokens.first + piece.first, tokens.first + piece.last};
                check_owner(trial, op, whole, &share);
            }
        }
    } while (tr_next_grouping(width, &grouping));
}

static struct tr_op accumulating_op(const struct trial *trial, enum tr_op_kind kind, int variant, int64_t seq_len)
{
    struct tr_op op = blank(trial, kind, 2, seq_len);
    op.width = 3;
    op.in = 3;
    op.out[0] = 2;
    op.vocab = 7;
    op.positions = seq_len;
    if (kind == TR_OP_LINEAR_DW && variant == 1)
        op.flags = TR_OP_ROW_PARALLEL;
    if (kind == TR_OP_HEAD)
        op.flags = TR_OP_GRAD;
    if (kind == TR_OP_EMBED_BWD && variant == 1)
        op.flags = TR_OP_APART;
    return op;
}

/* Runs the whole, hashes its leaves and their fold, and lets owners do it. */
static void check_accumulating(struct trial *trial, const struct tr_op *op, bool by_context)
{
    void *whole[TR_OP_OPERANDS_MAX];
    tr_make_operands(&trial->arrays, op, 0, whole);
    tr_run_operands(trial->set, op, whole);
    check_owners(trial, op, whole, by_context);
    for (uint32_t grouping = 0; grouping <= tr_each_its_own((int)op->seqs); grouping++)
        check_microbatches(trial, op, whole, grouping);
    for (int i = 0; i < tr_op_operands(op->kind)->operand_count; i++) {
        if (whole[i] == NULL || !is_accumulator(op, i))
            continue;
        tr_hash_add(&trial->hash, whole[i], tr_op_operand_bytes(op, i));
        if (has_rows(op, i))
            continue;
        struct tr_op fold = blank(trial, TR_OP_FOLD, 1, 1);
        fold.context = op->context;
        fold.part = tr_all_parts((int)(tr_op_leaves(op, i) / op->context.parts));
        fold.count = tr_op_operand_bytes(op, i) / 4 / tr_op_leaves(op, i);
        tr_run_operands(trial->set, &fold, (void *[TR_OP_OPERANDS_MAX]){whole[i]});
        tr_hash_add(&trial->hash, whole[i], fold.count * 4);
    }
    tr_arrays_free(&trial->arrays, 0);
}

static void context_widths(struct trial *trial, enum tr_op_kind kind, int variant)
{
    for (int i = 0; i < 2 * WIDTH_COUNT; i++) {
        int width = widths[i / 2];
        bool equal = i % 2 == 0;
        struct tr_op op = accumulating_op(trial, kind, variant, 64 * width + (equal ? 0 : 64 * (width / 2) + 5));
        op.context = tr_all_parts(width);
        check_accumulating(trial, &op, true);
    }
}

/* `part` cuts: sequence parts of db and of norms, tensor parts of heads; those that differ within two context parts. */
static void part_widths(struct trial *trial, enum tr_op_kind kind, int variant, bool heads)
{
    for (int i = 0; i < 2 * WIDTH_COUNT; i++) {
        int width = widths[i / 2];
        bool equal = i % 2 == 0;
        struct tr_op op = accumulating_op(trial, kind, variant, equal ? 8 * width : 128 + 5);
        op.context = tr_all_parts(equal ? 1 : 2);
        op.part = tr_all_parts(width);
        op.heads = heads ? 2 * width + (equal || width == 1 ? 0 : 1) : 1;
        check_accumulating(trial, &op, false);
    }
}

static void linear_dw_widths(struct trial *trial)
{
    context_widths(trial, TR_OP_LINEAR_DW, 0);
    part_widths(trial, TR_OP_LINEAR_DW, 1, false);
}

static void norm_bwd_widths(struct trial *trial)
{
    context_widths(trial, TR_OP_NORM_BWD, 0);
    part_widths(trial, TR_OP_NORM_BWD, 0, false);
    part_widths(trial, TR_OP_NORM_BWD, 0, true);
}

static void embed_bwd_widths(struct trial *trial) { context_widths(trial, TR_OP_EMBED_BWD, 0); }
static void embed_bwd_apart_widths(struct trial *trial) { context_widths(trial, TR_OP_EMBED_BWD, 1); }
static void head_widths(struct trial *trial) { context_widths(trial, TR_OP_HEAD, 0); }

/* ---- lanes ------------------------------------------------------------------------------------------------------ */

/* The sum of the lanes [first, last) of `count`, as reduce.h words it: left subtree of the largest power of two. */
static void tree_of_lanes(const float *lanes, int64_t n, int first, int last, float *sum)
{
    if (last - first == 1) {
        memcpy(sum, lanes + first * n, (size_t)n * sizeof *sum);
        return;
    }
    float right[8];
    int left = 1;
    while (left * 2 < last - first)
        left *= 2;
    tree_of_lanes(lanes, n, first, first + left, sum);
    tree_of_lanes(lanes, n, first + left, last, right);
    for (int64_t i = 0; i < n; i++)
        sum[i] = sum[i] + right[i];
}

/* Lanes arrive one after another; the binary counter keeps a few partial sums and JOINs them. */
static void lane_widths(struct trial *trial)
{
    enum { N = 8, LANES_MAX = 17 };
    for (int lanes = 1; lanes <= LANES_MAX; lanes++) {
        float *gradient = tr_array_random(&trial->arrays, lanes * N, TR_F32), tree[N];
        float *stack = tr_array_zeros(&trial->arrays, 16 * (TR_TREE_DEPTH_MAX + 1) * (int64_t)sizeof *stack);
        struct tr_op join = blank(trial, TR_OP_JOIN, 1, 1);
        join.count = N;
        int depth = 0;
        for (int lane = 0; lane < lanes; lane++) {
            memcpy(stack + 16 * depth++, gradient + lane * N, N * sizeof *stack);
            assert_in_range(depth, 1, tr_tree_depth(lanes));
            for (int joins = tr_tree_joins_after(lane, lanes); joins > 0; joins--, depth--)
                tr_run_operands(trial->set, &join,
                                (void *[TR_OP_OPERANDS_MAX]){stack + 16 * (depth - 2), stack + 16 * (depth - 1)});
        }
        assert_int_equal(depth, 1);
        tree_of_lanes(gradient, N, 0, lanes, tree);
        assert_memory_equal(stack, tree, sizeof tree);
        tr_hash_add(&trial->hash, stack, sizeof tree);
        tr_arrays_free(&trial->arrays, 0);
    }
}

/* ---- the width matters ------------------------------------------------------------------------------------------- */

/* If every width gave the same bits the tests above would prove nothing. */
static void another_width_gives_other_bits(void **state)
{
    (void)state;
    struct trial trial = {.set = tr_kernel_set(TR_ISA_REF), .type = TR_F32};
    float y[2][15];
    for (int i = 0; i < 2; i++) {
        struct tr_op op = blank(&trial, TR_OP_LINEAR, 1, 3);
        void *operand[TR_OP_OPERANDS_MAX];
        op.flags = TR_OP_ROW_PARALLEL;
        op.in = 90;
        op.out[0] = 5;
        op.part = tr_all_parts(i == 0 ? 1 : 7);
        tr_make_operands(&trial.arrays, &op, 7u << TR_LINEAR_B, operand);
        tr_run_operands(trial.set, &op, operand);
        memcpy(y[i], operand[TR_LINEAR_Y], sizeof y[i]);
        tr_arrays_free(&trial.arrays, 0);
    }
    assert_memory_not_equal(y[0], y[1], sizeof y[0]);
}

/* ---- the tests -------------------------------------------------------------------------------------------------- */

struct subject {
    const char *name;
    void (*run)(struct trial *trial);
};

static const struct subject subjects[] = {
    {"linear", linear_widths},     {"linear_dx", linear_dx_widths}, {"linear_dw", linear_dw_widths},
    {"norm_bwd", norm_bwd_widths}, {"embed_bwd", embed_bwd_widths}, {"head", head_widths},
    {"lanes", lane_widths},        {"embed_bwd_apart", embed_bwd_apart_widths},
};

enum { SUBJECT_COUNT = sizeof subjects / sizeof subjects[0] };

static void every_grouping_gives_one_hash(void **state)
{
    const struct subject *subject = *state;
    const struct tr_kernel_set *set;
    for (int type = TR_F32; type <= TR_BF16; type++) {
        char first[TR_SHA256_HEX_BYTES] = "";
        for (int i = 0; tr_next_set(i, &set); i++) {
            struct trial trial = {.set = set, .type = (enum tr_dtype)type};
            char hex[TR_SHA256_HEX_BYTES];
            tr_hash_start(&trial.hash);
            subject->run(&trial);
            tr_hash_end(&trial.hash, hex);
            tr_arrays_free(&trial.arrays, 0);
            if (i == 0)
                memcpy(first, hex, sizeof hex);
            assert_string_equal(hex, first);
        }
        tr_hash_check(subject->name, tr_dtype_name((enum tr_dtype)type), first);
    }
}

int main(void)
{
    static char names[SUBJECT_COUNT][96];
    struct CMUnitTest tests[SUBJECT_COUNT + 1];
    for (int i = 0; i < SUBJECT_COUNT; i++) {
        snprintf(names[i], sizeof names[i], "%s: logical widths in any grouping give one hash", subjects[i].name);
        tests[i] = (struct CMUnitTest){names[i], every_grouping_gives_one_hash, NULL, NULL, (void *)&subjects[i]};
    }
    tests[SUBJECT_COUNT] = (struct CMUnitTest)cmocka_unit_test(another_width_gives_other_bits);
    return _cmocka_run_group_tests("contract_widths", tests, SUBJECT_COUNT + 1, NULL, NULL);
}
