/* Measures the kernels that are not matrix products: attention as a share of the multiply-add peak that this program
 * measures first, the others ("pass ...") in GB/s of the bytes that they count and as a share of the rate at which memory is read.
 *
 *     bench_vec [threads] [f32 | bf16] [word: only rows whose name has it]      TRINE_ISA chooses the instruction set
 *
 * Shapes are those of GPT-2 124M (12 heads of 64, width 768) with 4 sequences of 1024 tokens and ("small ...") of 256, and attention
 * over 64 to 8192 tokens. The best of several runs is printed: this is what the kernel can do when the machine is
 * quiet. */
#include "base/num.h"
#include "base/os.h"
#include "silicon/chip/peak.h"
#include "silicon/kernel/kernel.h"
#include "silicon/op/exact.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { WIDTH = 768, HEADS = 12, HEAD_DIM = 64, VOCAB = 50304, HIDDEN = 4 * WIDTH, HUGE_PAGE = 2 << 20, CACHES_BYTES = 256 << 20 };

static const double budget_s = 0.6; /* of repeating one measurement */

struct bench {
    const struct tr_kernel_set *set;
    enum tr_dtype type;
    const char *word;
    int threads;
    double peak_flop_s, read_byte_s;
};

static bool is_wanted(const struct bench *bench, const char *name) { return strstr(name, bench->word) != NULL; }

static void *allocate(int64_t bytes)
{
    void *at = aligned_alloc(HUGE_PAGE, (size_t)tr_round_up(tr_max_i64(bytes, 1), HUGE_PAGE));
    if (at != NULL)
        madvise(at, (size_t)tr_round_up(tr_max_i64(bytes, 1), HUGE_PAGE), MADV_HUGEPAGE); /* as the trainer's memory is */
    if (at == NULL) {
        fprintf(stderr, "bench_vec: no memory for %lld bytes\n", (long long)bytes);
        exit(3);
    }
    return at;
}

/* Values in (-1, 1) for floats, tokens below vocab for integers; the standard deviations of norms are positive. */
static void fill(void *data, int64_t bytes, enum tr_dtype type, int64_t vocab, uint32_t seed)
{
    uint32_t state = seed * 2654435761u + 1;
    for (int64_t i = 0; i < bytes / tr_dtype_bytes(type); i++) {
        state = state * 1664525u + 1013904223u;
        if (type == TR_I32)
            ((int32_t *)data)[i] = (int32_t)((state >> 8) % (uint32_t)vocab);
        else
            tr_store(data, type, i, (float)(int32_t)state * 0x1p-31f);
    }
}

static bool writes_a_positive_operand(enum tr_op_kind kind, int operand)
{
    return (kind == TR_OP_NORM_BWD && operand == TR_NORM_BWD_STATS) || (kind == TR_OP_ADAMW && operand == TR_ADAMW_V);
}

struct buffers {
    struct tr_call call;
    struct tr_step_values values;
    struct tr_exact sum;
    struct tr_count count;
};

static void prepare(const struct bench *bench, const struct tr_op *op, uint32_t absent, struct buffers *b)
{
    const struct tr_op_info *info = tr_op_operands(op->kind);
    memset(b, 0, sizeof *b);
    tr_exact_clear(&b->sum, TR_EXACT_SQUARES);
    b->values = (struct tr_step_values){.loss_scale = 1.0f, .lr = 1e-4f, .beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-8f,
                                        .weight_decay = 0.1f, .bias1 = 1.0f, .bias2 = 1.0f, .clip_factor = 1.0f,
                                        .grad_sq = &b->sum};
    b->call = (struct tr_call){.op = op, .values = &b->values, .count = &b->count, .threads = bench->threads};
    for (int i = 0; i < info->operand_count; i++) {
        int64_t bytes = tr_op_operand_bytes(op, i);
        if (bytes == 0 || (absent >> i & 1u))
            continue;
        void *data = allocate(bytes);
        fill(data, bytes, tr_op_operand_dtype(op, i), op->vocab, (uint32_t)i + 1);
        for (int64_t k = 0; writes_a_positive_operand(op->kind, i) && k < bytes / 4; k++)
            ((float *)data)[k] = ((float *)data)[k] * ((float *)data)[k] + 0.5f;
        b->call.operand[i] = data;
    }
    b->call.workspace = allocate(tr_kernel_workspace_bytes(bench->set, op, bench->threads));
}

static void release(struct buffers *b)
{
    for (int i = 0; i < TR_OP_OPERANDS_MAX; i++)
        free(b->call.operand[i]);
    free(b->call.workspace);
}

static double best_time_s(const struct bench *bench, struct buffers *b)
{
    double best = INFINITY, start = tr_clock_s();
    for (int run = 0; run < 2 || tr_clock_s() - start < budget_s; run++) {
        b->count = (struct tr_count){0};
        double before = tr_clock_s();
        tr_kernel_run(bench->set, &b->call);
        double took = tr_clock_s() - before;
        best = took < best ? took : best;
    }
    return best;
}

static void report(const struct bench *bench, const char *name, struct buffers *b)
{
    if (!is_wanted(bench, name))
        return;
    double seconds = best_time_s(bench, b);
    double bytes = (double)b->count.read_bytes + (double)b->count.write_bytes, flop = (double)b->count.flop;
    printf("%-34s %9.3f ms", name, seconds * 1e3);
    if (flop > 0.0)
        printf("  %7.1f GFLOP/s  %5.1f %% of peak", flop / seconds * 1e-9, 100.0 * flop / seconds / bench->peak_flop_s);
    else
        printf("  %7.1f GB/s  %5.1f %% of memory's %.1f", bytes / seconds * 1e-9, 100.0 * bytes / seconds / bench->read_byte_s,
               bench->read_byte_s * 1e-9);
    printf("\n");
    fflush(stdout);
}

static void measure(const struct bench *bench, const char *name, const struct tr_op *op, uint32_t absent)
{
    struct buffers b;
    if (!is_wanted(bench, name))
        return;
    prepare(bench, op, absent, &b);
    report(bench, name, &b);
    release(&b);
}

static struct tr_op op_of(const struct bench *bench, enum tr_op_kind kind, int64_t seqs, int64_t seq_len)
{
    return (struct tr_op){.kind = kind, .act = bench->type, .weight = bench->type, .seqs = seqs, .seq_len = seq_len,
                          .width = WIDTH, .heads = 1, .kv_heads = 1, .head_dim = HEAD_DIM, .vocab = VOCAB,
                          .positions = seq_len, .count = (int64_t)VOCAB * WIDTH, .eps = 1e-5f,
                          .context = tr_all_parts(1), .part = tr_all_parts(1)};
}

static struct tr_op attn_of(const struct bench *bench, enum tr_op_kind kind, int64_t seqs, int64_t seq_len, int heads,
                            int kv_heads, int head_dim)
{
    struct tr_op op = op_of(bench, kind, seqs, seq_len);
    op.heads = heads;
    op.kv_heads = kv_heads;
    op.head_dim = head_dim;
    return op;
}

static void attention(const struct bench *bench, int64_t seqs, int64_t seq_len, int heads, int kv_heads, int head_dim)
{
    char name[64];
    struct tr_op op = attn_of(bench, TR_OP_ATTN, seqs, seq_len, heads, kv_heads, head_dim);
    snprintf(name, sizeof name, "attn %lldx%lld h%d/%d d%d", (long long)seqs, (long long)seq_len, heads, kv_heads,
             head_dim);
    measure(bench, name, &op, 0);
    snprintf(name, sizeof name, "attn_bwd %lldx%lld h%d/%d d%d", (long long)seqs, (long long)seq_len, heads, kv_heads,
             head_dim);
    if (!is_wanted(bench, name))
        return;
    struct buffers forward, b;
    prepare(bench, &op, 0, &forward);
    tr_kernel_run(bench->set, &forward.call);
    struct tr_op backward = op;
    backward.kind = TR_OP_ATTN_BWD;
    prepare(bench, &backward, 0, &b);
    for (int i = TR_ATTN_BWD_Q; i <= TR_ATTN_BWD_STATS; i++) /* the same operands in the same places */
        memcpy(b.call.operand[i], forward.call.operand[i], (size_t)tr_op_operand_bytes(&op, i));
    report(bench, name, &b);
    release(&b);
    release(&forward);
}

/* One new token for each of `seqs` sequences that hold `position` already, as in generation: keys and values come out of
 * memory, since many caches take turns, as those of the layers do. Rate of the bytes of the cache, beside that of memory. */
static void generation(const struct bench *bench, int64_t seqs, int64_t position, int heads, int kv_heads)
{
    char name[64];
    struct tr_op op = attn_of(bench, TR_OP_ATTN, seqs, 1, heads, kv_heads, HEAD_DIM);
    op.positions = position + 1;
    op.flags = TR_OP_BY_HEAD;
    snprintf(name, sizeof name, "attn decode %lld at %lld h%d/%d", (long long)seqs, (long long)position, heads,
             kv_heads);
    if (!is_wanted(bench, name))
        return;
    struct buffers b;
    prepare(bench, &op, 1u << TR_ATTN_K | 1u << TR_ATTN_V, &b);
    b.values.position = position;
    const int64_t bytes = tr_op_operand_bytes(&op, TR_ATTN_K), stride = tr_round_up(bytes, 64);
    const int64_t caches = tr_max_i64(1, CACHES_BYTES / (2 * stride));
    char *memory = allocate(caches * 2 * stride);
    fill(memory, caches * 2 * stride, op.act, 0, 1);
    const double read_byte_s = tr_chip_measure_read_byte_s(bench->set->isa, memory, caches * 2 * stride, bench->threads);
    double best = INFINITY, start = tr_clock_s();
    while (tr_clock_s() - start < budget_s) {
        const double before = tr_clock_s();
        b.count = (struct tr_count){0};
        for (int64_t i = 0; i < caches; i++) {
            b.call.operand[TR_ATTN_K] = memory + 2 * i * stride;
            b.call.operand[TR_ATTN_V] = memory + (2 * i + 1) * stride;
            tr_kernel_run(bench->set, &b.call);
        }
        const double took = tr_clock_s() - before;
        best = took < best ? took : best;
    }
    const double byte_s = (double)b.count.read_bytes / best;
    printf("%-34s %9.3f ms  %7.1f GB/s of cache, %5.1f %% of memory's %.1f\n", name, best / (double)caches * 1e3,
           byte_s * 1e-9, 100 * byte_s / read_byte_s, read_byte_s * 1e-9);
    b.call.operand[TR_ATTN_K] = b.call.operand[TR_ATTN_V] = NULL;
    free(memory);
    release(&b);
}

/* `what`: "pass" or "small", the first word of the rows. */
static void measure_as(const struct bench *bench, const char *what, const char *name, const struct tr_op *op, uint32_t absent)
{
    char both[64];
    snprintf(both, sizeof both, "%s %s", what, name);
    measure(bench, both, op, absent);
}

static void elementwise(const struct bench *bench, const char *what, int64_t seqs, int64_t seq_len)
{
    struct tr_op op;
    printf("-- %s: %lld x %lld tokens\n", what, (long long)seqs, (long long)seq_len);
    op = op_of(bench, TR_OP_NORM, seqs, seq_len);
    measure_as(bench, what, "norm (LayerNorm)", &op, 0);
    op.flags = TR_OP_RMS;
    measure_as(bench, what, "norm (RMSNorm)", &op, 1u << TR_NORM_BIAS);
    op = op_of(bench, TR_OP_NORM_BWD, seqs, seq_len);
    op.flags = TR_OP_ADD_DX;
    measure_as(bench, what, "norm_bwd (LayerNorm, add)", &op, 0);
    op = op_of(bench, TR_OP_GELU, seqs, seq_len);
    op.width = HIDDEN;
    measure_as(bench, what, "gelu", &op, 0);
    op.kind = TR_OP_GELU_BWD;
    measure_as(bench, what, "gelu_bwd", &op, 0);
    op.kind = TR_OP_SWIGLU;
    measure_as(bench, what, "swiglu", &op, 0);
    op.kind = TR_OP_SWIGLU_BWD;
    measure_as(bench, what, "swiglu_bwd", &op, 0);
    op = attn_of(bench, TR_OP_ROPE, seqs, seq_len, HEADS, HEADS, HEAD_DIM);
    measure_as(bench, what, "rope", &op, 0);
    op = op_of(bench, TR_OP_EMBED, seqs, seq_len);
    measure_as(bench, what, "embed", &op, 0);
    op.kind = TR_OP_EMBED_BWD;
    measure_as(bench, what, "embed_bwd", &op, 0);
}

static void updates(const struct bench *bench)
{
    printf("-- pass: %d x %d weights\n", VOCAB, WIDTH);
    struct tr_op op = op_of(bench, TR_OP_ADAMW, 1, 1);
    op.flags = TR_OP_DECAY;
    measure_as(bench, "pass", "adamw", &op, 0);
    op.flags = 0;
    op.kind = TR_OP_GRAD_SQ;
    measure_as(bench, "pass", "grad_sq", &op, 0);
    op.kind = TR_OP_JOIN;
    measure_as(bench, "pass", "join", &op, 0);
    op.kind = TR_OP_ZERO;
    measure_as(bench, "pass", "zero", &op, 0);
}

/* How fast memory is read, which passes are limited by. */
static double memory_byte_s(const struct bench *bench)
{
    char *memory = allocate(CACHES_BYTES);
    fill(memory, CACHES_BYTES, TR_F32, 0, 1);
    const double byte_s = tr_chip_measure_read_byte_s(bench->set->isa, memory, CACHES_BYTES, bench->threads);
    free(memory);
    return byte_s;
}

int main(int argc, char **argv)
{
    struct tr_err err;
    enum tr_isa isa;
    enum tr_status status = tr_isa_choose(&isa, &err);
    if (status != TR_OK) {
        fprintf(stderr, "bench_vec: %s\n", err.text);
        return (int)status;
    }
    int threads = argc > 1 ? atoi(argv[1]) : tr_cores_usable();
    bool bf16 = argc > 2 && strcmp(argv[2], "bf16") == 0;
    if (threads < 1 || argc > 4 || (argc > 2 && !bf16 && strcmp(argv[2], "f32") != 0)) {
        fprintf(stderr, "usage: bench_vec [threads] [f32 | bf16] [word]\n");
        return TR_BAD_INPUT;
    }
    struct bench bench = {.set = tr_kernel_set(isa), .type = bf16 ? TR_BF16 : TR_F32, .threads = threads,
                          .word = argc > 3 ? argv[3] : ""};
    bench.peak_flop_s = tr_chip_measure_peak_flop_s(isa, bench.type, threads);
    printf("%s, %s, %d threads, measured multiply-add peak %.1f GFLOP/s\n", tr_isa_name(isa),
           tr_dtype_name(bench.type), threads, bench.peak_flop_s * 1e-9);
    for (int64_t seq_len = 64; seq_len <= 8192; seq_len *= 2)
        attention(&bench, tr_max_i64(1, 4096 / seq_len), seq_len, HEADS, HEADS, HEAD_DIM);
    attention(&bench, 4, 256, HEADS, HEADS, HEAD_DIM);
    attention(&bench, 4, 1024, HEADS, 4, HEAD_DIM);
    attention(&bench, 2, 1024, 8, 2, 128);
    generation(&bench, 1, 575, HEADS, HEADS);
    generation(&bench, 1, 575, 9, 3);
    generation(&bench, 1, 1023, HEADS, HEADS);
    generation(&bench, 8, 1023, HEADS, HEADS);
    generation(&bench, 8, 1023, HEADS, 4);
    bench.read_byte_s = memory_byte_s(&bench);
    elementwise(&bench, "pass", 4, 1024);
    elementwise(&bench, "small", 4, 256);
    updates(&bench);
    return TR_OK;
}
