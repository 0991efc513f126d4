/* Logical widths of attention and of the head's vocabulary, whose parts are pieces of one kernel: at every width and in
 * any grouping of the parts into owners, the pieces of attn.h and head.h, joined along the tree, have the bits of the
 * whole kernel of every kernel set. One hash of the whole results, as in test_contract_widths.c.
 *
 * What a node of the tree sums up lies in the place of its first part. An owner joins its own nodes; then those of all
 * owners are joined. Owners come in reverse order.
 */
#include "base/fmath.h"
#include "lib/widths.h"
#include "silicon/kernel/attn/attn.h"
#include "silicon/kernel/head/head.h"
#include "silicon/op/fn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const int widths[] = {1, 2, 3, 4, 7, 8, 9};

enum { WIDTH_COUNT = sizeof widths / sizeof widths[0], WIDTH_MAX = 9, DIM = 4, NODES_MAX = 32 };

/* ---- joining along the tree -------------------------------------------------------------------------------------- */

typedef void join_fn(void *context, int64_t left, int64_t right);

/* Joins the parts [begin, end), but for those nodes that are joined already. */
static void join_range(int64_t begin, int64_t end, const struct tr_range *done, int done_count, join_fn *join,
                       void *context)
{
    for (int i = 0; i < done_count; i++)
        if (done[i].first == begin && done[i].last == end)
            return;
    if (end - begin == 1)
        return;
    int64_t middle = begin + tr_tree_split(end - begin);
    join_range(begin, middle, done, done_count, join, context);
    join_range(middle, end, done, done_count, join, context);
    join(context, begin, middle);
}

/* First every owner for itself, the last one first; then all. The sum is in place 0. */
static void join_owners(int width, uint32_t grouping, join_fn *join, void *context)
{
    struct tr_range node[NODES_MAX];
    int count = tr_grouping_nodes(width, grouping, node);
    for (int i = count - 1; i >= 0; i--)
        join_range(node[i].first, node[i].last, NULL, 0, join, context);
    join_range(0, width, node, count, join, context);
}

/* n numbers for each part; a part may have none. */
struct numbers {
    bool there[WIDTH_MAX];
    float at[WIDTH_MAX][2 * DIM];
    int n;
};

static void join_numbers(void *context, int64_t left, int64_t right)
{
    struct numbers *numbers = context;
    for (int i = 0; i < numbers->n && numbers->there[right]; i++)
        numbers->at[left][i] =
            numbers->there[left] ? numbers->at[left][i] + numbers->at[right][i] : numbers->at[right][i];
    numbers->there[left] = numbers->there[left] || numbers->there[right];
}

/* ---- attention -------------------------------------------------------------------------------------------------- */

struct trial {
    const struct tr_kernel_set *set;
    enum tr_dtype type;
    struct tr_hash hash;
    struct tr_arrays arrays;
};

/* The operands of ATTN_BWD, the outputs of both passes among them. */
struct attention {
    struct tr_op op;
    void *operand[TR_OP_OPERANDS_MAX];
};

/* Whole forward and backward pass. */
static void make_attention(struct trial *trial, struct attention *a, int width, bool apart)
{
    int group = width % 4 + 1; /* query heads of a key head: 1 .. 4 */
    int64_t len = 64 * width + 5 + width;
    a->op = (struct tr_op){.kind = TR_OP_ATTN_BWD,
                           .act = trial->type,
                           .weight = trial->type,
                           .flags = apart ? TR_OP_APART : 0,
                           .seqs = 1,
                           .seq_len = len,
                           .positions = len,
                           .heads = 2 * group,
                           .kv_heads = 2,
                           .head_dim = DIM,
                           .context = tr_all_parts(width),
                           .part = tr_all_parts(1)};
    tr_make_operands(&trial->arrays, &a->op, 0, a->operand);
    struct tr_op forward = a->op;
    forward.kind = TR_OP_ATTN;
    void *const operand[TR_OP_OPERANDS_MAX] = {a->operand[TR_ATTN_BWD_Q], a->operand[TR_ATTN_BWD_K],
                                               a->operand[TR_ATTN_BWD_V], a->operand[TR_ATTN_BWD_O],
                                               a->operand[TR_ATTN_BWD_STATS], a->operand[TR_ATTN_BWD_START]};
    tr_run_operands(trial->set, &forward, operand);
    tr_run_operands(trial->set, &a->op, a->operand);
    for (int i = 0; i < tr_op_operands(TR_OP_ATTN_BWD)->operand_count; i++)
        if (i == TR_ATTN_BWD_O || i == TR_ATTN_BWD_STATS || (i >= TR_ATTN_BWD_DQ && i <= TR_ATTN_BWD_DV))
            tr_hash_add(&trial->hash, a->operand[i], tr_op_operand_bytes(&a->op, i));
}

static char *element(const struct attention *a, int operand, int64_t index)
{
    return (char *)a->operand[operand] + index * tr_dtype_bytes(a->op.act);
}

static char *q_row(const struct attention *a, int operand, int64_t query, int64_t head)
{
    return element(a, operand, (query * a->op.heads + head) * DIM);
}

static char *kv_row(const struct attention *a, int operand, int64_t key, int64_t kv_head)
{
    return element(a, operand, (key * a->op.kv_heads + kv_head) * DIM);
}

static int64_t start_of(const struct attention *a, int64_t query)
{
    const int32_t *start = a->operand[TR_ATTN_BWD_START];
    return start == NULL ? 0 : start[query];
}

static const float *stats_of(const struct attention *a, int64_t query, int64_t head)
{
    return (const float *)a->operand[TR_ATTN_BWD_STATS] + (query * a->op.heads + head) * 2;
}

static int64_t kv_head_of(const struct attention *a, int64_t head) { return head / (a->op.heads / a->op.kv_heads); }

/* Whether n numbers, rounded to the type of activations, are what stands at `want`. */
static void check_row(const struct attention *a, const float *got, const char *want, const char *what)
{
    for (int64_t d = 0; d < DIM; d++) {
        float stored[1];
        tr_store(stored, a->op.act, 0, got[d]);
        if (memcmp(stored, want + d * tr_dtype_bytes(a->op.act), (size_t)tr_dtype_bytes(a->op.act)) != 0)
            fail_msg("attention %s, %d context parts: %s[%lld] of joined parts is not the whole's",
                     tr_dtype_name(a->op.act), a->op.context.parts, what, (long long)d);
    }
}

struct joined_sums {
    const struct tr_op *op;
    struct tr_attn_sums at[WIDTH_MAX];
};

static void join_sums(void *context, int64_t left, int64_t right)
{
    struct joined_sums *sums = context;
    tr_attn_ref_join(sums->op, &sums->at[left], &sums->at[right]);
}

static void check_forward(const struct attention *a, int64_t query, int64_t head, uint32_t grouping)
{
    struct joined_sums sums = {.op = &a->op};
    float o[WIDTH_MAX][DIM], result[DIM], stats[2];
    int width = a->op.context.parts;
    for (int p = width - 1; p >= 0; p--) {
        struct tr_range keys = tr_attn_ref_seen(tr_op_keys(&a->op, p), start_of(a, query));
        sums.at[p].o = o[p];
        tr_attn_ref_part(&a->op, q_row(a, TR_ATTN_BWD_Q, query, head),
                         kv_row(a, TR_ATTN_BWD_K, keys.first, kv_head_of(a, head)),
                         kv_row(a, TR_ATTN_BWD_V, keys.first, kv_head_of(a, head)), keys, query, &sums.at[p]);
    }
    join_owners(width, grouping, join_sums, &sums);
    tr_attn_ref_finish(&a->op, &sums.at[0], result, stats);
    assert_memory_equal(result, q_row(a, TR_ATTN_BWD_O, query, head), DIM * (size_t)tr_dtype_bytes(a->op.act));
    assert_memory_equal(stats, stats_of(a, query, head), sizeof stats);
}

/* p and ds of one query and head over some keys. */
static int64_t scores(const struct attention *a, int64_t query, int64_t head, struct tr_range keys, float *p, float *ds)
{
    const char *dout = q_row(a, TR_ATTN_BWD_DO, query, head);
    float delta = tr_attn_ref_delta(&a->op, q_row(a, TR_ATTN_BWD_O, query, head), dout);
    return tr_attn_ref_scores(&a->op, q_row(a, TR_ATTN_BWD_Q, query, head),
                              kv_row(a, TR_ATTN_BWD_K, keys.first, kv_head_of(a, head)),
                              kv_row(a, TR_ATTN_BWD_V, keys.first, kv_head_of(a, head)), dout, stats_of(a, query, head),
                              delta, keys, query, p, ds);
}

static void check_dq(const struct attention *a, int64_t query, int64_t head, uint32_t grouping)
{
    static float prob[64 * (WIDTH_MAX + 2)], ds[64 * (WIDTH_MAX + 2)];
    struct numbers numbers = {.n = DIM};
    int width = a->op.context.parts;
    for (int part = width - 1; part >= 0; part--) {
        struct tr_range keys = tr_attn_ref_seen(tr_op_keys(&a->op, part), start_of(a, query));
        int64_t seen = scores(a, query, head, keys, prob, ds);
        const char *k = kv_row(a, TR_ATTN_BWD_K, keys.first, kv_head_of(a, head));
        numbers.there[part] = seen > 0;
        keys.last = keys.first + seen;
        for (int64_t d = 0; d < DIM && seen > 0; d++)
            numbers.at[part][d] = tr_attn_ref_dq(&a->op, ds, k, keys, d);
    }
    join_owners(width, grouping, join_numbers, &numbers);
    check_row(a, numbers.at[0], q_row(a, TR_ATTN_BWD_DQ, query, head), "dq");
}

/* dk, then dv of one key from one query head: [2 * DIM]. */
static void sum_over_queries(const struct attention *a, int64_t key, int64_t head, uint32_t grouping, float *sums)
{
    static float prob[64 * (WIDTH_MAX + 2)], ds[64 * (WIDTH_MAX + 2)];
    struct numbers numbers = {.n = 2 * DIM};
    int width = a->op.context.parts;
    for (int part = width - 1; part >= 0; part--) {
        struct tr_range queries = tr_op_keys(&a->op, part);
        while (queries.last > queries.first && start_of(a, queries.last - 1) > key) /* of documents behind it */
            queries.last--;
        numbers.there[part] = queries.last > key && queries.last > queries.first;
        if (!numbers.there[part])
            continue;
        for (int64_t i = queries.first > key ? queries.first : key; i < queries.last; i++)
            assert_int_equal(
                scores(a, i, head, (struct tr_range){key, key + 1}, prob + i - queries.first, ds + i - queries.first),
                1);
        for (int64_t d = 0; d < DIM; d++) {
            numbers.at[part][d] =
                tr_attn_ref_dkv(&a->op, ds, 1, q_row(a, TR_ATTN_BWD_Q, queries.first, head), queries, key, d);
            numbers.at[part][DIM + d] =
                tr_attn_ref_dkv(&a->op, prob, 1, q_row(a, TR_ATTN_BWD_DO, queries.first, head), queries, key, d);
        }
    }
    join_owners(width, grouping, join_numbers, &numbers);
    memcpy(sums, numbers.at[0], 2 * DIM * sizeof *sums);
}

static void check_dkv(const struct attention *a, int64_t key, int64_t kv_head, uint32_t grouping)
{
    float sums[4][2 * DIM];
    int group = a->op.heads / a->op.kv_heads;
    for (int h = group - 1; h >= 0; h--)
        sum_over_queries(a, key, kv_head * group + h, grouping, sums[h]);
    tr_tree_join(sums[0], 2 * DIM, group, 2 * DIM);
    check_row(a, sums[0], kv_row(a, TR_ATTN_BWD_DK, key, kv_head), "dk");
    check_row(a, sums[0] + DIM, kv_row(a, TR_ATTN_BWD_DV, key, kv_head), "dv");
}

static void attention_in_widths(struct trial *trial, bool apart)
{
    for (int i = 0; i < WIDTH_COUNT; i++) {
        struct attention a;
        int width = widths[i];
        make_attention(trial, &a, width, apart);
        uint32_t grouping = 0;
        int64_t turn = 0;
        do { /* every grouping with other queries and keys */
            int64_t query = (turn * 97 + 63) % a.op.seq_len, head = turn % a.op.heads;
            check_forward(&a, query, head, grouping);
            check_forward(&a, a.op.seq_len - 1, head, grouping);
            check_dq(&a, query, head, grouping);
            check_dkv(&a, turn * 61 % a.op.seq_len, turn % a.op.kv_heads, grouping);
            turn++;
        } while (tr_next_grouping(width, &grouping));
        tr_arrays_free(&trial->arrays, 0);
    }
}

static void attention_widths(struct trial *trial) { attention_in_widths(trial, false); }
static void attention_apart_widths(struct trial *trial) { attention_in_widths(trial, true); }

/* ---- head ------------------------------------------------------------------------------------------------------- */

enum { TOKENS = 6, WIDTH = 2 * DIM, VOCAB_MAX = 64 };

struct head {
    struct tr_op op;
    void *operand[TR_OP_OPERANDS_MAX];
};

/* z[v] of one token, the chain of the contract; returns their maximum. */
static float make_logits(const struct head *head, int64_t token, float z[VOCAB_MAX])
{
    float max = -INFINITY;
    for (int64_t v = 0; v < head->op.vocab; v++) {
        const void *x = head->operand[TR_HEAD_X], *w = head->operand[TR_HEAD_W];
        int64_t i = token * WIDTH, j = v * WIDTH;
        z[v] = 0.0f;
        for (int64_t c = 0; c < WIDTH; c += 2) {
            if (head->op.act == TR_BF16) {
                const tr_bf16 *a = (const tr_bf16 *)x + i + c, *b = (const tr_bf16 *)w + j + c;
                z[v] = tr_dp_bf16(z[v], a[0], a[1], b[0], b[1]);
            } else {
                const float *a = (const float *)x + i + c, *b = (const float *)w + j + c;
                z[v] = fmaf(a[1], b[1], fmaf(a[0], b[0], z[v]));
            }
        }
        max = z[v] > max ? z[v] : max;
    }
    return max;
}

static float sum_of_parts(const struct head *head, const float *z, float max, uint32_t grouping)
{
    struct numbers numbers = {.n = 1};
    for (int p = head->op.part.parts - 1; p >= 0; p--) {
        struct tr_range part = tr_op_part(&head->op, 0, p);
        numbers.there[p] = true;
        numbers.at[p][0] = tr_head_ref_part_sum(z + part.first, part.last - part.first, max);
    }
    join_owners(head->op.part.parts, grouping, join_numbers, &numbers);
    return numbers.at[0][0];
}

static void check_head_dx(const struct head *head, int64_t token, const float *dz, uint32_t grouping)
{
    struct numbers numbers = {.n = WIDTH};
    const struct tr_op *op = &head->op;
    for (int p = op->part.parts - 1; p >= 0; p--) {
        struct tr_range part = tr_op_part(op, 0, p);
        const char *w = (const char *)head->operand[TR_HEAD_W] + part.first * WIDTH * tr_dtype_bytes(op->weight);
        numbers.there[p] = true;
        for (int64_t c = 0; c < WIDTH; c++)
            numbers.at[p][c] = tr_head_ref_part_dx(op, dz + part.first, w, part.last - part.first, c);
    }
    join_owners(op->part.parts, grouping, join_numbers, &numbers);
    for (int64_t c = 0; c < WIDTH; c++) {
        float stored[1];
        size_t bytes = (size_t)tr_dtype_bytes(op->act);
        tr_store(stored, op->act, 0, numbers.at[0][c]);
        assert_memory_equal(stored, (char *)head->operand[TR_HEAD_DX] + (size_t)(token * WIDTH + c) * bytes, bytes);
    }
}

static void check_token(const struct head *head, int64_t token, uint32_t grouping)
{
    float z[VOCAB_MAX], max = make_logits(head, token, z), sum = sum_of_parts(head, z, max, grouping);
    int32_t target = ((const int32_t *)head->operand[TR_HEAD_TARGETS])[token];
    float loss = target < 0 ? 0.0f : (float)tr_log((double)sum) - (z[target] - max), inverse = 1.0f / sum;
    assert_memory_equal((const float *)head->operand[TR_HEAD_LOSS] + token, &loss, sizeof loss);
    for (int64_t v = 0; v < head->op.vocab; v++) {
        float p = tr_expf(z[v] - max) * inverse;
        z[v] = target < 0 ? 0.0f : (p - (v == target ? 1.0f : 0.0f)) * 0.0625f;
        if (head->op.act == TR_BF16)
            z[v] = tr_f32_from_bf16(tr_bf16_from_f32(z[v]));
    }
    check_head_dx(head, token, z, grouping);
}

static void vocab_widths(struct trial *trial)
{
    for (int i = 0; i < 2 * WIDTH_COUNT; i++) {
        int width = widths[i / 2];
        struct head head = {.op = {.kind = TR_OP_HEAD,
                                   .act = trial->type,
                                   .weight = trial->type,
                                   .flags = TR_OP_GRAD,
                                   .seqs = 1,
                                   .seq_len = TOKENS,
                                   .width = WIDTH,
                                   .context = tr_all_parts(1),
                                   .vocab = i % 2 ? 6 * width + 3 : 4 * width,
                                   .part = tr_all_parts(width)}};
        uint32_t grouping = 0;
        int64_t turn = 0;
        tr_make_operands(&trial->arrays, &head.op, 0, head.operand);
        tr_run_operands(trial->set, &head.op, head.operand);
        do
            check_token(&head, turn++ % TOKENS, grouping);
        while (tr_next_grouping(width, &grouping) || turn < TOKENS);
        for (int k = TR_HEAD_LOSS; k <= TR_HEAD_DW; k++)
            tr_hash_add(&trial->hash, head.operand[k], tr_op_operand_bytes(&head.op, k));
        tr_arrays_free(&trial->arrays, 0);
    }
}

/* ---- the tests -------------------------------------------------------------------------------------------------- */

struct subject {
    const char *name;
    void (*run)(struct trial *trial);
};

static const struct subject subjects[] = {
    {"attention", attention_widths}, {"attention_apart", attention_apart_widths}, {"vocabulary", vocab_widths}};

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
            if (i == 0)
                memcpy(first, hex, sizeof hex);
            assert_string_equal(hex, first);
        }
        tr_hash_check(subject->name, tr_dtype_name((enum tr_dtype)type), first);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"attention: context parts in any grouping give one hash", every_grouping_gives_one_hash, NULL, NULL,
         (void *)&subjects[0]},
        {"head: vocabulary parts in any grouping give one hash", every_grouping_gives_one_hash, NULL, NULL,
         (void *)&subjects[1]},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
