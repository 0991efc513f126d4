/* The list of cases. Each list_* function adds the cases of some kinds; add() makes the fp32 and the bf16 case. */
#include "lib/opcase.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct list {
    struct tr_opcase *cases;
    int count, capacity;
};

static void append(struct list *list, struct tr_opcase test)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity == 0 ? 64 : 2 * list->capacity;
        list->cases = realloc(list->cases, (size_t)list->capacity * sizeof test);
        TR_ASSERT(list->cases != NULL);
    }
    list->cases[list->count++] = test;
}

static void add(struct list *list, struct tr_opcase test)
{
    test.op.act = test.op.weight = TR_F32;
    append(list, test);
    test.op.act = test.op.weight = TR_BF16;
    append(list, test);
}

/* The same also with documents that stand apart. */
static void add_apart(struct list *list, struct tr_opcase test)
{
    add(list, test);
    test.op.flags |= TR_OP_APART;
    add(list, test);
}

static struct tr_opcase blank(enum tr_op_kind kind, int64_t seqs, int64_t seq_len)
{
    return (struct tr_opcase){.op = {.kind = kind,
                                     .seqs = seqs,
                                     .seq_len = seq_len,
                                     .heads = 1,
                                     .segments = 1,
                                     .eps = 1e-5f,
                                     .context = tr_all_parts(1),
                                     .part = tr_all_parts(1),
                                     .quantum = {1, 1, 1}}};
}

/* So many context parts, or fewer, so that none is empty: a program refuses such a layout. */
static int context_parts(int64_t seq_len, int wanted)
{
    int blocks = (int)(seq_len / TR_CONTEXT_QUANTUM);
    return wanted <= blocks ? wanted : blocks < 1 ? 1 : blocks;
}

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

/* ---- linear ----------------------------------------------------------------------------------------------------- */

enum { BIAS_NONE, BIAS_ALL, BIAS_SOME };

static bool is_forward(enum tr_op_kind kind) { return kind == TR_OP_LINEAR || kind == TR_OP_LINEAR_PACKED; }

/* Which biases (and, forward, whether the residual) are there. */
static uint32_t linear_absent(enum tr_op_kind kind, int bias, bool residual)
{
    int first = is_forward(kind) ? TR_LINEAR_B : TR_LINEAR_DW_DB;
    uint32_t absent = 0;
    if (kind == TR_OP_LINEAR_DX)
        return 0;
    if (bias != BIAS_ALL)
        absent |= 1u << first | 1u << (first + 2);
    if (bias == BIAS_NONE)
        absent |= 1u << (first + 1);
    if (is_forward(kind) && !residual)
        absent |= 1u << TR_LINEAR_RESIDUAL;
    return absent;
}

static struct tr_opcase linear(enum tr_op_kind kind, int64_t seqs, int64_t seq_len, int64_t in, int64_t out)
{
    struct tr_opcase test = blank(kind, seqs, seq_len);
    test.op.in = in;
    test.op.out[0] = out;
    test.absent = linear_absent(kind, BIAS_NONE, false);
    return test;
}

static void list_linear_tails(struct list *list, enum tr_op_kind kind)
{
    static const int64_t near[] = {7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65};
    for (int64_t n = 1; n <= 70; n++) { /* every width of both matrix axes, every small number of tokens */
        struct tr_opcase test = linear(kind, 1, n % 13 + 1, n * 7 % 70 + 1, n);
        test.absent = linear_absent(kind, (int)(n % 2), n % 3 == 0);
        test.op.flags = is_forward(kind) && n % 6 == 1 ? TR_OP_Y_F32 : 0; /* without a residual */
        add(list, test);
    }
    for (size_t i = 0; i < COUNT_OF(near); i++) {
        add(list, linear(kind, 1, near[i], near[COUNT_OF(near) - 1 - i], near[(5 * i + 3) % COUNT_OF(near)]));
        add(list, linear(kind, 1, near[i], near[i], near[i]));
    }
}

static void list_linear_segments(struct list *list, enum tr_op_kind kind)
{
    static const int64_t out[][TR_OP_SEGMENTS_MAX] = {{48, 16, 16}, {33, 7, 1}, {5, 64, 17}};
    for (size_t i = 0; i < COUNT_OF(out); i++) {
        for (int32_t segments = 1; segments <= TR_OP_SEGMENTS_MAX; segments++) {
            for (int bias = BIAS_NONE; bias <= BIAS_SOME; bias++) {
                struct tr_opcase test = linear(kind, 2, 9, 21, 0);
                test.op.segments = segments;
                memcpy(test.op.out, out[i], sizeof test.op.out);
                test.absent = linear_absent(kind, bias, segments == 1);
                if (kind == TR_OP_LINEAR_DX && bias != BIAS_NONE)
                    continue;
                add(list, test);
            }
        }
    }
}

/* Cuts into 1 .. 7 parts, a part of which may be empty, and sub-ranges with equal shares. */
static void list_linear_parts(struct list *list, enum tr_op_kind kind)
{
    static const int parts[] = {1, 2, 3, 5, 7};
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        for (int row_parallel = 0; row_parallel < 2; row_parallel++) {
            struct tr_opcase test = linear(kind, 1, 70, 46, 22);
            test.op.flags = row_parallel ? TR_OP_ROW_PARALLEL : 0;
            test.op.part = tr_all_parts(parts[i]);
            test.op.segments = row_parallel ? 1 : 3;
            test.op.out[1] = 14;
            test.op.out[2] = 6;
            test.op.quantum[0] = 4;
            test.op.quantum[1] = test.op.quantum[2] = 2;
            test.absent = linear_absent(kind, BIAS_ALL, row_parallel);
            add(list, test);
            if (parts[i] < 3)
                continue;
            test.op.part = (struct tr_parts){parts[i], 1, parts[i]};
            test.op.in = test.op.out[0] = 4 * (parts[i] - 1);
            test.op.out[1] = test.op.out[2] = 2 * (parts[i] - 1);
            test.op.whole[0] = 4 * parts[i];
            test.op.whole[1] = test.op.whole[2] = 2 * parts[i];
            bool sums = kind == TR_OP_LINEAR ? row_parallel : kind == TR_OP_LINEAR_DX && !row_parallel;
            test.absent = linear_absent(kind, sums ? BIAS_NONE : BIAS_ALL, false);
            add(list, test);
        }
    }
}

/* A product C[m, n] = sum over k, whichever axes those are. */
static struct tr_opcase product(enum tr_op_kind kind, int64_t m, int64_t n, int64_t k)
{
    switch (kind) {
    case TR_OP_LINEAR:
        return linear(kind, 1, m, k, n);
    case TR_OP_LINEAR_DX:
        return linear(kind, 1, m, n, k);
    default:
        return linear(kind, 1, k, n, m);
    }
}

/* Larger than every block of a blocked kernel, one axis or two at a time; with partial sums of several parts too. From 1,101
 * rows on threads share what is packed. */
static void list_linear_blocks(struct list *list, enum tr_op_kind kind)
{
    static const int64_t size[][3] = {{250, 35, 9},   {110, 1060, 14}, {3, 2100, 20},  {110, 40, 1700},
                                      {12, 40, 3300}, {1101, 1060, 3}, {1101, 16, 780}};
    for (size_t i = 0; i < COUNT_OF(size); i++) {
        struct tr_opcase test = product(kind, size[i][0], size[i][1], size[i][2]);
        add(list, test);
        test.op.part = tr_all_parts(7);
        test.op.quantum[0] = 2;
        test.op.flags = kind == TR_OP_LINEAR ? TR_OP_ROW_PARALLEL : 0;
        if (kind != TR_OP_LINEAR_DW)
            add(list, test);
    }
    struct tr_opcase test =
        linear(kind, 70, 3, 80, 80); /* many short sequences: blocks of 3 tokens; many small parts */
    test.op.part = tr_all_parts(40);
    test.op.quantum[0] = 2;
    test.op.flags = kind == TR_OP_LINEAR ? TR_OP_ROW_PARALLEL : 0;
    test.absent = linear_absent(kind, BIAS_ALL, true);
    add(list, test);
}

/* Several panels of rows and columns with several blocks of k, in units that can be packed while others are multiplied
 * and ends that cannot: whole vectors and not, three segments, sequences that end within a block. */
static void list_linear_panels(struct list *list, enum tr_op_kind kind)
{
    static const int64_t size[][3] = {{300, 272, 304}, {301, 531, 203}, {224, 160, 640}};
    for (size_t i = 0; i < COUNT_OF(size); i++)
        add(list, product(kind, size[i][0], size[i][1], size[i][2]));
    struct tr_opcase test = linear(kind, 3, 97, 272, 136);
    test.op.segments = 3;
    test.op.out[1] = 100;
    test.op.out[2] = 68;
    test.absent = linear_absent(kind, BIAS_ALL, false);
    add(list, test);
}

/* Few rows, that is decoding, with parts that end anywhere in a vector; the engine of gemm.h has a way of its own. */
static void list_linear_few_rows(struct list *list, enum tr_op_kind kind)
{
    for (int64_t rows = 1; rows <= 5; rows++) {
        struct tr_opcase test = linear(kind, 1, rows, 43, 50);
        test.op.flags = kind == TR_OP_LINEAR ? TR_OP_ROW_PARALLEL : 0;
        test.op.part = tr_all_parts((int)rows);
        test.absent = linear_absent(kind, BIAS_ALL, true);
        add(list, test);
    }
}

static void list_linear(struct list *list, enum tr_op_kind kind)
{
    list_linear_tails(list, kind);
    list_linear_segments(list, kind);
    list_linear_parts(list, kind);
    list_linear_blocks(list, kind);
    list_linear_panels(list, kind);
    list_linear_few_rows(list, kind);
    add(list, linear(kind, 1, 257, 130, 35)); /* more than one tile of every blocked loop */
    add(list, linear(kind, 1, 1, 600, 520));  /* one token: decoding */
    add(list, linear(kind, 1, 20, 1100, 20));
    add(list, linear(kind, 1, 7, 20, 1100));
    add(list, linear(kind, 3, 100, 10, 300));
    struct tr_opcase odd = linear(kind, 1, 30, 20, 383); /* as pairs, each share rounded up, just over a packed panel */
    odd.op.segments = 3;
    odd.op.out[1] = 1;
    odd.op.out[2] = 383;
    add(list, odd);
    for (int fill = TR_FILL_EDGE; fill <= TR_FILL_LARGE; fill++) {
        struct tr_opcase test = linear(kind, 2, 33, 37, 21);
        test.fill = (enum tr_fill)fill;
        test.absent = linear_absent(kind, BIAS_ALL, true);
        add(list, test);
    }
}

/* Every type of weights: those of the activations, and blocks with activations of either type. */
static void add_packed(struct list *list, struct tr_opcase test)
{
    add(list, test);
    for (int type = TR_INT8; type <= TR_INT4; type++)
        for (int act = TR_F32; act <= TR_BF16; act++) {
            test.op.act = (enum tr_dtype)act;
            test.op.weight = (enum tr_dtype)type;
            append(list, test);
        }
}

static void list_packed(struct list *list)
{
    const enum tr_op_kind kind = TR_OP_LINEAR_PACKED;
    static const int64_t near[] = {31, 32, 33, 63, 64, 65, 96, 97};
    for (int64_t n = 1; n <= 70; n++) { /* every width of both axes, every small number of tokens */
        struct tr_opcase test = linear(kind, 1, n % 15 + 1, n * 7 % 70 + 1, n);
        test.absent = linear_absent(kind, (int)(n % 2), n % 3 == 0);
        test.op.flags = n % 6 == 1 ? TR_OP_Y_F32 : 0;
        add_packed(list, test);
    }
    for (size_t i = 0; i < COUNT_OF(near); i++)
        add_packed(list, linear(kind, 1, near[i], near[COUNT_OF(near) - 1 - i], near[(3 * i + 1) % COUNT_OF(near)]));
    for (int32_t segments = 1; segments <= TR_OP_SEGMENTS_MAX; segments++)
        for (int bias = BIAS_NONE; bias <= BIAS_SOME; bias++) {
            struct tr_opcase test = linear(kind, 2, 1 + 4 * bias, 70, 48);
            test.op.segments = segments;
            test.op.out[1] = 16;
            test.op.out[2] = 35;
            test.absent = linear_absent(kind, bias, segments == 1);
            add_packed(list, test);
        }
    static const int parts[] = {2, 3, 5, 7, 40};
    for (size_t i = 0; i < COUNT_OF(parts); i++) { /* a part may be empty */
        struct tr_opcase test = linear(kind, 1, 3 * (int64_t)i + 1, 83, 37);
        test.op.flags = TR_OP_ROW_PARALLEL;
        test.op.part = tr_all_parts(parts[i]);
        test.op.quantum[0] = 2;
        test.absent = linear_absent(kind, BIAS_ALL, true);
        add_packed(list, test);
    }
    for (int n = 2; n <= 4; n++) { /* parts of the outputs, which are no sums */
        struct tr_opcase test = linear(kind, 1, 5, 48, 36);
        test.op.part = tr_all_parts(n);
        test.absent = linear_absent(kind, BIAS_ALL, true);
        add_packed(list, test);
    }
    add_packed(list, linear(kind, 1, 1, 600, 520)); /* one token: decoding */
    add_packed(list, linear(kind, 3, 90, 130, 70));
    for (int fill = TR_FILL_EDGE; fill <= TR_FILL_LARGE; fill++) {
        struct tr_opcase test = linear(kind, 2, 13, 77, 41);
        test.fill = (enum tr_fill)fill;
        test.absent = linear_absent(kind, BIAS_ALL, true);
        add_packed(list, test);
    }
}

static void list_pack(struct list *list)
{
    for (int64_t n = 1; n <= 70; n++) {
        struct tr_opcase test = linear(TR_OP_PACK, 1, 1, n * 7 % 100 + 1, n);
        test.fill = (enum tr_fill)(n % 3);
        test.absent = n % 4 == 0 ? 1u << TR_PACK_ERROR : 0;
        add_packed(list, test);
    }
}

/* Sums over tokens: block ends, several sequences, context parts whole and in sub-ranges. */
static void list_linear_dw_tokens(struct list *list)
{
    static const int64_t seq_len[] = {1, 63, 64, 65, 130, 256, 257, 513};
    for (size_t i = 0; i < COUNT_OF(seq_len); i++) {
        for (int context = 1; context <= 3; context++) {
            for (int row_parallel = 0; row_parallel < 2; row_parallel++) {
                struct tr_opcase test = linear(TR_OP_LINEAR_DW, i % 3 + 1, seq_len[i], 9, 10);
                test.op.flags = row_parallel ? TR_OP_ROW_PARALLEL : 0;
                test.op.context = tr_all_parts(context_parts(seq_len[i], context));
                test.op.part = tr_all_parts((int)i % 4 + 1);
                test.absent = linear_absent(TR_OP_LINEAR_DW, BIAS_ALL, false);
                add(list, test);
            }
        }
    }
    struct tr_opcase test = linear(TR_OP_LINEAR_DW, 2, 128, 20, 12);
    test.op.flags = TR_OP_ROW_PARALLEL;
    test.op.context = (struct tr_parts){5, 1, 3};
    test.op.whole_seq_len = 320;
    test.op.part = (struct tr_parts){7, 3, 5};
    test.absent = linear_absent(TR_OP_LINEAR_DW, BIAS_ALL, false);
    add(list, test);
}

/* ---- attention and rope ----------------------------------------------------------------------------------------- */

static struct tr_opcase attention(enum tr_op_kind kind, int64_t seqs, int64_t seq_len, int heads, int kv_heads, int dim)
{
    struct tr_opcase test = blank(kind, seqs, seq_len);
    test.op.heads = heads;
    test.op.kv_heads = kv_heads;
    test.op.head_dim = dim;
    test.op.positions = seq_len;
    return test;
}

static void list_attention(struct list *list, enum tr_op_kind kind)
{
    static const int64_t seq_len[] = {1, 2, 5, 31, 63, 64, 65, 130};
    static const int shape[][3] = {{1, 1, 64}, {2, 1, 16}, {4, 2, 4}, {3, 3, 2}, {9, 3, 8}};
    static const int dims[] = {2, 3, 4, 16, 33, 40, 64, 80, 96, 128, 256};
    for (size_t i = 0; i < COUNT_OF(seq_len); i++)
        for (size_t j = 0; j < COUNT_OF(shape); j++)
            if (seq_len[i] <= 65 || j < 3)
                add_apart(list, attention(kind, j % 2 + 1, seq_len[i], shape[j][0], shape[j][1], shape[j][2]));
    for (size_t i = 0; i < COUNT_OF(dims); i++)
        add_apart(list, attention(kind, 1, 33, 2, 2, dims[i]));
    for (int heads = 1; heads <= 9; heads++)
        add(list, attention(kind, 1, 17, heads, heads % 4 == 0 ? heads / 4 : 1, 4));
    for (int parts = 1; parts <= 5; parts++) {
        struct tr_opcase test = attention(kind, 1, 300, parts % 2 + 1, 1, 2);
        test.op.context = tr_all_parts(parts); /* 5 parts of 4 blocks: one is empty */
        add_apart(list, test);
    }
    struct tr_opcase long_one = attention(kind, 1, 257, 1, 1, 8);
    long_one.op.context = tr_all_parts(2);
    add_apart(list, long_one);
    struct tr_opcase many = attention(kind, 7, 200, 3, 1, 6); /* documents of every kind, over three parts */
    many.op.context = tr_all_parts(3);
    add_apart(list, many);
    for (int fill = TR_FILL_EDGE; fill <= TR_FILL_LARGE; fill++) {
        struct tr_opcase test = attention(kind, 1, 70, 2, 1, 12);
        test.fill = (enum tr_fill)fill;
        add_apart(list, test);
        struct tr_opcase parts = attention(kind, 5, 192, 2, 1, 4);
        parts.op.context = tr_all_parts(3);
        parts.fill = (enum tr_fill)fill;
        add_apart(list, parts);
    }
}

static void add_cached(struct list *list, struct tr_opcase test)
{
    add(list, test);
    test.op.flags = TR_OP_BY_HEAD;
    add(list, test);
}

/* Generation: a few queries after keys that are in the cache, whose last rows are not written yet; the cache as rows of
 * all heads, and by head. Heads of 64, and groups of few and of many heads: values are read in place or packed. */
static void list_attention_cached(struct list *list)
{
    static const int64_t position[] = {1, 5, 62, 63, 64, 100, 128, 255};
    for (size_t i = 0; i < COUNT_OF(position); i++) {
        for (int64_t seq_len = 1; seq_len <= 3; seq_len += 2) {
            struct tr_opcase test = attention(TR_OP_ATTN, i % 2 + 1, seq_len, 4, 2, 8);
            test.position = position[i];
            test.op.positions = position[i] + seq_len + (int64_t)(i % 3) * 37;
            add_cached(list, test);
            if (test.op.positions < 2 * TR_CONTEXT_QUANTUM)
                continue;
            test.op.context = tr_all_parts(2);
            add_cached(list, test);
        }
        static const int shape[][3] = {{3, 3, 64}, {9, 3, 64}, {6, 1, 16}, {7, 1, 32}, {2, 2, 80}, {2, 1, 128}};
        for (size_t j = 0; j < COUNT_OF(shape); j++) {
            struct tr_opcase test = attention(TR_OP_ATTN, 1, 1, shape[j][0], shape[j][1], shape[j][2]);
            test.position = position[i];
            test.op.positions = position[i] + 1 + (int64_t)(j % 2) * 70;
            test.fill = (enum tr_fill)((i + j) % 3);
            add_cached(list, test);
        }
    }
}

static void list_rope(struct list *list)
{
    static const int dims[] = {2, 4, 6, 16, 32, 34, 64, 80, 128};
    for (size_t i = 0; i < COUNT_OF(dims); i++) {
        for (int inverse = 0; inverse < 2; inverse++) {
            struct tr_opcase test = blank(TR_OP_ROPE, 2, 7 * (int64_t)i % 11 + 1);
            test.op.heads = (int32_t)i + 1;
            test.op.head_dim = dims[i];
            test.position = inverse ? 0 : (int64_t)i * 5;
            test.op.positions = test.op.seq_len + test.position + (int64_t)i % 2;
            test.op.flags = inverse ? TR_OP_INVERSE : 0;
            test.fill = (enum tr_fill)(i % 3);
            add_apart(list, test);
        }
    }
}

/* ---- norms ------------------------------------------------------------------------------------------------------ */

static void add_norm(struct list *list, struct tr_opcase test, int variant)
{
    bool backward = test.op.kind == TR_OP_NORM_BWD;
    test.op.flags = (variant & 1 ? TR_OP_RMS : 0) | (backward && variant & 2 ? TR_OP_ADD_DX : 0);
    bool bias = (variant & 1) == 0 && (variant & 4) == 0;
    test.absent = bias ? 0 : 1u << (backward ? TR_NORM_BWD_DBIAS : TR_NORM_BIAS);
    add(list, test);
}

static void list_norm(struct list *list, enum tr_op_kind kind)
{
    static const int64_t wide[] = {127, 128, 129, 200, 300, 768};
    for (int64_t width = 1; width <= 70; width++) {
        struct tr_opcase test = blank(kind, 1, width % 5 + 1);
        test.op.width = width;
        add_norm(list, test, (int)width);
        add_norm(list, test, (int)width + 1);
    }
    for (size_t i = 0; i < COUNT_OF(wide); i++) {
        struct tr_opcase test = blank(kind, 2, 5);
        test.op.width = wide[i];
        for (int variant = 0; variant < 8; variant++)
            add_norm(list, test, variant);
        test.absent = 1u << TR_NORM_BWD_DGAIN | 1u << TR_NORM_BWD_DBIAS; /* a norm that is not trained */
        test.op.flags = i % 2 ? TR_OP_RMS | TR_OP_ADD_DX : 0;
        if (kind == TR_OP_NORM_BWD)
            add(list, test);
    }
    for (int heads = 2; heads <= 9; heads++) { /* query and key norms */
        struct tr_opcase test = blank(kind, 2, 7);
        test.op.heads = heads;
        test.op.width = 8 * (heads % 3) + 5;
        add_norm(list, test, heads);
    }
    for (int variant = 0; variant < 4; variant++) {
        struct tr_opcase test = blank(kind, 1, 9);
        test.op.width = 37;
        test.fill = variant & 2 ? TR_FILL_EDGE : TR_FILL_LARGE;
        add_norm(list, test, variant);
    }
}

static void list_norm_bwd_tokens(struct list *list)
{
    static const int64_t seq_len[] = {1, 63, 64, 65, 130, 257, 513};
    static const int parts[] = {1, 2, 3, 5, 7};
    for (size_t i = 0; i < COUNT_OF(seq_len); i++) {
        for (size_t j = 0; j < COUNT_OF(parts); j++) {
            struct tr_opcase test = blank(TR_OP_NORM_BWD, j % 2 + 1, seq_len[i]);
            test.op.width = 5 + (int64_t)i;
            test.op.context = tr_all_parts(context_parts(seq_len[i], (int)j % 3 + 1));
            test.op.part = tr_all_parts(parts[j]);
            add_norm(list, test, (int)(i + j));
            if (seq_len[i] > 65 && j != i % COUNT_OF(parts))
                continue; /* the reference takes its time */
            test.op.heads = parts[j] + (int)i % 3 + 1;
            add_norm(list, test, (int)(i + j) | 1);
        }
    }
    struct tr_opcase test = blank(TR_OP_NORM_BWD, 2, 256);
    test.op.width = 6;
    test.op.context = (struct tr_parts){5, 1, 3};
    test.op.part = (struct tr_parts){7, 3, 5};
    test.op.whole_seq_len = 5 * 448; /* 2 of 7 sequence parts of each of 2 context parts */
    add_norm(list, test, 0);
    test.op.whole_seq_len = 5 * 128;
    test.op.heads = 4;
    test.op.whole[0] = 14;
    add_norm(list, test, 1);
}

/* ---- embedding, head, rows -------------------------------------------------------------------------------------- */

static void list_embed(struct list *list, enum tr_op_kind kind)
{
    static const int64_t vocab[] = {1, 5, 257, 1003};
    static const int64_t seq_len[] = {1, 63, 64, 65, 130, 300};
    for (int64_t width = 1; width <= 70; width += width < 20 ? 1 : 5) {
        struct tr_opcase test = blank(kind, width % 3 + 1, seq_len[width % 6]);
        test.op.width = width;
        test.op.vocab = vocab[width % 4];
        test.position = kind == TR_OP_EMBED ? width % 5 : 0;
        test.op.positions = test.op.seq_len + test.position + width % 2;
        test.fill = (enum tr_fill)(width % 3);
        test.absent = width % 4 == 0 ? 1u << (kind == TR_OP_EMBED ? TR_EMBED_WPE : TR_EMBED_BWD_DWPE) : 0;
        if (kind == TR_OP_EMBED_BWD)
            test.op.context = tr_all_parts(context_parts(test.op.seq_len, (int)(width % 3 + 1)));
        add_apart(list, test);
    }
    struct tr_opcase test = blank(kind, 2, 128);
    test.op.width = 9;
    test.op.vocab = 31;
    test.op.positions = 320;
    test.op.context = (struct tr_parts){5, 2, 4};
    test.op.whole_seq_len = 320;
    add(list, test);
}

static struct tr_opcase head(int64_t seqs, int64_t seq_len, int64_t width, int64_t vocab, bool grad)
{
    struct tr_opcase test = blank(TR_OP_HEAD, seqs, seq_len);
    test.op.width = width;
    test.op.vocab = vocab;
    test.op.flags = grad ? TR_OP_GRAD : 0;
    test.absent = grad ? 0 : 1u << TR_HEAD_DX | 1u << TR_HEAD_DW;
    return test;
}

static void list_head(struct list *list)
{
    static const int64_t vocab[] = {1, 5, 257};
    static const int parts[] = {1, 2, 3, 5, 7};
    static const int64_t seq_len[] = {63, 64, 65, 130, 257, 300};
    for (int64_t width = 1; width <= 70; width += width < 34 ? 1 : 3)
        add(list, head(width % 2 + 1, width % 7 + 1, width, vocab[width % 3], width % 5 != 0));
    for (int64_t size = 1; size <= 40; size++)
        add(list, head(1, size % 9 + 1, 12, size, true));
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        struct tr_opcase test = head(1, 20, 18, 101, true);
        test.op.part = tr_all_parts(parts[i]);
        add(list, test);
    }
    for (size_t i = 0; i < COUNT_OF(seq_len); i++) { /* tiles of rows, leaves */
        struct tr_opcase test = head((int64_t)i % 3 + 1, seq_len[i], 5, 25, i != 2);
        test.op.context = tr_all_parts(context_parts(seq_len[i], (int)i % 3 + 1));
        test.op.part = tr_all_parts(parts[i % COUNT_OF(parts)]);
        add(list, test);
    }
    for (int64_t width = 7; width <= 40; width += 11) { /* a head that is not trained */
        struct tr_opcase frozen = head(2, 70, width, 33, true);
        frozen.absent = 1u << TR_HEAD_DW;
        add(list, frozen);
    }
    add(list, head(1, 9, 20, 1003, true));
    add(list, head(1, 130, 3, 2100, true)); /* more than every block of a blocked kernel */
    add(list, head(40, 3, 5, 30, true));
    struct tr_opcase none = head(1, 5, 8, 50, true);
    none.no_targets = true;
    add(list, none);
    struct tr_opcase share = head(2, 128, 6, 21, true);
    share.op.context = (struct tr_parts){5, 1, 3};
    share.op.whole_seq_len = 320;
    add(list, share);
    for (int fill = TR_FILL_EDGE; fill <= TR_FILL_LARGE; fill++) {
        struct tr_opcase test = head(1, 9, 21, 45, true);
        test.fill = (enum tr_fill)fill;
        add(list, test);
    }
}

/* Element-wise kinds and copies of rows: tokens x width. */
static void list_rows(struct list *list, enum tr_op_kind kind)
{
    for (int64_t width = 1; width <= 70; width++) {
        struct tr_opcase test = blank(kind, width % 3 + 1, width % 5 + 1);
        test.op.width = width;
        test.fill = (enum tr_fill)(width % 3);
        add(list, test);
    }
    struct tr_opcase test = blank(kind, 2, 130);
    test.op.width = 257;
    add(list, test);
}

static void list_linear_end(struct list *list)
{
    for (int n = 0; n < 4 * 70; n++) { /* every small width, with and without bias and residual */
        struct tr_opcase test = blank(TR_OP_LINEAR_END, n % 3 + 1, n % 5 + 1);
        test.op.width = n / 4 + 1;
        test.absent = (n & 1 ? 1u << TR_LINEAR_END_B : 0) | (n & 2 ? 1u << TR_LINEAR_END_RESIDUAL : 0);
        test.fill = (enum tr_fill)(n % 3);
        add(list, test);
    }
    struct tr_opcase test = blank(TR_OP_LINEAR_END, 2, 130);
    test.op.width = 257;
    add(list, test);
}

static void list_kv_append(struct list *list)
{
    for (int dim = 1; dim <= 70; dim++) {
        struct tr_opcase test = blank(TR_OP_KV_APPEND, dim % 3 + 1, dim % 5 + 1);
        test.op.kv_heads = dim % 4 + 1;
        test.op.head_dim = dim;
        test.position = dim % 4 * 3;
        test.op.positions = test.op.seq_len + test.position + dim % 2;
        test.fill = (enum tr_fill)(dim % 3);
        add(list, test);
    }
}

static void list_split(struct list *list)
{
    for (int n = 0; n < 120; n++) {
        struct tr_opcase test = blank(TR_OP_SPLIT, n % 3 + 1, n % 7 == 0 ? 330 : n % 5 + 1);
        int members = n % 4 + 1;
        test.op.heads = n % 4 + members;
        test.op.head_dim = n % 9 + 1;
        test.op.context = tr_all_parts(test.op.seq_len > 64 ? 5 : 1);
        test.op.part = tr_all_parts(n & 1 || test.op.seq_len > 64 ? members : 1);
        test.op.flags = (n & 1 ? TR_OP_BY_HEAD : 0) | (n & 2 ? TR_OP_INVERSE : 0);
        if (!(n & 2) && n % 5 == 0) /* one member's part alone */
            test.op.part.first = test.op.part.last - 1;
        test.fill = (enum tr_fill)(n % 3);
        add(list, test);
    }
}

static void list_take(struct list *list)
{
    for (int n = 0; n < 60; n++) {
        int contexts = n % 5 + 1, parts = n % 7 + 1;
        int64_t len = 64 * contexts + n % 11 * 7;
        struct tr_opcase test = blank(TR_OP_TAKE, n % 3 + 1, len);
        test.op.whole_seq_len = len;
        test.op.context = (struct tr_parts){contexts, n % 2 && contexts > 1 ? 1 : 0, contexts};
        test.op.seq_len -= test.op.context.first * tr_cut(len, 64, contexts, 1);
        test.op.part = (struct tr_parts){parts, parts / 3, parts - (n % 4 == 0 && parts > 2)};
        test.op.width = n % 13 + 1;
        test.fill = (enum tr_fill)(n % 3);
        add(list, test);
    }
}

/* ---- the end of a step ------------------------------------------------------------------------------------------ */

/* Decay on or off, factors, one operand or two. */
static void optimizer_options(struct tr_opcase *test, int i)
{
    static const float factor[] = {1.0f, -4.775f, 0.2f, 3.4445f, 0.0f};
    enum tr_op_kind kind = test->op.kind;
    test->op.flags = (kind == TR_OP_ADAMW || kind == TR_OP_MUON) && i % 2 ? TR_OP_DECAY : 0;
    test->op.alpha = kind == TR_OP_MIX || kind == TR_OP_MUON ? factor[i % 5] : 0.0f;
    test->op.beta = kind == TR_OP_MIX ? factor[(i + 1) % 5] : 0.0f;
    test->absent = kind == TR_OP_MIX && i % 3 == 0 ? 1u << TR_MIX_SRC : 0;
    if (i % 4 == 1)
        test->absent = kind == TR_OP_ADAMW ? 1u << TR_ADAMW_COPY : kind == TR_OP_MUON ? 1u << TR_MUON_COPY : test->absent;
}

static void list_loss(struct list *list)
{
    static const int64_t larger[] = {255, 256, 257, 1003};
    for (int64_t vocab = 1; vocab <= 70; vocab++) {
        struct tr_opcase test = blank(TR_OP_LOSS, 1, vocab % 5 + 1);
        test.op.vocab = vocab;
        test.fill = (enum tr_fill)(vocab % 3);
        add(list, test);
    }
    for (size_t i = 0; i < COUNT_OF(larger); i++) {
        struct tr_opcase test = blank(TR_OP_LOSS, 2, 3);
        test.op.vocab = larger[i];
        test.no_targets = i == 0;
        add(list, test);
    }
}

static void list_counted(struct list *list, enum tr_op_kind kind)
{
    static const int64_t larger[] = {127, 128, 129, 1000, 4096, 10007, 70000};
    for (int64_t count = 1; count <= 70; count++) {
        struct tr_opcase test = blank(kind, 1, count);
        test.op.count = count;
        test.fill = (enum tr_fill)(count % 3);
        optimizer_options(&test, (int)count);
        add(list, test);
    }
    for (size_t i = 0; i < COUNT_OF(larger); i++) {
        struct tr_opcase test = blank(kind, 1, larger[i]);
        test.op.count = larger[i];
        test.fill = i % 2 ? TR_FILL_EDGE : TR_FILL_NORMAL;
        optimizer_options(&test, (int)i);
        add(list, test);
    }
}

static void list_fold(struct list *list)
{
    for (int context = 1; context <= 9; context++) {
        for (int part = 1; part <= 9; part++) {
            struct tr_opcase test = blank(TR_OP_FOLD, 1, 1);
            test.op.count = context * 9 + part;
            test.op.context = tr_all_parts(context);
            test.op.part = tr_all_parts(part);
            test.fill = part % 4 == 0 ? TR_FILL_EDGE : TR_FILL_NORMAL;
            add(list, test);
        }
    }
    for (int first = 0; first < 7; first++)
        for (int last = first + 1; last <= 7; last++) { /* some of 7 context parts */
            struct tr_opcase test = blank(TR_OP_FOLD, 1, 1);
            test.op.count = first * 9 + last;
            test.op.context = (struct tr_parts){7, first, last};
            test.op.part = tr_all_parts(last % 3 + 1);
            add(list, test);
        }
    struct tr_opcase test = blank(TR_OP_FOLD, 1, 1);
    test.op.count = 9001;
    test.op.part = tr_all_parts(7);
    add(list, test);
}

static void list_clip(struct list *list)
{
    static const float clip_norm[] = {0.0f, 1.0f, 1e-3f, 1e6f};
    for (size_t i = 0; i < COUNT_OF(clip_norm); i++) {
        struct tr_opcase test = blank(TR_OP_CLIP, 1, 1);
        test.clip_norm = clip_norm[i];
        add(list, test);
    }
}

static void make_list(struct list *list, enum tr_op_kind kind)
{
    switch (kind) {
    case TR_OP_EMBED:
    case TR_OP_EMBED_BWD:
        list_embed(list, kind);
        break;
    case TR_OP_NORM_BWD:
        list_norm_bwd_tokens(list);
        /* fall through */
    case TR_OP_NORM:
        list_norm(list, kind);
        break;
    case TR_OP_LINEAR_PACKED:
        list_packed(list);
        break;
    case TR_OP_PACK:
        list_pack(list);
        break;
    case TR_OP_LOSS:
        list_loss(list);
        break;
    case TR_OP_LINEAR_DW:
        list_linear_dw_tokens(list);
        /* fall through */
    case TR_OP_LINEAR:
    case TR_OP_LINEAR_DX:
        list_linear(list, kind);
        break;
    case TR_OP_ATTN:
        list_attention_cached(list);
        /* fall through */
    case TR_OP_ATTN_BWD:
        list_attention(list, kind);
        break;
    case TR_OP_ROPE:
        list_rope(list);
        break;
    case TR_OP_HEAD:
        list_head(list);
        break;
    case TR_OP_GELU:
    case TR_OP_GELU_BWD:
    case TR_OP_SWIGLU:
    case TR_OP_SWIGLU_BWD:
    case TR_OP_LAST:
        list_rows(list, kind);
        break;
    case TR_OP_LINEAR_END:
        list_linear_end(list);
        break;
    case TR_OP_SPLIT:
        list_split(list);
        break;
    case TR_OP_TAKE:
        list_take(list);
        break;
    case TR_OP_KV_APPEND:
        list_kv_append(list);
        break;
    case TR_OP_ZERO:
    case TR_OP_JOIN:
    case TR_OP_LOSS_SUM:
    case TR_OP_GRAD_SQ:
    case TR_OP_ADAMW:
    case TR_OP_MUON_MOMENT:
    case TR_OP_MIX:
    case TR_OP_MUON:
    case TR_OP_CAST:
        list_counted(list, kind);
        break;
    case TR_OP_FOLD:
        list_fold(list);
        break;
    case TR_OP_CLIP:
        list_clip(list);
        break;
    case TR_OP_KIND_COUNT:
        break;
    }
}

int tr_opcases(enum tr_op_kind kind, const struct tr_opcase **cases)
{
    static struct list lists[TR_OP_KIND_COUNT];
    struct list *list = &lists[kind];
    if (list->count == 0)
        make_list(list, kind);
    *cases = list->cases;
    return list->count;
}

/* ---- about one case --------------------------------------------------------------------------------------------- */

const char *tr_opcase_name(const struct tr_opcase *test, char name[TR_OPCASE_NAME_BYTES])
{
    const struct tr_op *op = &test->op;
    snprintf(
        name, TR_OPCASE_NAME_BYTES,
        "%s %s, weights %s: %lld x %lld tokens, width %lld, in %lld, out %lld/%lld/%lld of %d, heads %d/%d x %d, vocab %lld, "
        "positions %lld from %lld, count %lld, context %d-%d of %d, part %d-%d of %d, flags %x, absent %x, fill %d, "
        "alpha %g, beta %g",
        tr_op_operands(op->kind)->name, tr_dtype_name(op->act), tr_dtype_name(op->weight), (long long)op->seqs, (long long)op->seq_len,
        (long long)op->width, (long long)op->in, (long long)op->out[0], (long long)op->out[1], (long long)op->out[2],
        op->segments, op->heads, op->kv_heads, op->head_dim, (long long)op->vocab, (long long)op->positions,
        (long long)test->position, (long long)op->count, op->context.first, op->context.last, op->context.parts,
        op->part.first, op->part.last, op->part.parts, op->flags, test->absent, (int)test->fill, (double)op->alpha,
        (double)op->beta);
    return name;
}

uint32_t tr_opcase_present(const struct tr_opcase *test)
{
    const struct tr_op_info *info = tr_op_operands(test->op.kind);
    uint32_t present = 0;
    for (int i = 0; i < info->operand_count; i++) {
        bool absent = info->operand[i].optional && test->absent >> i & 1u;
        if (tr_op_operand_shape(&test->op, i).rank > 0 && !absent)
            present |= 1u << i;
    }
    return present;
}

int64_t tr_opcase_cost(const struct tr_opcase *test)
{
    return tr_op_work(&test->op, tr_opcase_present(test), test->position).flop / 2;
}
