/* What it costs to share a step out, and to be ready to: one model's step by one rank and by all, with gradients joined along
 * the tree and by MPI_Allreduce in chunks of 4 MiB, in the foreground and beside the backward pass, with zero = 0 to 3, and with
 * logical widths of 1 and of 8.
 *
 *     mpirun -n 2 bench_ranks [LAYERS WIDTH SEQ_LEN BATCH f32|bf16 ROUNDS]      ranks as processes
 *     bench_ranks threads=2 [...]                                               ranks as threads: without MPI_Allreduce
 *
 * Default: 6 layers of width 384, 16 sequences of 256 tokens, f32, 15 rounds: 10.7 M parameters and a vocabulary of 257. A round is a
 * step of each row in turn, begun and ended together; medians are printed, of rank 0, with the spread of the middle half. A
 * rank has one thread; the rows of one rank have as many threads as there are ranks, and the others sleep. */
#include "base/num.h"
#include "base/os.h"
#include "lab/model/exec.h"
#include "silicon/coll/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS_MAX = 101, MPI_CHUNK = 1 << 20 /* floats: 4 MiB */ };

struct row {
    const char *name;
    bool alone, mpi, foreground;
    int32_t zero, lanes; /* lanes 0: as many as ranks */
    bool wide;           /* a tensor part a head, 8 of the vocabulary */
};

static const struct row rows[] = {
    {"1 rank", true, false, false, 0, 0, false},
    {"1 rank, lanes=1", true, false, false, 0, 1, false},
    {"1 rank, lanes=8", true, false, false, 0, 8, false},
    {"1 rank, lanes=8, tensor=heads, vocab=8", true, false, false, 0, 8, true},
    {"MPI_Allreduce, foreground", false, true, true, 0, 0, false},
    {"tree, foreground", false, false, true, 0, 0, false},
    {"tree, beside", false, false, false, 0, 0, false},
    {"tree, beside, lanes=8", false, false, false, 0, 8, false},
    {"zero=1, foreground", false, false, true, 1, 0, false},
    {"zero=1, beside", false, false, false, 1, 0, false},
    {"zero=2, foreground", false, false, true, 2, 0, false},
    {"zero=2, beside", false, false, false, 2, 0, false},
    {"zero=3, foreground", false, false, true, 3, 0, false},
    {"zero=3, beside", false, false, false, 3, 0, false},
};
enum { ROWS = sizeof rows / sizeof *rows };

struct shape {
    int32_t layers, width;
    int64_t seq_len, batch;
    enum tr_dtype dtype;
    int rounds;
};

struct running {
    struct tr_program program;
    struct tr_exec exec;
    bool is_open;
    double time_s[ROUNDS_MAX];
    struct tr_coll_times coll; /* of all counted rounds */
};

struct bench {
    const struct shape *shape;
    struct tr_comm *world;
    const struct tr_mpi_table *mpi;
    void *group;
    struct running run[ROWS];
};

static struct tr_model_config model_of(const struct shape *s)
{
    return (struct tr_model_config){.name = "bench", .family = TR_GPT2, .vocab = 257, .width = s->width, .layers = s->layers,
                                    .heads = s->width / 64, .kv_heads = s->width / 64, .head_dim = 64, .ffn = 4 * s->width,
                                    .positions = s->seq_len, .norm_eps = 1e-5f, .tied = true, .init_std = .02f};
}

static enum tr_status mpi_all_reduce(void *context, const struct tr_coll *call, struct tr_err *err)
{
    const struct bench *bench = context;
    TR_ASSERT(call->to == call->node[0]); /* one lane a rank */
    int code = bench->mpi->all_reduce(bench->group, call->to, call->count, MPI_CHUNK);
    return code == 0 ? TR_OK : tr_fail(err, TR_FAILED, "MPI_Allreduce: code %d", code);
}

static bool takes_part(const struct bench *bench, const struct row *row)
{
    return (!row->mpi || bench->mpi) && (!row->alone || tr_comm_index(bench->world) == 0);
}

static enum tr_status open_row(struct bench *bench, int index, struct tr_err *err)
{
    const struct row *row = &rows[index];
    const struct shape *s = bench->shape;
    struct running *run = &bench->run[index];
    int ranks = tr_comm_count(bench->world);
    struct tr_model_config model = model_of(s);
    struct tr_step_config step = {.dtype = s->dtype, .batch = s->batch, .seq_len = s->seq_len, .micro_batch = 1,
                                  .recompute = TR_RECOMPUTE_ELEMENTWISE, .foreground = row->foreground};
    step.widths = (struct tr_widths){row->lanes ? row->lanes : ranks, 1, row->wide ? model.heads : 1, row->wide ? 8 : 1};
    step.micro_batch = s->batch / tr_max_i64(8, step.widths.lanes); /* the same in all rows */
    if (!row->alone)
        step.place = (struct tr_rank_place){{.ranks = {[TR_GROUP_DATA] = ranks}, .zero = row->zero}, tr_comm_index(bench->world)};
    enum tr_isa isa;
    enum tr_status status = tr_isa_choose(&isa, err);
    if (status != TR_OK)
        return status;
    struct tr_machine machine = {tr_kernel_set(isa), row->alone ? ranks : 1};
    status = tr_program_train(&run->program, &model, &step, machine, err);
    if (status != TR_OK)
        return status;
    status = tr_exec_open(&run->exec, &run->program, machine, NULL, err);
    run->is_open = status == TR_OK;
    if (status == TR_OK && !row->alone)
        status = tr_exec_join(&run->exec, bench->world, err);
    if (status != TR_OK)
        return status;
    if (row->mpi) {
        run->exec.all_reduce = mpi_all_reduce;
        run->exec.all_reduce_context = bench;
    }
    int32_t *token = tr_exec_buffer(&run->exec, run->program.tokens), *target = tr_exec_buffer(&run->exec, run->program.targets);
    for (int64_t i = 0; i < run->program.sequences * s->seq_len; i++) {
        token[i] = (int32_t)(i * 7919 % model.vocab);
        target[i] = (int32_t)((i + 1) * 7919 % model.vocab);
    }
    tr_exec_init(&run->exec, 1);
    return tr_exec_failed(&run->exec, err);
}

static enum tr_status step(struct bench *bench, int index, int round, struct tr_err *err)
{
    static const struct tr_hyper hyper = {.lr = 1e-4, .beta1 = .9, .beta2 = .95, .eps = 1e-8, .weight_decay = .1, .clip_norm = 1};
    struct running *run = &bench->run[index];
    enum tr_status status = tr_barrier(bench->world, err);
    double begin_s = tr_clock_s();
    if (status == TR_OK && run->is_open) {
        struct tr_coll_times before = tr_exec_coll_times(&run->exec), after;
        tr_exec_set_hyper(&run->exec, &hyper, round + 2);
        (void)tr_exec_gradients(&run->exec, bench->shape->batch * bench->shape->seq_len);
        tr_exec_update(&run->exec);
        status = tr_exec_failed(&run->exec, err);
        after = tr_exec_coll_times(&run->exec);
        run->coll.busy_s += round < 0 ? 0 : after.busy_s - before.busy_s;
        run->coll.exposed_s += round < 0 ? 0 : after.exposed_s - before.exposed_s;
    }
    if (status == TR_OK)
        status = tr_barrier(bench->world, err);
    run->time_s[round < 0 ? 0 : round] = tr_clock_s() - begin_s;
    return status;
}

static void print_row(struct bench *bench, int index)
{
    struct running *run = &bench->run[index];
    int64_t by_kind[TR_COLL_KIND_COUNT], sent = tr_program_sent_bytes(&run->program, by_kind);
    int rounds = bench->shape->rounds;
    qsort(run->time_s, (size_t)rounds, sizeof *run->time_s, tr_ascending);
    printf("| %s | %.1f (%.1f to %.1f) | %.3f | %.1f, %.1f | %.1f | %.1f |\n", rows[index].name, 1e3 * run->time_s[rounds / 2],
           1e3 * run->time_s[rounds / 4], 1e3 * run->time_s[rounds - 1 - rounds / 4],
           run->time_s[rounds / 2] / bench->run[0].time_s[rounds / 2], 1e3 * run->coll.busy_s / rounds,
           1e3 * run->coll.exposed_s / rounds, 1e-6 * (double)sent, 1e-6 * (double)tr_program_memory_bytes(&run->program));
}

static void print_all(struct bench *bench)
{
    const struct shape *s = bench->shape;
    printf("%d ranks, %d x %d, %lld x %lld tokens, %s, %d rounds\n\n", tr_comm_count(bench->world), s->layers, s->width,
           (long long)s->batch, (long long)s->seq_len, tr_dtype_name(s->dtype), s->rounds);
    printf("| row | ms a step (middle half) | of the first row | ms in collectives, exposed | MB sent | MB planned |\n|---|---|---|---|---|---|\n");
    for (int i = 0; i < ROWS; i++)
        if (bench->run[i].is_open)
            print_row(bench, i);
}

static enum tr_status run_rows(struct bench *bench, struct tr_err *err)
{
    enum tr_status status = TR_OK;
    for (int i = 0; i < ROWS && status == TR_OK; i++)
        if (takes_part(bench, &rows[i]))
            status = open_row(bench, i, err);
    for (int round = -1; round < bench->shape->rounds; round++) /* the first one is not counted */
        for (int i = 0; i < ROWS && status == TR_OK; i++)
            status = step(bench, i, round, err);
    if (status == TR_OK && tr_comm_index(bench->world) == 0)
        print_all(bench);
    return status;
}

static enum tr_status run(struct tr_comm *world, void *user, struct tr_err *err)
{
    struct bench *bench = calloc(1, sizeof *bench);
    if (!bench)
        return tr_fail(err, TR_FAILED, "out of memory for %zu bytes", sizeof *bench);
    bench->shape = user;
    bench->world = world;
    bench->mpi = tr_mpi_of(world, &bench->group);
    enum tr_status status = run_rows(bench, err);
    if (status != TR_OK)
        tr_comm_fail(world, status, err);
    for (int i = 0; i < ROWS; i++) {
        if (bench->run[i].is_open)
            tr_exec_close(&bench->run[i].exec);
        tr_program_free(&bench->run[i].program);
    }
    free(bench);
    return status;
}

static bool read_shape(int count, char **words, struct shape *s)
{
    *s = (struct shape){6, 384, 256, 16, TR_F32, 15};
    if (count > 0)
        s->layers = atoi(words[0]);
    if (count > 1)
        s->width = atoi(words[1]);
    if (count > 2)
        s->seq_len = atoll(words[2]);
    if (count > 3)
        s->batch = atoll(words[3]);
    if (count > 4)
        s->dtype = strcmp(words[4], "bf16") == 0 ? TR_BF16 : TR_F32;
    if (count > 5)
        s->rounds = atoi(words[5]);
    return s->width % 64 == 0 && s->batch % 8 == 0 && s->rounds > 0 && s->rounds <= ROUNDS_MAX;
}

int main(int argc, char **argv)
{
    struct tr_comm *world = NULL;
    struct tr_err err = {""};
    struct shape shape;
    int threads = argc > 1 && strncmp(argv[1], "threads=", 8) == 0 ? atoi(argv[1] + 8) : 0, used = 1 + (threads > 0);
    if (threads < 0 || threads > TR_RANKS_THREADS_MAX || !read_shape(argc - used, argv + used, &shape)) {
        fprintf(stderr, "bench_ranks: usage: bench_ranks [threads=N] [LAYERS WIDTH SEQ_LEN BATCH f32|bf16 ROUNDS]; the width in heads of 64, "
                        "the batch a multiple of 8\n");
        return TR_BAD_INPUT;
    }
    enum tr_status status = threads > 0 ? tr_ranks_run(threads, NULL, run, &shape, &err) : tr_mpi_start(NULL, &world, &err);
    if (world != NULL) {
        status = run(world, &shape, &err);
        tr_comm_free(world);
    }
    if (status != TR_OK)
        fprintf(stderr, "bench_ranks: %s\n", err.text);
    return (int)status;
}
