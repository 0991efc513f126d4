/* One operation done by several owners, each with its share of the logical parts and of the operands, and joined along
 * the tree, gives the bits of one owner who has all: the reason why the contract cuts sums where it does. */
#include "base/rng.h"
#include "silicon/kernel/kernel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ARRAYS_MAX = 64 };

/* All arrays of one test; freed together. */
struct pool {
    void *at[ARRAYS_MAX];
    int count;
};

static void *make(struct pool *pool, int64_t elements, enum tr_dtype type)
{
    size_t bytes = (size_t)((elements * tr_dtype_bytes(type) + 63) / 64 * 64);
    void *data = aligned_alloc(64, bytes);
    assert_non_null(data);
    assert_true(pool->count < ARRAYS_MAX);
    memset(data, 0, bytes);
    pool->at[pool->count++] = data;
    return data;
}

static void *make_random(struct pool *pool, int64_t elements, enum tr_dtype type)
{
    void *data = make(pool, elements, type);
    struct tr_rng_key key = tr_rng_key(7, "owners", (uint64_t)pool->count);
    for (int64_t i = 0; i < elements; i++)
        tr_store(data, type, i, tr_rng_float(key, (uint64_t)i) * 2.0f - 1.0f);
    return data;
}

static void free_all(struct pool *pool)
{
    while (pool->count > 0)
        free(pool->at[--pool->count]);
}

/* Columns [first, last) of rows of `width`, packed; rows are the case width = 1 element. */
static void *columns(struct pool *pool, const void *from, enum tr_dtype type, int64_t rows, int64_t width,
                     struct tr_range range)
{
    int64_t n = range.last - range.first;
    void *share = make(pool, rows * n, type);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < n; c++)
            tr_store(share, type, r * n + c, tr_load(from, type, r * width + range.first + c));
    return share;
}

static void run(const struct tr_op *op, void *const operand[TR_OP_OPERANDS_MAX])
{
    struct tr_step_values values = {.loss_scale = 0.25f};
    struct tr_count count = {0};
    struct tr_call call = {.op = op, .values = &values, .count = &count, .threads = 2};
    memcpy(call.operand, operand, sizeof call.operand);
    struct pool pool = {.count = 0};
    const struct tr_kernel_set *set = tr_kernel_set(TR_ISA_REF);
    int64_t bytes = tr_kernel_workspace_bytes(set, op, call.threads);
    call.workspace = bytes > 0 ? make(&pool, bytes / 4 + 1, TR_F32) : NULL;
    tr_kernel_run(set, &call);
    free_all(&pool);
}

static const enum tr_dtype types[] = {TR_F32, TR_BF16};

/* Owners of 3, 1, 2 and 1 of 7 parts, which all are equal: their partial sums are 2 + 1 + 1 + 1 nodes. */
enum { PARTS = 7, OWNERS = 4 };
static const int owner_first[OWNERS + 1] = {0, 3, 4, 6, 7};

static struct tr_parts owned_by(int owner)
{
    return (struct tr_parts){PARTS, owner_first[owner], owner_first[owner + 1]};
}

static struct tr_range share_of(struct tr_parts cut, int64_t part_size)
{
    return (struct tr_range){cut.first * part_size, cut.last * part_size};
}

static int add_nodes(struct tr_range *node, int count, struct tr_parts cut)
{
    return count + tr_tree_roots(cut.parts, cut.first, cut.last, node + count);
}

static void row_parallel_linear(enum tr_dtype type)
{
    enum { TOKENS = 5, SIZE = 4, IN = PARTS * SIZE, OUT = 6 };
    struct pool pool = {.count = 0};
    struct tr_op op = {.kind = TR_OP_LINEAR, .act = type, .weight = type, .flags = TR_OP_ROW_PARALLEL, .seqs = 1,
                       .seq_len = TOKENS, .in = IN, .segments = 1, .out = {OUT}, .context = tr_all_parts(1),
                       .part = tr_all_parts(PARTS), .quantum = {2}};
    void *x = make_random(&pool, TOKENS * IN, type), *w = make_random(&pool, OUT * IN, type);
    void *bias = make_random(&pool, OUT, type), *residual = make_random(&pool, TOKENS * OUT, type);
    void *whole = make(&pool, TOKENS * OUT, type);
    run(&op, (void *[TR_OP_OPERANDS_MAX]){[TR_LINEAR_X] = x, [TR_LINEAR_W] = w, [TR_LINEAR_B] = bias,
                                          [TR_LINEAR_Y] = whole, [TR_LINEAR_RESIDUAL] = residual});
    float *slabs = make(&pool, PARTS * TOKENS * OUT, TR_F32);
    struct tr_range node[PARTS + TR_TREE_ROOTS_MAX];
    int nodes = 0;
    for (int owner = OWNERS - 1; owner >= 0; owner--) { /* any order */
        struct tr_op mine = op;
        mine.part = owned_by(owner);
        struct tr_range share = share_of(mine.part, SIZE);
        mine.in = share.last - share.first;
        mine.whole[0] = IN;
        int before = 0;
        for (int o = 0; o < owner; o++)
            before = add_nodes(node, before, owned_by(o));
        int mine_nodes = add_nodes(node, before, mine.part) - before;
        assert_int_equal(tr_op_operand_dtype(&mine, TR_LINEAR_Y), TR_F32);
        assert_int_equal(tr_op_operand_bytes(&mine, TR_LINEAR_Y), 4 * mine_nodes * TOKENS * OUT);
        void *x_share = columns(&pool, x, type, TOKENS, IN, share), *w_share = columns(&pool, w, type, OUT, IN, share);
        run(&mine, (void *[TR_OP_OPERANDS_MAX]){[TR_LINEAR_X] = x_share, [TR_LINEAR_W] = w_share,
                                                [TR_LINEAR_Y] = slabs + before * TOKENS * OUT});
    }
    for (int o = 0; o < OWNERS; o++)
        nodes = add_nodes(node, nodes, owned_by(o));
    void *joined = make(&pool, TOKENS * OUT, type);
    tr_tree_join_roots(slabs, TOKENS * OUT, TOKENS * OUT, node, nodes, PARTS);
    for (int64_t i = 0; i < TOKENS * OUT; i++) {
        float y = tr_load(residual, type, i) + (slabs[i] + tr_load(bias, type, i % OUT));
        tr_store(joined, type, i, y);
    }
    assert_memory_equal(joined, whole, (size_t)(TOKENS * OUT * tr_dtype_bytes(type)));
    free_all(&pool);
}

static void linear_of_several_owners_joins_to_the_whole(void **state)
{
    (void)state;
    row_parallel_linear(TR_F32);
    row_parallel_linear(TR_BF16);
}

static void column_parallel_dx(enum tr_dtype type)
{
    enum { TOKENS = 3, IN = 5 };
    static const int64_t size[3] = {4, 2, 2}; /* of one part of q, k, v */
    struct pool pool = {.count = 0};
    struct tr_op op = {.kind = TR_OP_LINEAR_DX, .act = type, .weight = type, .seqs = 1, .seq_len = TOKENS, .in = IN,
                       .segments = 3, .context = tr_all_parts(1), .part = tr_all_parts(PARTS), .quantum = {2, 2, 2}};
    void *all[TR_OP_OPERANDS_MAX] = {0};
    for (int i = 0; i < 3; i++) {
        op.out[i] = PARTS * size[i];
        all[TR_LINEAR_DX_DY + i] = make_random(&pool, TOKENS * op.out[i], type);
        all[TR_LINEAR_DX_W + i] = make_random(&pool, op.out[i] * IN, type);
    }
    void *whole = all[TR_LINEAR_DX_DX] = make(&pool, TOKENS * IN, type);
    run(&op, all);
    float *slabs = make(&pool, PARTS * TOKENS * IN, TR_F32);
    struct tr_range node[PARTS + TR_TREE_ROOTS_MAX];
    int nodes = 0;
    for (int owner = 0; owner < OWNERS; owner++) {
        struct tr_op mine = op;
        void *share[TR_OP_OPERANDS_MAX] = {[TR_LINEAR_DX_DX] = slabs + nodes * TOKENS * IN};
        mine.part = owned_by(owner);
        for (int i = 0; i < 3; i++) {
            struct tr_range out = share_of(mine.part, size[i]);
            mine.out[i] = out.last - out.first;
            mine.whole[i] = op.out[i];
            share[TR_LINEAR_DX_DY + i] = columns(&pool, all[TR_LINEAR_DX_DY + i], type, TOKENS, op.out[i], out);
            share[TR_LINEAR_DX_W + i] = (char *)all[TR_LINEAR_DX_W + i] + out.first * IN * tr_dtype_bytes(type);
        }
        run(&mine, share);
        nodes = add_nodes(node, nodes, mine.part);
    }
    void *joined = make(&pool, TOKENS * IN, type);
    tr_tree_join_roots(slabs, TOKENS * IN, TOKENS * IN, node, nodes, PARTS);
    for (int64_t i = 0; i < TOKENS * IN; i++)
        tr_store(joined, type, i, slabs[i]);
    assert_memory_equal(joined, whole, (size_t)(TOKENS * IN * tr_dtype_bytes(type)));
    free_all(&pool);
}

static void input_gradients_of_several_owners_join_to_the_whole(void **state)
{
    (void)state;
    column_parallel_dx(TR_F32);
    column_parallel_dx(TR_BF16);
}

/* Context parts of 64 tokens of two sequences; and, for db of a row-parallel layer, two sequence parts in each. */
static void weight_grads(enum tr_dtype type)
{
    enum { SEQS = 2, SIZE = 64, LEN = PARTS * SIZE, IN = 3, OUT = 4, INNER = 2 };
    struct pool pool = {.count = 0};
    struct tr_op op = {.kind = TR_OP_LINEAR_DW, .act = type, .weight = type, .flags = TR_OP_ROW_PARALLEL, .seqs = SEQS,
                       .seq_len = LEN, .in = IN, .segments = 1, .out = {OUT}, .context = tr_all_parts(PARTS),
                       .part = tr_all_parts(INNER), .quantum = {1}};
    void *x = make_random(&pool, SEQS * LEN * IN, type), *dy = make_random(&pool, SEQS * LEN * OUT, type);
    float *dw = make(&pool, PARTS * OUT * IN, TR_F32), *db = make(&pool, PARTS * INNER * OUT, TR_F32);
    run(&op, (void *[TR_OP_OPERANDS_MAX]){[TR_LINEAR_DW_X] = x, [TR_LINEAR_DW_DY] = dy, [TR_LINEAR_DW_DW] = dw,
                                          [TR_LINEAR_DW_DB] = db});
    for (int owner = 0; owner < OWNERS; owner++) {
        struct tr_op mine = op;
        mine.context = owned_by(owner);
        int64_t owned = tr_parts_owned(mine.context);
        struct tr_range share = share_of(mine.context, SIZE);
        mine.seq_len = owned * SIZE;
        mine.whole_seq_len = LEN;
        void *x_share = columns(&pool, x, type, SEQS, LEN * IN, (struct tr_range){share.first * IN, share.last * IN});
        void *dy_share =
            columns(&pool, dy, type, SEQS, LEN * OUT, (struct tr_range){share.first * OUT, share.last * OUT});
        for (int p = 0; p < INNER; p++) {
            float *my_dw = make(&pool, owned * OUT * IN, TR_F32), *my_db = make(&pool, owned * OUT, TR_F32);
            mine.part = (struct tr_parts){INNER, p, p + 1};
            run(&mine, (void *[TR_OP_OPERANDS_MAX]){[TR_LINEAR_DW_X] = x_share, [TR_LINEAR_DW_DY] = dy_share,
                                                    [TR_LINEAR_DW_DW] = my_dw, [TR_LINEAR_DW_DB] = my_db});
            assert_memory_equal(my_dw, dw + mine.context.first * OUT * IN, (size_t)(owned * OUT * IN * 4));
            for (int64_t leaf = 0; leaf < owned; leaf++)
                assert_memory_equal(my_db + leaf * OUT, db + ((mine.context.first + leaf) * INNER + p) * OUT, OUT * 4);
        }
    }
    free_all(&pool);
}

static void weight_gradients_of_several_owners_are_leaves_of_the_whole(void **state)
{
    (void)state;
    weight_grads(TR_F32);
    weight_grads(TR_BF16);
}

static void microbatches_of_any_size_make_the_same_accumulators(void **state)
{
    (void)state;
    enum { SEQS = 5, LEN = 300, IN = 3, OUT = 2 };
    static const int64_t micro[] = {2, 1, 2};
    for (size_t t = 0; t < 2; t++) {
        struct pool pool = {.count = 0};
        enum tr_dtype type = types[t];
        struct tr_op op = {.kind = TR_OP_LINEAR_DW, .act = type, .weight = type, .seqs = SEQS, .seq_len = LEN, .in = IN,
                           .segments = 1, .out = {OUT}, .context = tr_all_parts(2), .part = tr_all_parts(1),
                           .quantum = {1}};
        char *x = make_random(&pool, SEQS * LEN * IN, type), *dy = make_random(&pool, SEQS * LEN * OUT, type);
        float *dw[2], *db[2];
        for (int i = 0; i < 2; i++) {
            dw[i] = make(&pool, 2 * OUT * IN, TR_F32);
            db[i] = make(&pool, 2 * OUT, TR_F32);
        }
        run(&op, (void *[TR_OP_OPERANDS_MAX]){[TR_LINEAR_DW_X] = x, [TR_LINEAR_DW_DY] = dy, [TR_LINEAR_DW_DW] = dw[0],
                                              [TR_LINEAR_DW_DB] = db[0]});
        for (size_t m = 0; m < sizeof micro / sizeof micro[0]; m++) {
            op.seqs = micro[m];
            run(&op, (void *[TR_OP_OPERANDS_MAX]){[TR_LINEAR_DW_X] = x, [TR_LINEAR_DW_DY] = dy,
                                                  [TR_LINEAR_DW_DW] = dw[1], [TR_LINEAR_DW_DB] = db[1]});
            x += micro[m] * LEN * IN * tr_dtype_bytes(type);
            dy += micro[m] * LEN * OUT * tr_dtype_bytes(type);
        }
        assert_memory_equal(dw[0], dw[1], 2 * OUT * IN * 4);
        assert_memory_equal(db[0], db[1], 2 * OUT * 4);
        free_all(&pool);
    }
}

/* NORM_BWD: sequence parts of the tokens (heads = 1), or tensor parts of the heads. */
static void norm_grads(enum tr_dtype type, int64_t heads)
{
    enum { SEQS = 2, SIZE = 40, WIDTH = 6 };
    bool tokens = heads == 1;
    int64_t len = tokens ? PARTS * SIZE : 9, share_size = tokens ? SIZE : heads / PARTS;
    int64_t rows = SEQS * len * heads;
    struct pool pool = {.count = 0};
    struct tr_op op = {.kind = TR_OP_NORM_BWD, .act = type, .weight = type, .seqs = SEQS, .seq_len = len,
                       .width = WIDTH, .heads = (int32_t)heads, .eps = 1e-5f, .context = tr_all_parts(1),
                       .part = tr_all_parts(PARTS)};
    void *x = make_random(&pool, rows * WIDTH, type), *dy = make_random(&pool, rows * WIDTH, type);
    void *gain = make_random(&pool, WIDTH, type), *stats = make_random(&pool, rows * 2, TR_F32);
    void *dx = make(&pool, rows * WIDTH, type);
    float *dgain = make(&pool, PARTS * WIDTH, TR_F32);
    run(&op, (void *[TR_OP_OPERANDS_MAX]){x, gain, stats, dy, dx, dgain});
    /* an owner's rows lie together within each group of this many rows: a sequence, or the heads of a token */
    int64_t group_rows = tokens ? len : heads, groups = rows / group_rows;
    for (int owner = 0; owner < OWNERS; owner++) {
        struct tr_op mine = op;
        mine.part = owned_by(owner);
        struct tr_range share = share_of(mine.part, share_size);
        int64_t owned = share.last - share.first;
        mine.seq_len = tokens ? owned : len;
        mine.heads = tokens ? 1 : (int32_t)owned;
        mine.whole[0] = heads;
        mine.whole_seq_len = len;
        struct tr_range wide = {share.first * WIDTH, share.last * WIDTH}, two = {share.first * 2, share.last * 2};
        void *my_x = columns(&pool, x, type, groups, group_rows * WIDTH, wide);
        void *my_dy = columns(&pool, dy, type, groups, group_rows * WIDTH, wide);
        void *my_stats = columns(&pool, stats, TR_F32, groups, group_rows * 2, two);
        void *my_dx = make(&pool, groups * owned * WIDTH, type);
        float *my_dgain = make(&pool, PARTS * WIDTH, TR_F32);
        run(&mine, (void *[TR_OP_OPERANDS_MAX]){my_x, gain, my_stats, my_dy, my_dx, my_dgain});
        assert_memory_equal(my_dgain, dgain + mine.part.first * WIDTH, (size_t)(tr_parts_owned(mine.part) * WIDTH * 4));
        assert_memory_equal(my_dx, columns(&pool, dx, type, groups, group_rows * WIDTH, wide),
                            (size_t)(groups * owned * WIDTH * tr_dtype_bytes(type)));
    }
    free_all(&pool);
}

static void norm_gradients_of_several_owners_are_leaves_of_the_whole(void **state)
{
    (void)state;
    for (size_t t = 0; t < 2; t++) {
        norm_grads(types[t], 1);
        norm_grads(types[t], 2 * PARTS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_of_several_owners_joins_to_the_whole),
        cmocka_unit_test(input_gradients_of_several_owners_join_to_the_whole),
        cmocka_unit_test(weight_gradients_of_several_owners_are_leaves_of_the_whole),
        cmocka_unit_test(microbatches_of_any_size_make_the_same_accumulators),
        cmocka_unit_test(norm_gradients_of_several_owners_are_leaves_of_the_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
