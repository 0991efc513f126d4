/* Operands of one case: guard zones, deterministic values, garbage where nothing may be read. */
#include "lib/opcase.h"
#include "lib/ref64.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define GUARDS_ARE_POISONED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GUARDS_ARE_POISONED 1
#endif
#endif
#if defined(GUARDS_ARE_POISONED)
#include <sanitizer/asan_interface.h>
#endif

enum { GUARD_BYTES = 512, GUARD_VALUE = 0xa5, ALIGNMENT = 64, SPARED_BYTES = 1 << 16 };

/* ---- guard zones ------------------------------------------------------------------------------------------------ */

/* The largest block that was freed is kept: workspaces of megabytes come and go by thousands, and to bring the pages of new ones
 * took a third of silicon_ops under AddressSanitizer, which always asks for new ones. One thread makes and frees. */
static struct {
    unsigned char *block;
    int64_t room;
} spare;

/* All of the block but the data is out of bounds, or nothing is. */
static void poison(const struct tr_guarded *zone, bool on)
{
#if defined(GUARDS_ARE_POISONED)
    const unsigned char *end = (const unsigned char *)zone->data + zone->bytes;
    if (on) {
        ASAN_POISON_MEMORY_REGION(zone->block, GUARD_BYTES);
        ASAN_POISON_MEMORY_REGION(end, zone->block + zone->room - end);
    } else {
        ASAN_UNPOISON_MEMORY_REGION(zone->block, zone->room);
    }
#else
    (void)zone;
    (void)on;
#endif
}

void tr_guarded_make(struct tr_guarded *zone, int64_t bytes)
{
    int64_t room = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT + 2 * GUARD_BYTES;
    if (room >= SPARED_BYTES && room <= spare.room) {
        *zone = (struct tr_guarded){.block = spare.block, .room = spare.room, .bytes = bytes};
        spare.block = NULL, spare.room = 0;
    } else {
        *zone = (struct tr_guarded){.block = aligned_alloc(ALIGNMENT, (size_t)room), .room = room, .bytes = bytes};
    }
    TR_ASSERT(zone->block != NULL);
    memset(zone->block, GUARD_VALUE, (size_t)room);
    zone->data = zone->block + GUARD_BYTES;
    poison(zone, true);
}

void tr_guarded_free(struct tr_guarded *zone)
{
    if (zone->block != NULL)
        poison(zone, false);
    if (zone->room > spare.room) {
        free(spare.block);
        spare.block = zone->block, spare.room = zone->room;
    } else {
        free(zone->block);
    }
    *zone = (struct tr_guarded){0};
}

bool tr_guarded_intact(const struct tr_guarded *zone)
{
    if (zone->block == NULL)
        return true;
    const unsigned char *after = (const unsigned char *)zone->data + zone->bytes;
    bool intact = true;
    poison(zone, false);
    for (int i = 0; i < GUARD_BYTES; i++)
        intact = intact && zone->block[i] == GUARD_VALUE && after[i] == GUARD_VALUE;
    poison(zone, true);
    return intact;
}

/* ---- values ----------------------------------------------------------------------------------------------------- */

/* The finaliser of SplitMix64 (Steele, Lea and Flood 2014) over a counter. */
uint64_t tr_test_bits(uint64_t stream, uint64_t index)
{
    uint64_t z = (stream * UINT64_C(0xd1342543de82ef95)) ^ ((index + 1) * UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

double tr_test_value(uint64_t stream, uint64_t index)
{
    uint64_t bits = tr_test_bits(stream, index);
    return ((double)(bits >> 32) + (double)(bits & UINT64_C(0xffffffff))) * 0x1p-32 - 1.0;
}

static float edge_value(uint64_t stream, uint64_t index)
{
    static const float special[] = {0.0f,        -0.0f,      1.0f,      -1.0f,   0x1p-126f, -0x1p-126f,
                                    0x1.8p-130f, -0x1p-149f, 1e-20f,    -1e-20f, 0x1p-60f,  -0x1p-66f,
                                    1e4f,        -1e4f,      0x1p-133f, 2.0f};
    uint64_t bits = tr_test_bits(stream ^ 0xed6e, index);
    return bits & 16 ? special[bits & 15] : (float)tr_test_value(stream, index);
}

static float special_value(uint64_t stream, uint64_t index)
{
    static const float special[] = {INFINITY, -INFINITY, NAN, 0x1.fep127f, -0x1.fep127f, 0.0f, -0.0f, -0x1p-149f};
    uint64_t bits = tr_test_bits(stream ^ 0x5bec, index);
    return bits % 50 == 0 ? special[bits >> 32 & 7] : (float)tr_test_value(stream, index);
}

static float value_of(enum tr_fill fill, uint64_t stream, uint64_t index)
{
    switch (fill) {
    case TR_FILL_EDGE:
        return edge_value(stream, index);
    case TR_FILL_SPECIAL:
        return special_value(stream, index);
    case TR_FILL_LARGE:
        return 1e3f * (float)tr_test_value(stream, index);
    default:
        return (float)tr_test_value(stream, index);
    }
}

void tr_test_fill(void *data, enum tr_dtype type, int64_t n, enum tr_fill fill, uint64_t stream)
{
    for (int64_t i = 0; i < n; i++)
        tr_store(data, type, i, value_of(fill, stream, (uint64_t)i));
}

/* ---- values of particular operands ------------------------------------------------------------------------------ */

static uint64_t stream_of(const struct tr_opcase *test, int operand)
{
    const struct tr_op *op = &test->op;
    uint64_t mix = (uint64_t)(op->seqs + 31 * op->seq_len + 131 * op->width + 1031 * op->in + 10007 * op->out[0]);
    return mix * 64 + (uint64_t)op->kind * 1000003 + (uint64_t)operand;
}

static void fill_indices(struct tr_opdata *data, int i)
{
    const struct tr_opcase *test = data->test;
    bool targets = test->op.kind == TR_OP_HEAD || test->op.kind == TR_OP_LOSS;
    int32_t *index = data->operand[i].data;
    int64_t n = data->operand[i].bytes / (int64_t)sizeof *index;
    for (int64_t t = 0; t < n; t++) {
        uint64_t bits = tr_test_bits(stream_of(test, i), (uint64_t)t);
        bool none = targets && (test->no_targets || bits >> 60 == 0);
        index[t] = none ? -1 : (int32_t)(bits % (uint64_t)test->op.vocab);
    }
}

void tr_test_starts(int32_t *start, int64_t seqs, int64_t seq_len, int64_t position, uint64_t stream)
{
    static const uint64_t about[] = {3, 17, 70, 1 << 20}; /* tokens of a document, on average */
    for (int64_t s = 0; s < seqs; s++) {
        uint64_t kind = tr_test_bits(stream, (uint64_t)s);
        int64_t first = 0;
        for (int64_t i = 0; i < seq_len; i++) {
            bool at_block = kind >> 8 & 1u && i % TR_KEY_BLOCK == 0;
            if (at_block || tr_test_bits(stream + 1, (uint64_t)(s * seq_len + i)) % about[(kind + (uint64_t)s) % 4] == 0)
                first = i;
            start[s * seq_len + i] = (int32_t)(position + first);
        }
    }
}

/* The panels of random weights, as the reference packs them. */
static void fill_panels(struct tr_opdata *data, int i)
{
    const struct tr_opcase *test = data->test;
    const int segment = i - TR_LINEAR_W;
    const struct tr_op op = {.kind = TR_OP_PACK, .act = test->op.act, .weight = test->op.weight, .seqs = 1, .seq_len = 1,
                             .in = test->op.in, .segments = 1, .out = {test->op.out[segment]}, .quantum = {1},
                             .context = tr_all_parts(1), .part = tr_all_parts(1)};
    const int64_t n = op.in * op.out[0];
    float *w = malloc((size_t)n * sizeof *w);
    struct tr_count count = {0};
    TR_ASSERT(w != NULL);
    tr_test_fill(w, TR_F32, n, test->fill, stream_of(test, i));
    struct tr_call call = {.op = &op, .operand = {[TR_PACK_SRC] = w, [TR_PACK_DST] = data->operand[i].data},
                           .values = &data->values, .count = &count, .threads = 1};
    tr_kernel_run(tr_kernel_set(TR_ISA_REF), &call);
    free(w);
}

/* cos and sin of position * 10000^(-2 d / D), as a model's table. */
static void fill_rope_table(struct tr_opdata *data)
{
    const struct tr_op *op = &data->test->op;
    float *table = data->operand[TR_ROPE_TABLE].data;
    for (int64_t t = 0; t < op->positions; t++) {
        for (int64_t d = 0; d < op->head_dim / 2; d++) {
            double angle = (double)t * pow(10000.0, -2.0 * (double)d / op->head_dim);
            *table++ = (float)cos(angle);
            *table++ = (float)sin(angle);
        }
    }
}

/* Rows of a KV cache that no query can see: garbage that spreads when it is used. */
static void spoil_unseen_rows(struct tr_opdata *data)
{
    const struct tr_opcase *test = data->test;
    const struct tr_op *op = &test->op;
    const int64_t heads = op->flags & TR_OP_BY_HEAD ? op->kv_heads : 1; /* whose rows lie apart */
    int64_t row_bytes = op->kv_heads / heads * op->head_dim * tr_dtype_bytes(op->act);
    int64_t seen = test->position + op->seq_len;
    for (int64_t s = 0; s < op->seqs * heads; s++) {
        int64_t first = (s * op->positions + seen) * row_bytes;
        memset((char *)data->operand[TR_ATTN_K].data + first, 0xff, (size_t)((op->positions - seen) * row_bytes));
        memset((char *)data->operand[TR_ATTN_V].data + first, 0xff, (size_t)((op->positions - seen) * row_bytes));
    }
}

static double *doubles_of(const struct tr_guarded *zone, enum tr_dtype type)
{
    int64_t n = zone->bytes / tr_dtype_bytes(type);
    double *x = malloc((size_t)n * sizeof *x);
    TR_ASSERT(x != NULL);
    for (int64_t i = 0; i < n; i++)
        x[i] = tr_load(zone->data, type, i);
    return x;
}

static void store_and_free(struct tr_guarded *zone, enum tr_dtype type, double *x)
{
    for (int64_t i = 0; zone != NULL && i < zone->bytes / tr_dtype_bytes(type); i++)
        tr_store(zone->data, type, i, (float)x[i]);
    free(x);
}

static double *new_doubles(int64_t n)
{
    double *x = calloc((size_t)n, sizeof *x);
    TR_ASSERT(x != NULL);
    return x;
}

/* Backward passes read statistics of the forward pass: those of the double reference. */
static void fill_norm_stats(struct tr_opdata *data)
{
    struct tr_op forward = data->test->op;
    forward.kind = TR_OP_NORM;
    struct tr_guarded *stats = &data->operand[TR_NORM_BWD_STATS];
    int64_t n = tr_op_operand_bytes(&forward, TR_NORM_X) / tr_dtype_bytes(forward.act);
    struct tr_ref64 run = {.op = &forward, .values = &data->values};
    run.operand[TR_NORM_X] = doubles_of(&data->operand[TR_NORM_BWD_X], forward.act);
    run.operand[TR_NORM_GAIN] = doubles_of(&data->operand[TR_NORM_BWD_GAIN], forward.weight);
    run.operand[TR_NORM_Y] = new_doubles(n);
    run.operand[TR_NORM_STATS] = new_doubles(stats->bytes / 4);
    tr_ref64_run(&run);
    store_and_free(stats, TR_F32, run.operand[TR_NORM_STATS]);
    free(run.operand[TR_NORM_X]);
    free(run.operand[TR_NORM_GAIN]);
    free(run.operand[TR_NORM_Y]);
}

static void fill_attn_stats(struct tr_opdata *data)
{
    struct tr_op forward = data->test->op;
    forward.kind = TR_OP_ATTN;
    struct tr_guarded *o = &data->operand[TR_ATTN_BWD_O], *stats = &data->operand[TR_ATTN_BWD_STATS];
    struct tr_ref64 run = {.op = &forward, .values = &data->values};
    for (int i = TR_ATTN_Q; i <= TR_ATTN_V; i++)
        run.operand[i] = doubles_of(&data->operand[i], forward.act);
    int64_t starts = data->operand[TR_ATTN_BWD_START].bytes / (int64_t)sizeof(int32_t);
    const int32_t *start = data->operand[TR_ATTN_BWD_START].data;
    run.operand[TR_ATTN_START] = starts > 0 ? new_doubles(starts) : NULL;
    for (int64_t t = 0; t < starts; t++)
        run.operand[TR_ATTN_START][t] = start[t];
    run.operand[TR_ATTN_O] = new_doubles(o->bytes / tr_dtype_bytes(forward.act));
    run.operand[TR_ATTN_STATS] = new_doubles(stats->bytes / 4);
    tr_ref64_run(&run);
    store_and_free(o, forward.act, run.operand[TR_ATTN_O]);
    store_and_free(stats, TR_F32, run.operand[TR_ATTN_STATS]);
    for (int i = TR_ATTN_Q; i <= TR_ATTN_V; i++)
        free(run.operand[i]);
    free(run.operand[TR_ATTN_START]);
}

static void fill_values(struct tr_opdata *data)
{
    const struct tr_opcase *test = data->test;
    float bias = (float)(1.0 / (1.0 - 0.9 * 0.9 * 0.9));
    data->values = (struct tr_step_values){.loss_scale = 1.0f / (float)(test->op.seqs * test->op.seq_len + 3),
                                           .position = test->position,
                                           .lr = 1e-3f,
                                           .beta1 = 0.9f,
                                           .beta2 = 0.95f,
                                           .eps = 1e-8f,
                                           .weight_decay = 0.1f,
                                           .momentum = 0.95f,
                                           .bias1 = bias,
                                           .bias2 = 7.0f,
                                           .clip_norm = test->clip_norm,
                                           .loss_sum = &data->loss_sum,
                                           .grad_sq = &data->grad_sq,
                                           .clip_factor = 0.7f};
    static const float before[] = {3.0f, -1e-3f, 0x1p-149f, 1.5e3f};
    tr_exact_clear(&data->loss_sum, TR_EXACT_VALUES);
    tr_exact_clear(&data->grad_sq, TR_EXACT_SQUARES);
    tr_exact_add(&data->loss_sum, before, 4);
    tr_exact_add(&data->grad_sq, before, 4);
}

/* Whether operand i is written whole without being read. */
static bool begins_as_garbage(const struct tr_op *op, int i)
{
    if (op->kind == TR_OP_NORM_BWD && i == TR_NORM_BWD_DX)
        return !(op->flags & TR_OP_ADD_DX);
    return tr_op_operands(op->kind)->operand[i].direction == TR_OUT && op->kind != TR_OP_KV_APPEND;
}

static void fill_operand(struct tr_opdata *data, int i, unsigned char salt)
{
    const struct tr_opcase *test = data->test;
    const struct tr_op *op = &test->op;
    struct tr_guarded *zone = &data->operand[i];
    enum tr_dtype type = tr_op_operand_dtype(op, i);
    if (i == tr_op_start_operand(op->kind))
        tr_test_starts(zone->data, op->seqs, op->seq_len, test->position, stream_of(test, i));
    else if (type == TR_I32)
        fill_indices(data, i);
    else if (op->kind == TR_OP_LINEAR_PACKED && type == TR_BYTE)
        fill_panels(data, i);
    else if (begins_as_garbage(op, i))
        memset(zone->data, salt, (size_t)zone->bytes);
    else
        tr_test_fill(zone->data, type, zone->bytes / tr_dtype_bytes(type), test->fill, stream_of(test, i));
}

void tr_opdata_make(struct tr_opdata *data, const struct tr_opcase *test, unsigned char salt)
{
    const struct tr_op *op = &test->op;
    uint32_t present = tr_opcase_present(test);
    *data = (struct tr_opdata){.test = test};
    fill_values(data);
    for (int i = 0; i < tr_op_operands(op->kind)->operand_count; i++) {
        if (!(present >> i & 1u))
            continue;
        tr_guarded_make(&data->operand[i], tr_op_operand_bytes(op, i));
        fill_operand(data, i, salt);
    }
    if (op->kind == TR_OP_ROPE)
        fill_rope_table(data);
    if (op->kind == TR_OP_ATTN)
        spoil_unseen_rows(data);
    if (op->kind == TR_OP_NORM_BWD)
        fill_norm_stats(data);
    if (op->kind == TR_OP_ATTN_BWD)
        fill_attn_stats(data);
    if (op->kind == TR_OP_ADAMW) { /* mean squares are not negative */
        float *v = data->operand[TR_ADAMW_V].data;
        for (int64_t i = 0; i < op->count; i++)
            v[i] = fabsf(v[i]);
    }
}

void tr_opdata_clone(struct tr_opdata *data, const struct tr_opdata *source, unsigned char salt)
{
    *data = (struct tr_opdata){.test = source->test};
    fill_values(data);
    for (int i = 0; i < TR_OP_OPERANDS_MAX; i++) {
        const struct tr_guarded *from = &source->operand[i];
        if (from->data == NULL)
            continue;
        tr_guarded_make(&data->operand[i], from->bytes);
        if (begins_as_garbage(&source->test->op, i))
            memset(data->operand[i].data, salt, (size_t)from->bytes);
        else
            memcpy(data->operand[i].data, from->data, (size_t)from->bytes);
    }
}

void tr_opdata_free(struct tr_opdata *data)
{
    for (int i = 0; i < TR_OP_OPERANDS_MAX; i++)
        tr_guarded_free(&data->operand[i]);
}

/* ---- running ---------------------------------------------------------------------------------------------------- */

struct tr_call tr_opdata_call(struct tr_opdata *data, int threads)
{
    struct tr_call call = {.op = &data->test->op, .values = &data->values, .count = &data->count, .threads = threads};
    for (int i = 0; i < TR_OP_OPERANDS_MAX; i++)
        call.operand[i] = data->operand[i].data;
    atomic_store(&data->count.flop, 0);
    atomic_store(&data->count.read_bytes, 0);
    atomic_store(&data->count.write_bytes, 0);
    return call;
}

void tr_opdata_run(struct tr_opdata *data, const struct tr_kernel_set *set, int threads)
{
    struct tr_guarded workspace = {0};
    int64_t bytes = tr_kernel_workspace_bytes(set, &data->test->op, threads);
    struct tr_call call = tr_opdata_call(data, threads);
    if (bytes > 0) {
        tr_guarded_make(&workspace, bytes);
        memset(workspace.data, 0xff, (size_t)bytes);
        call.workspace = workspace.data;
    }
    tr_kernel_run(set, &call);
    TR_ASSERT(tr_guarded_intact(&workspace));
    tr_guarded_free(&workspace);
}

bool tr_opdata_intact(const struct tr_opdata *data, int *operand)
{
    for (int i = 0; i < TR_OP_OPERANDS_MAX; i++) {
        *operand = i;
        if (!tr_guarded_intact(&data->operand[i]))
            return false;
    }
    return true;
}

static bool same_element(const struct tr_guarded *a, const struct tr_guarded *b, enum tr_dtype type, int64_t i)
{
    int64_t bytes = tr_dtype_bytes(type);
    if (memcmp((char *)a->data + i * bytes, (char *)b->data + i * bytes, (size_t)bytes) == 0)
        return true;
    return type != TR_I32 && type != TR_BYTE && isnan(tr_load(a->data, type, i)) && isnan(tr_load(b->data, type, i));
}

bool tr_operand_same(const struct tr_opdata *a, const struct tr_opdata *b, int i, int64_t *index)
{
    const struct tr_guarded *x = &a->operand[i], *y = &b->operand[i];
    enum tr_dtype type = tr_op_operand_dtype(&a->test->op, i);
    TR_ASSERT(x->bytes == y->bytes);
    if (x->bytes == 0 || memcmp(x->data, y->data, (size_t)x->bytes) == 0)
        return true;
    for (*index = 0; *index < x->bytes / tr_dtype_bytes(type); ++*index)
        if (!same_element(x, y, type, *index))
            return false;
    return true;
}
