/* How fast the matrix products of GPT-2 124M run here: GFLOP/s and share of the measured peak of fused multiply-adds,
 * for each shape, pass, instruction set and type; and all products of a step together, each as often as the model has
 * it. Median and best of several runs.
 *
 *     bench_linear [rows 1024] [threads: all] [runs 7] [word: only rows whose words, "qkv linear avx512 f32", have it]
 *
 * The reference is timed once, on few rows, because it is slow. */
#include "base/num.h"
#include "base/os.h"
#include "silicon/chip/peak.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { RUNS_MAX = 99, REF_ROWS = 8 };

struct shape {
    const char *name;
    int64_t in;
    int segments;
    int64_t out[TR_OP_SEGMENTS_MAX];
    int64_t vocab; /* HEAD instead */
    int in_step;   /* how many the model has */
};

static const struct shape shapes[] = {
    {"qkv", 768, 3, {768, 768, 768}, 0, 12},
    {"attn_proj", 768, 1, {768}, 0, 12},
    {"fc", 768, 1, {3072}, 0, 12},
    {"fc_proj", 3072, 1, {768}, 0, 12},
    {"logits", 768, 1, {50257}, 0, 1},
    {"head", 768, 1, {0}, 50257, 0},
    {"small_qkv", 256, 3, {256, 256, 256}, 0, 0},
    {"small_fc", 256, 1, {1024}, 0, 0},
    {"small_fc_proj", 1024, 1, {256}, 0, 0},
};

/* What is measured: one kernel set with one type. */
struct bench {
    enum tr_isa isa;
    enum tr_dtype type;
    int threads, runs;
    const char *word;
    double peak_flop_s;
    double step_flop, step_s; /* the medians of all products of a step */
};

static struct tr_op make_op(const struct shape *shape, enum tr_op_kind kind, enum tr_dtype type, int64_t rows)
{
    int64_t seq_len = tr_min_i64(rows, 1024);
    struct tr_op op = {.kind = kind, .act = type, .weight = type, .seqs = rows / seq_len, .seq_len = seq_len,
                       .in = shape->in, .segments = shape->segments, .heads = 1, .context = tr_all_parts(1),
                       .part = tr_all_parts(1), .quantum = {1, 1, 1}, .width = shape->in, .vocab = shape->vocab};
    memcpy(op.out, shape->out, sizeof op.out);
    if (kind == TR_OP_HEAD)
        op.flags = TR_OP_GRAD;
    return op;
}

static void *allocate(int64_t bytes)
{
    void *at = aligned_alloc(2 << 20, (size_t)((bytes + (2 << 20) - 1) >> 21 << 21));
    if (at == NULL) {
        fprintf(stderr, "bench_linear: no memory for %lld bytes\n", (long long)bytes);
        exit(3);
    }
    (void)madvise(at, (size_t)bytes, MADV_HUGEPAGE);
    memset(at, 0, (size_t)bytes);
    return at;
}

static void fill(const struct tr_op *op, int i, void *data)
{
    int64_t count = tr_shape_count(tr_op_operand_shape(op, i));
    for (int64_t j = 0; j < count; j++) {
        uint32_t bits = (uint32_t)j * 2654435761u >> 16;
        if (tr_op_operand_dtype(op, i) == TR_I32)
            ((int32_t *)data)[j] = (int32_t)(bits % (uint32_t)op->vocab);
        else
            tr_store(data, tr_op_operand_dtype(op, i), j, (float)((int)(bits % 2001) - 1000) * 0.001f);
    }
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(struct bench *bench, const struct shape *shape, enum tr_op_kind kind, int64_t rows)
{
    const int runs = bench->isa == TR_ISA_REF ? 1 : bench->runs, threads = bench->threads;
    const struct tr_op op = make_op(shape, kind, bench->type, rows);
    const struct tr_op_info *info = tr_op_operands(kind);
    const struct tr_kernel_set *set = tr_kernel_set(bench->isa);
    struct tr_count count = {0};
    struct tr_step_values values = {.loss_scale = 1.0f / (float)rows};
    struct tr_call call = {.op = &op, .values = &values, .count = &count, .threads = threads};
    for (int i = 0; i < info->operand_count; i++) {
        int64_t bytes = tr_op_operand_bytes(&op, i);
        if (bytes == 0 || (kind == TR_OP_LINEAR && i == TR_LINEAR_RESIDUAL))
            continue;
        call.operand[i] = allocate(bytes);
        fill(&op, i, call.operand[i]);
    }
    call.workspace = allocate(tr_kernel_workspace_bytes(set, &op, threads) + 64);
    double taken_s[RUNS_MAX];
    tr_kernel_run(set, &call); /* warms up */
    for (int run = 0; run < runs; run++) {
        atomic_store(&count.flop, 0);
        double begin_s = tr_clock_s();
        tr_kernel_run(set, &call);
        taken_s[run] = tr_clock_s() - begin_s;
    }
    qsort(taken_s, (size_t)runs, sizeof taken_s[0], by_size);
    double flop = (double)atomic_load(&count.flop), median = flop / taken_s[runs / 2], best = flop / taken_s[0];
    bench->step_flop += shape->in_step * flop;
    bench->step_s += shape->in_step * taken_s[runs / 2];
    printf("%-14s %-10s %-10s %-4s %5lld  %8.1f %8.1f  %5.1f %% %5.1f %%\n", shape->name, info->name,
           tr_isa_name(bench->isa), tr_dtype_name(bench->type), (long long)rows, median * 1e-9, best * 1e-9,
           100 * median / bench->peak_flop_s, 100 * best / bench->peak_flop_s);
    fflush(stdout);
    free(call.workspace);
    for (int i = 0; i < info->operand_count; i++)
        free(call.operand[i]);
}

static bool is_wanted(const struct bench *bench, const struct shape *shape, enum tr_op_kind kind)
{
    char words[128];
    snprintf(words, sizeof words, "%s %s %s %s", shape->name, tr_op_operands(kind)->name, tr_isa_name(bench->isa),
             tr_dtype_name(bench->type));
    bool slow = bench->isa == TR_ISA_REF && strcmp(shape->name, "attn_proj") != 0;
    return !slow && strstr(words, bench->word) != NULL;
}

static void measure_all(struct bench *bench, int64_t rows)
{
    static const enum tr_op_kind passes[] = {TR_OP_LINEAR, TR_OP_LINEAR_DX, TR_OP_LINEAR_DW};
    bench->peak_flop_s = tr_chip_measure_peak_flop_s(bench->isa, bench->type, bench->threads);
    if (bench->isa == TR_ISA_REF)
        rows = tr_min_i64(rows, REF_ROWS);
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        bool head = shapes[s].vocab > 0;
        for (int pass = 0; pass < (head ? 1 : 3); pass++) {
            enum tr_op_kind kind = head ? TR_OP_HEAD : passes[pass];
            if (is_wanted(bench, &shapes[s], kind))
                measure(bench, &shapes[s], kind, rows);
        }
    }
    if (bench->step_s == 0)
        return;
    double rate = bench->step_flop / bench->step_s;
    printf("%-14s %-10s %-10s %-4s %5lld  %8.1f %8s  %5.1f %%         peak %.1f\n", "all of a step", "",
           tr_isa_name(bench->isa), tr_dtype_name(bench->type), (long long)rows, rate * 1e-9, "",
           100 * rate / bench->peak_flop_s, bench->peak_flop_s * 1e-9);
}

int main(int argc, char **argv)
{
    int64_t rows = argc > 1 ? atoll(argv[1]) : 1024;
    struct bench bench = {.threads = argc > 2 ? atoi(argv[2]) : omp_get_max_threads(),
                          .runs = argc > 3 ? atoi(argv[3]) : 7,
                          .word = argc > 4 ? argv[4] : ""};
    if (rows < 1 || (rows > 1024 && rows % 1024 != 0) || bench.threads < 1 || bench.runs < 1 || bench.runs > RUNS_MAX) {
        fprintf(stderr, "usage: bench_linear [rows, below 1024 or a multiple] [threads] [runs, at most %d] [word]\n",
                RUNS_MAX);
        return 2;
    }
    printf("%-14s %-10s %-10s %-4s %5s  %8s %8s  %7s %7s   (%d threads, %d runs)\n", "shape", "pass", "isa", "type",
           "rows", "median", "best", "median", "best", bench.threads, bench.runs);
    for (int isa = TR_ISA_COUNT - 1; isa >= 0; isa--) {
        for (int type = TR_F32; type <= TR_BF16; type++) {
            bool own = tr_kernel_set((enum tr_isa)isa)->kernel[TR_OP_LINEAR][type == TR_BF16].isa == (enum tr_isa)isa;
            struct bench one = bench;
            one.isa = (enum tr_isa)isa;
            one.type = (enum tr_dtype)type;
            if (tr_isa_runs(one.isa) && own)
                measure_all(&one, rows);
        }
    }
    return 0;
}
