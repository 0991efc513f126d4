/* Attention and the head done in pieces: each part of the keys, queries or vocabulary by itself, in any order of
 * arrival, from memory that holds that part only, joined along the tree. The bits are those of the whole kernels. */
#include "base/fmath.h"
#include "base/rng.h"
#include "silicon/kernel/attn/attn.h"
#include "silicon/kernel/head/head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const enum tr_dtype types[] = {TR_F32, TR_BF16};

static void *make(int64_t elements, enum tr_dtype type)
{
    void *data = calloc((size_t)elements, (size_t)tr_dtype_bytes(type));
    assert_non_null(data);
    return data;
}

static void *make_random(int64_t elements, enum tr_dtype type, uint64_t stream)
{
    void *data = make(elements, type);
    struct tr_rng_key key = tr_rng_key(8, "pieces", stream);
    for (int64_t i = 0; i < elements; i++)
        tr_store(data, type, i, tr_rng_float(key, (uint64_t)i) * 4.0f - 2.0f);
    return data;
}

static void run(const struct tr_op *op, void *const operand[TR_OP_OPERANDS_MAX])
{
    struct tr_step_values values = {.loss_scale = 0.125f};
    struct tr_count count = {0};
    struct tr_call call = {.op = op, .values = &values, .count = &count, .threads = 2};
    memcpy(call.operand, operand, sizeof call.operand);
    const struct tr_kernel_set *set = tr_kernel_set(TR_ISA_REF);
    call.workspace = aligned_alloc(64, (size_t)tr_kernel_workspace_bytes(set, op, 2) / 64 * 64 + 64);
    assert_non_null(call.workspace);
    tr_kernel_run(set, &call);
    free(call.workspace);
}

/* ---- attention -------------------------------------------------------------------------------------------------- */

enum { HEADS = 6, KV_HEADS = 2, GROUP = HEADS / KV_HEADS, DIM = 6, CONTEXT = 3, LEN = 64 * 5 + 9 };

struct attention {
    enum tr_dtype type;
    struct tr_op op;
    char *q, *k, *v, *o, *dout, *dq, *dk, *dv;
    float *stats;
};

static void attention_make(struct attention *a, enum tr_dtype type)
{
    *a = (struct attention){.type = type};
    a->op = (struct tr_op){.kind = TR_OP_ATTN, .act = type, .weight = type, .seqs = 1, .seq_len = LEN, .positions = LEN,
                           .heads = HEADS, .kv_heads = KV_HEADS, .head_dim = DIM, .context = tr_all_parts(CONTEXT),
                           .part = tr_all_parts(1)};
    int64_t q_count = (int64_t)LEN * HEADS * DIM, kv_count = (int64_t)LEN * KV_HEADS * DIM;
    a->q = make_random(q_count, type, 1);
    a->k = make_random(kv_count, type, 2);
    a->v = make_random(kv_count, type, 3);
    a->dout = make_random(q_count, type, 4);
    a->o = make(q_count, type);
    a->dq = make(q_count, type);
    a->dk = make(kv_count, type);
    a->dv = make(kv_count, type);
    a->stats = make(LEN * HEADS * 2, TR_F32);
    run(&a->op, (void *[TR_OP_OPERANDS_MAX]){a->q, a->k, a->v, a->o, a->stats});
    a->op.kind = TR_OP_ATTN_BWD;
    run(&a->op, (void *[TR_OP_OPERANDS_MAX]){a->q, a->k, a->v, a->o, a->stats, a->dout, a->dq, a->dk, a->dv});
}

static void attention_free(struct attention *a)
{
    void *const arrays[] = {a->q, a->k, a->v, a->o, a->dout, a->dq, a->dk, a->dv, a->stats};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
        free(arrays[i]);
}

static char *at(const struct attention *a, char *tensor, int64_t element)
{
    return tensor + element * tr_dtype_bytes(a->type);
}

static char *q_row(const struct attention *a, char *tensor, int64_t query, int64_t head)
{
    return at(a, tensor, (query * HEADS + head) * DIM);
}

/* The rows of one context part of k or v, alone in their memory, and the pointer of one key head in them. */
static char *own_part(const struct attention *a, const char *tensor, int part, int64_t kv_head, char **memory)
{
    struct tr_range keys = tr_op_keys(&a->op, part);
    size_t row = (size_t)(KV_HEADS * DIM * tr_dtype_bytes(a->type));
    size_t bytes = (size_t)(keys.last - keys.first) * row;
    *memory = malloc(bytes);
    assert_non_null(*memory);
    memcpy(*memory, tensor + (size_t)keys.first * row, bytes);
    return at(a, *memory, kv_head * DIM);
}

/* 3 parts: (0, 1), 2. */
static void join_three(const struct tr_op *op, struct tr_attn_sums part[CONTEXT])
{
    tr_attn_ref_join(op, &part[0], &part[1]);
    tr_attn_ref_join(op, &part[0], &part[2]);
}

static void check_forward(const struct attention *a, int64_t query, int64_t head, const int order[CONTEXT])
{
    struct tr_attn_sums part[CONTEXT];
    float o[CONTEXT][DIM], stats[2];
    for (int i = 0; i < CONTEXT; i++) {
        int p = order[i];
        char *k_memory, *v_memory;
        const char *k = own_part(a, a->k, p, head / GROUP, &k_memory);
        const char *v = own_part(a, a->v, p, head / GROUP, &v_memory);
        part[p].o = o[p];
        tr_attn_ref_part(&a->op, q_row(a, a->q, query, head), k, v, tr_op_keys(&a->op, p), query, &part[p]);
        free(k_memory);
        free(v_memory);
    }
    join_three(&a->op, part);
    char result[DIM * sizeof(float)];
    tr_attn_ref_finish(&a->op, &part[0], result, stats);
    assert_int_equal(part[0].keys, query + 1);
    assert_memory_equal(result, q_row(a, a->o, query, head), (size_t)(DIM * tr_dtype_bytes(a->type)));
    assert_memory_equal(stats, a->stats + (query * HEADS + head) * 2, sizeof stats);
}

static void attention_in_parts_that_arrive_in_any_order_is_the_whole(void **state)
{
    (void)state;
    static const int orders[][CONTEXT] = {{0, 1, 2}, {2, 1, 0}, {1, 2, 0}};
    for (size_t t = 0; t < 2; t++) {
        struct attention a;
        attention_make(&a, types[t]);
        for (int64_t query = 0; query < LEN; query += 13)
            for (int64_t head = 0; head < HEADS; head++)
                check_forward(&a, query, head, orders[(query + head) % 3]);
        attention_free(&a);
    }
}

/* Scores of one query and head over one context part, packed from the part's first key. */
static int64_t scores(const struct attention *a, int64_t query, int64_t head, int p, float *prob, float *ds)
{
    char *row = q_row(a, a->q, query, head), *dout = q_row(a, a->dout, query, head);
    char *k_memory, *v_memory;
    const char *k = own_part(a, a->k, p, head / GROUP, &k_memory);
    const char *v = own_part(a, a->v, p, head / GROUP, &v_memory);
    float delta = tr_attn_ref_delta(&a->op, q_row(a, a->o, query, head), dout);
    int64_t seen = tr_attn_ref_scores(&a->op, row, k, v, dout, a->stats + (query * HEADS + head) * 2, delta,
                                      tr_op_keys(&a->op, p), query, prob, ds);
    free(k_memory);
    free(v_memory);
    return seen;
}

static void check_dq(const struct attention *a, int64_t query, int64_t head)
{
    float prob[LEN], ds[LEN], dq[DIM];
    char result[DIM * sizeof(float)];
    for (int p = 0; p < CONTEXT; p++) {
        char *memory;
        const char *k = own_part(a, a->k, p, head / GROUP, &memory);
        int64_t seen = scores(a, query, head, p, prob, ds);
        struct tr_range keys = tr_op_keys(&a->op, p);
        keys.last = keys.first + seen;
        for (int64_t d = 0; d < DIM && seen > 0; d++) {
            float sum = tr_attn_ref_dq(&a->op, ds, k, keys, d);
            dq[d] = p == 0 ? sum : dq[d] + sum; /* 3 parts join from left to right */
        }
        free(memory);
    }
    for (int64_t d = 0; d < DIM; d++)
        tr_store(result, a->type, d, dq[d]);
    assert_memory_equal(result, q_row(a, a->dq, query, head), (size_t)(DIM * tr_dtype_bytes(a->type)));
}

/* dk and dv of one key: by query head and context part of the queries, each from columns of p and ds of its own. */
static void check_dkv(const struct attention *a, int64_t key, int64_t kv_head)
{
    int own = 0; /* the key's own context part */
    while (tr_op_keys(&a->op, own).last <= key)
        own++;
    int64_t column = key - tr_op_keys(&a->op, own).first;
    static float p_column[LEN], ds_column[LEN];
    float dk[GROUP][DIM], dv[GROUP][DIM];
    for (int h = GROUP - 1; h >= 0; h--) {
        int64_t head = kv_head * GROUP + h;
        for (int part = own; part < CONTEXT; part++) {
            struct tr_range queries = tr_op_keys(&a->op, part);
            for (int64_t i = queries.first > key ? queries.first : key; i < queries.last; i++) {
                float prob[LEN], ds[LEN];
                assert_true(scores(a, i, head, own, prob, ds) > column);
                p_column[i - queries.first] = prob[column];
                ds_column[i - queries.first] = ds[column];
            }
            for (int64_t d = 0; d < DIM; d++) {
                const char *q = q_row(a, a->q, queries.first, head), *dout = q_row(a, a->dout, queries.first, head);
                float k_sum = tr_attn_ref_dkv(&a->op, ds_column, 1, q, queries, key, d);
                float v_sum = tr_attn_ref_dkv(&a->op, p_column, 1, dout, queries, key, d);
                /* 3 parts join from left to right, whichever of them is the first */
                dk[h][d] = part == own ? k_sum : dk[h][d] + k_sum;
                dv[h][d] = part == own ? v_sum : dv[h][d] + v_sum;
            }
        }
    }
    char k_result[DIM * sizeof(float)], v_result[DIM * sizeof(float)];
    for (int64_t d = 0; d < DIM; d++) { /* 3 heads: (0, 1), 2 */
        tr_store(k_result, a->type, d, (dk[0][d] + dk[1][d]) + dk[2][d]);
        tr_store(v_result, a->type, d, (dv[0][d] + dv[1][d]) + dv[2][d]);
    }
    size_t bytes = (size_t)(DIM * tr_dtype_bytes(a->type));
    assert_memory_equal(k_result, at(a, a->dk, (key * KV_HEADS + kv_head) * DIM), bytes);
    assert_memory_equal(v_result, at(a, a->dv, (key * KV_HEADS + kv_head) * DIM), bytes);
}

static void attention_gradients_in_parts_are_the_whole(void **state)
{
    (void)state;
    for (size_t t = 0; t < 2; t++) {
        struct attention a;
        attention_make(&a, types[t]);
        for (int64_t query = 0; query < LEN; query += 29)
            for (int64_t head = 0; head < HEADS; head++)
                check_dq(&a, query, head);
        static const int64_t keys[] = {0, 1, 63, 64, 127, 131, 256, LEN - 2, LEN - 1};
        for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
            check_dkv(&a, keys[i], (int64_t)i % KV_HEADS);
        attention_free(&a);
    }
}

/* ---- generation ------------------------------------------------------------------------------------------------- */

static void one_query_over_a_cache_has_the_bits_of_the_whole_sequence(void **state)
{
    (void)state;
    for (size_t t = 0; t < 2; t++) {
        struct attention a;
        attention_make(&a, types[t]);
        struct tr_op op = a.op;
        op.kind = TR_OP_ATTN;
        op.seq_len = 1;
        for (int64_t query = 0; query < LEN; query += 17) {
            char o[HEADS * DIM * sizeof(float)];
            float stats[HEADS * 2];
            struct tr_step_values values = {.position = query};
            struct tr_count count = {0};
            struct tr_call call = {.op = &op, .values = &values, .count = &count, .threads = 1};
            void *const operand[] = {q_row(&a, a.q, query, 0), a.k, a.v, o, stats};
            memcpy(call.operand, operand, sizeof operand);
            call.workspace = malloc((size_t)tr_attn_ref_workspace(&op, 1));
            assert_non_null(call.workspace);
            tr_attn_ref(&call);
            free(call.workspace);
            assert_memory_equal(o, q_row(&a, a.o, query, 0), (size_t)(HEADS * DIM * tr_dtype_bytes(a.type)));
            assert_memory_equal(stats, a.stats + query * HEADS * 2, sizeof stats);
        }
        attention_free(&a);
    }
}

/* ---- head ------------------------------------------------------------------------------------------------------- */

enum { TOKENS = 4, WIDTH = 6, VOCAB = 101, VOCAB_PARTS = 3 };

struct head {
    struct tr_op op;
    char *x, *w, *dx;
    float *loss, *dw;
};

/* z[v] of one token; the chain, and with bf16 the chain of pairs, whose products and sums here never are subnormal. */
static float make_logits(const struct head *head, int64_t token, float z[VOCAB])
{
    enum tr_dtype type = head->op.act;
    float max = -INFINITY;
    for (int64_t v = 0; v < VOCAB; v++) {
        z[v] = 0.0f;
        for (int64_t c = 0; c < WIDTH; c += 2) {
            float x0 = tr_load(head->x, type, token * WIDTH + c), x1 = tr_load(head->x, type, token * WIDTH + c + 1);
            float w0 = tr_load(head->w, type, v * WIDTH + c), w1 = tr_load(head->w, type, v * WIDTH + c + 1);
            z[v] = type == TR_BF16 ? fmaf(x0, w0, fmaf(x1, w1, z[v])) : fmaf(x1, w1, fmaf(x0, w0, z[v]));
        }
        max = z[v] > max ? z[v] : max;
    }
    return max;
}

static float parts_sum(const struct head *head, const float z[VOCAB], float max)
{
    float sum[VOCAB_PARTS];
    for (int p = VOCAB_PARTS - 1; p >= 0; p--) {
        struct tr_range part = tr_op_part(&head->op, 0, p);
        sum[p] = tr_head_ref_part_sum(z + part.first, part.last - part.first, max);
    }
    return (sum[0] + sum[1]) + sum[2];
}

static float parts_dx(const struct head *head, const float dz[VOCAB], int64_t c)
{
    float dx[VOCAB_PARTS];
    for (int p = VOCAB_PARTS - 1; p >= 0; p--) {
        struct tr_range part = tr_op_part(&head->op, 0, p);
        const char *w = head->w + part.first * WIDTH * tr_dtype_bytes(head->op.weight);
        dx[p] = tr_head_ref_part_dx(&head->op, dz + part.first, w, part.last - part.first, c);
    }
    return (dx[0] + dx[1]) + dx[2];
}

static void check_token(const struct head *head, int64_t token, int32_t target)
{
    float z[VOCAB];
    float max = make_logits(head, token, z);
    float sum = parts_sum(head, z, max);
    float loss = target < 0 ? 0.0f : (float)tr_log((double)sum) - (z[target] - max);
    assert_true(head->loss[token] == loss);
    for (int64_t v = 0; v < VOCAB; v++) {
        float p = tr_head_ref_part_sum(z + v, 1, max) * (1.0f / sum);
        z[v] = target < 0 ? 0.0f : (p - (v == target ? 1.0f : 0.0f)) * 0.125f;
        if (head->op.act == TR_BF16)
            z[v] = tr_f32_from_bf16(tr_bf16_from_f32(z[v]));
    }
    for (int64_t c = 0; c < WIDTH; c++) {
        char rounded[sizeof(float)];
        tr_store(rounded, head->op.act, 0, parts_dx(head, z, c));
        assert_memory_equal(rounded, head->dx + (token * WIDTH + c) * tr_dtype_bytes(head->op.act),
                            (size_t)tr_dtype_bytes(head->op.act));
    }
}

static void the_head_in_vocabulary_parts_is_the_whole(void **state)
{
    (void)state;
    int32_t targets[TOKENS] = {100, 0, -1, 33};
    for (size_t t = 0; t < 2; t++) {
        enum tr_dtype type = types[t];
        struct head head = {.op = {.kind = TR_OP_HEAD, .act = type, .weight = type, .flags = TR_OP_GRAD, .seqs = 1,
                                   .seq_len = TOKENS, .width = WIDTH, .vocab = VOCAB, .context = tr_all_parts(1),
                                   .part = tr_all_parts(VOCAB_PARTS)}};
        head.x = make_random(TOKENS * WIDTH, type, 11);
        head.w = make_random(VOCAB * WIDTH, type, 12);
        head.dx = make(TOKENS * WIDTH, type);
        head.loss = make(TOKENS, TR_F32);
        head.dw = make(VOCAB * WIDTH, TR_F32);
        run(&head.op, (void *[TR_OP_OPERANDS_MAX]){head.x, head.w, targets, head.loss, head.dx, head.dw});
        for (int64_t token = 0; token < TOKENS; token++)
            check_token(&head, token, targets[token]);
        void *const arrays[] = {head.x, head.w, head.dx, head.loss, head.dw};
        for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
            free(arrays[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention_in_parts_that_arrive_in_any_order_is_the_whole),
        cmocka_unit_test(attention_gradients_in_parts_are_the_whole),
        cmocka_unit_test(one_query_over_a_cache_has_the_bits_of_the_whole_sequence),
        cmocka_unit_test(the_head_in_vocabulary_parts_is_the_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
