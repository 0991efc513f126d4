/* Documents that share a sequence (TR_OP_APART): nothing of one is seen in another, to the bit, whatever it holds; and a
 * document whose first token begins a key block has the bits that it has alone. */
#include "lib/opcase.h"
#include "lib/widths.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { HEADS = 4, KV_HEADS = 2, DIM = 6, LEN = 64 * 4 + 21 };

/* Documents: 0 .. 9, 10 .. 62, 63 .. 127, 128 .. 276 */
static const int32_t first[] = {0, 10, 63, 128, LEN};

enum { DOCUMENTS = sizeof first / sizeof first[0] - 1 };

/* Forward and backward pass over the tokens of one sequence. */
struct pass {
    struct tr_op op;
    void *operand[TR_OP_OPERANDS_MAX]; /* those of ATTN_BWD */
};

static void run_both(const struct tr_kernel_set *set, struct pass *pass)
{
    struct tr_op forward = pass->op;
    forward.kind = TR_OP_ATTN;
    void *const operand[TR_OP_OPERANDS_MAX] = {
        pass->operand[TR_ATTN_BWD_Q], pass->operand[TR_ATTN_BWD_K],     pass->operand[TR_ATTN_BWD_V],
        pass->operand[TR_ATTN_BWD_O], pass->operand[TR_ATTN_BWD_STATS], pass->operand[TR_ATTN_BWD_START]};
    tr_run_operands(set, &forward, operand);
    tr_run_operands(set, &pass->op, pass->operand);
}

static void make_pass(struct tr_arrays *arrays, struct pass *pass, enum tr_dtype type, int64_t len, int parts)
{
    pass->op = (struct tr_op){.kind = TR_OP_ATTN_BWD, .act = type, .weight = type, .flags = TR_OP_APART, .seqs = 1,
                              .seq_len = len, .positions = len, .heads = HEADS, .kv_heads = KV_HEADS,
                              .head_dim = DIM, .context = tr_all_parts(parts), .part = tr_all_parts(1)};
    tr_make_operands(arrays, &pass->op, 0, pass->operand);
    int32_t *start = pass->operand[TR_ATTN_BWD_START];
    for (int64_t t = 0, d = 0; t < len; t++) {
        d += t == first[d + 1];
        start[t] = first[d];
    }
}

static int64_t row_bytes(const struct pass *pass, int operand)
{
    return tr_op_operand_bytes(&pass->op, operand) / pass->op.seq_len;
}

/* 0xff in every byte of a row is NaN, in fp32 and in bf16. */
static void spoil_all_but(struct pass *pass, int document)
{
    static const int inputs[] = {TR_ATTN_BWD_Q, TR_ATTN_BWD_K, TR_ATTN_BWD_V, TR_ATTN_BWD_DO};
    for (size_t i = 0; i < sizeof inputs / sizeof inputs[0]; i++) {
        int64_t bytes = row_bytes(pass, inputs[i]);
        char *rows = pass->operand[inputs[i]];
        memset(rows, 0xff, (size_t)(first[document] * bytes));
        memset(rows + first[document + 1] * bytes, 0xff, (size_t)((LEN - first[document + 1]) * bytes));
    }
}

static const int results[] = {TR_ATTN_BWD_O, TR_ATTN_BWD_STATS, TR_ATTN_BWD_DQ, TR_ATTN_BWD_DK, TR_ATTN_BWD_DV};

enum { RESULTS = sizeof results / sizeof results[0] };

static void check_same(const struct pass *a, int64_t a_row, const struct pass *b, int64_t b_row, int64_t rows,
                       const char *what)
{
    for (size_t i = 0; i < RESULTS; i++) {
        int64_t bytes = row_bytes(a, results[i]);
        const char *x = (const char *)a->operand[results[i]] + a_row * bytes;
        const char *y = (const char *)b->operand[results[i]] + b_row * bytes;
        if (memcmp(x, y, (size_t)(rows * bytes)) != 0)
            fail_msg("%s, %d context parts: %s of a document %s", tr_dtype_name(a->op.act), a->op.context.parts,
                     tr_op_operands(TR_OP_ATTN_BWD)->operand[results[i]].name, what);
    }
}

static void nothing_of_another_document_is_seen(const struct tr_kernel_set *set, enum tr_dtype type, int parts)
{
    struct tr_arrays arrays = {0};
    struct pass whole;
    make_pass(&arrays, &whole, type, LEN, parts);
    run_both(set, &whole);
    for (int d = 0; d < DOCUMENTS; d++) {
        struct pass spoilt;
        int mark = arrays.count;
        make_pass(&arrays, &spoilt, type, LEN, parts);
        for (int i = TR_ATTN_BWD_Q; i <= TR_ATTN_BWD_DO; i++)
            memcpy(spoilt.operand[i], whole.operand[i], (size_t)tr_op_operand_bytes(&whole.op, i));
        spoil_all_but(&spoilt, d);
        run_both(set, &spoilt);
        check_same(&whole, first[d], &spoilt, first[d], first[d + 1] - first[d], "changes with the others");
        tr_arrays_free(&arrays, mark);
    }
    tr_arrays_free(&arrays, 0);
}

static void what_another_document_holds_changes_no_bit(void **state)
{
    (void)state;
    const struct tr_kernel_set *set;
    for (int i = 0; tr_next_set(i, &set); i++)
        for (int parts = 1; parts <= 4; parts++)
            for (int type = TR_F32; type <= TR_BF16; type++)
                nothing_of_another_document_is_seen(set, (enum tr_dtype)type, parts);
}

static void a_document_that_begins_a_key_block_has_the_bits_that_it_has_alone(void **state)
{
    (void)state;
    const struct tr_kernel_set *set;
    enum { D = DOCUMENTS - 1 }; /* it begins at 128 */
    const int64_t len = LEN - first[D];
    for (int i = 0; tr_next_set(i, &set); i++) {
        for (int type = TR_F32; type <= TR_BF16; type++) {
            struct tr_arrays arrays = {0};
            struct pass packed, alone;
            make_pass(&arrays, &packed, (enum tr_dtype)type, LEN, 1);
            make_pass(&arrays, &alone, (enum tr_dtype)type, len, 1);
            run_both(set, &packed);
            alone.op.flags = 0;
            alone.operand[TR_ATTN_BWD_START] = NULL;
            static const int inputs[] = {TR_ATTN_BWD_Q, TR_ATTN_BWD_K, TR_ATTN_BWD_V, TR_ATTN_BWD_DO};
            for (size_t k = 0; k < 4; k++)
                memcpy(alone.operand[inputs[k]],
                       (const char *)packed.operand[inputs[k]] + first[D] * row_bytes(&packed, inputs[k]),
                       (size_t)(len * row_bytes(&packed, inputs[k])));
            run_both(set, &alone);
            check_same(&packed, first[D], &alone, 0, len, "is not what it is alone");
            tr_arrays_free(&arrays, 0);
        }
    }
}

/* bf16: dv is a chain of pairs of queries (even, odd), of which the odd one comes first. Every later query of the document
 * sees its first key alone, with p = 1, and do is 1, 2^24 and -2^24 in three of them, so that 1 is left: 1 - 2^24 is a float. The
 * even one first it would be 0: 1 + 2^24 is none. */
static void a_pair_of_queries_is_whole_where_a_document_begins_at_an_odd_position(void **state)
{
    (void)state;
    enum { KEY = 63, TOKEN = HEADS * DIM, KV_TOKEN = KV_HEADS * DIM };
    const struct tr_kernel_set *set;
    for (int i = 0; tr_next_set(i, &set); i++) {
        for (int even = KEY + 3; even + 1 < first[3]; even += 2) {
            struct tr_arrays arrays = {0};
            struct pass pass;
            make_pass(&arrays, &pass, TR_BF16, LEN, 1);
            memset(pass.operand[TR_ATTN_BWD_K], 0, (size_t)(LEN * row_bytes(&pass, TR_ATTN_BWD_K)));
            memset(pass.operand[TR_ATTN_BWD_DO], 0, (size_t)(LEN * row_bytes(&pass, TR_ATTN_BWD_DO)));
            for (int64_t t = 0; t < LEN * TOKEN; t++)
                tr_store(pass.operand[TR_ATTN_BWD_Q], TR_BF16, t, 8.0f);
            for (int64_t d = 0; d < KV_TOKEN; d++)
                tr_store(pass.operand[TR_ATTN_BWD_K], TR_BF16, KEY * KV_TOKEN + d, 8.0f);
            for (int64_t d = 0; d < TOKEN; d++) {
                tr_store(pass.operand[TR_ATTN_BWD_DO], TR_BF16, KEY * TOKEN + d, 1.0f);
                tr_store(pass.operand[TR_ATTN_BWD_DO], TR_BF16, even * TOKEN + d, 0x1p24f);
                tr_store(pass.operand[TR_ATTN_BWD_DO], TR_BF16, (even + 1) * TOKEN + d, -0x1p24f);
            }
            run_both(set, &pass);
            for (int64_t d = 0; d < KV_TOKEN; d++) /* the sum of HEADS / KV_HEADS heads */
                assert_float_equal(tr_load(pass.operand[TR_ATTN_BWD_DV], TR_BF16, KEY * KV_TOKEN + d), 2.0f, 0.0f);
            tr_arrays_free(&arrays, 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_another_document_holds_changes_no_bit),
        cmocka_unit_test(a_document_that_begins_a_key_block_has_the_bits_that_it_has_alone),
        cmocka_unit_test(a_pair_of_queries_is_whole_where_a_document_begins_at_an_odd_position),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
