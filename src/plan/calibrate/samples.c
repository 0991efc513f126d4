/* Small training programs are run, and each operation's time is noted. */
#include "plan/calibrate/inside.h"

#include "base/num.h"
#include "base/os.h"
#include "plan/here/here.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Chosen so that each kind of operation is seen at sizes that span those of runs: widths 128 to 1600, sequences 64 to 4096,
 * rows of a microbatch 64 to 4096, heads of 32 to 128, few and many of them, small and large vocabularies; one layer, since
 * all layers are alike. Each takes a fraction of a second a step. Small ones stand first and in the middle, where a short
 * calibration takes its own from. */
static const struct tr_trial_shape shapes[] = {
    {TR_GPT2, 128, 4, 4, 512, 4096, 64, 1},       {TR_GPT2, 128, 4, 4, 512, 256, 64, 32},
    {TR_GPT2, 256, 4, 4, 1024, 4096, 256, 16},    {TR_GPT2, 384, 6, 6, 1536, 257, 512, 4},
    {TR_GPT2, 768, 12, 12, 3072, 8192, 1024, 1},  {TR_GPT2, 1024, 16, 16, 4096, 1024, 128, 8},
    {TR_GPT2, 256, 4, 4, 1024, 257, 4096, 1},     {TR_GPT2, 512, 8, 8, 2048, 2048, 2048, 1},
    {TR_GPT2, 512, 16, 16, 2048, 257, 128, 1},    {TR_GPT2, 320, 10, 10, 1280, 257, 2048, 1},
    {TR_GPT2, 192, 3, 3, 768, 16384, 64, 16},     {TR_LLAMA, 192, 3, 3, 512, 257, 256, 8},
    {TR_LLAMA, 128, 2, 1, 384, 1000, 512, 1},     {TR_LLAMA, 320, 5, 5, 1024, 16384, 128, 16},
    {TR_LLAMA, 640, 10, 5, 1792, 4096, 512, 4},   {TR_LLAMA, 1536, 12, 4, 4096, 512, 256, 2},
    {TR_LLAMA, 768, 12, 12, 2048, 257, 64, 24},   {TR_LLAMA, 448, 7, 7, 1280, 257, 2048, 1},
    {TR_LLAMA, 256, 2, 2, 704, 512, 64, 4},       {TR_LLAMA, 768, 6, 6, 2048, 257, 256, 1},
    {TR_LLAMA, 256, 2, 2, 704, 257, 4096, 1},     {TR_LLAMA, 1280, 10, 5, 3456, 257, 128, 1},
    {TR_LLAMA, 128, 1, 1, 384, 257, 1024, 4},     {TR_GPT2, 1600, 25, 25, 6400, 257, 64, 1},
    {TR_LLAMA, 896, 14, 14, 2432, 4096, 64, 2},
};
/* Each program is run twice, all others in between, and an operation's time is the better one: what slows a machine down for a
 * while, a neighbour or heat, seldom hits both. */
enum { SHAPES = sizeof shapes / sizeof *shapes, VISITS = 2, TIMES_MAX = 16 };

#define VISIT_S .06 /* of steps after the first, with options.scale 1 */

/* Less time than usual: fewer programs. */
static int shape_count(double scale)
{
    int count = (int)ceil(scale * SHAPES);
    return count < SHAPES ? count : SHAPES;
}

/* Number i of those that are measured: spread over all. */
static const struct tr_trial_shape *shape_of(double scale, int i) { return &shapes[i * SHAPES / shape_count(scale)]; }

int tr_calibrate_program_count(double scale) { return VISITS * shape_count(scale) * TR_KERNEL_TYPES; }

/* Times of each operation of the program that is running. */
struct watch {
    const struct tr_program *program;
    double (*time_s)[TIMES_MAX]; /* [op_count] */
    int64_t *seen;               /* calls since the first step */
    double all_s;
    bool on;
};

static void observe(void *context, const struct tr_exec_seen *seen)
{
    struct watch *watch = context;
    if (!watch->on)
        return;
    int64_t index = seen->op - watch->program->op, at = watch->seen[index]++;
    if (at < TIMES_MAX)
        watch->time_s[index][at] = seen->end_s - seen->begin_s;
    watch->all_s += seen->end_s - seen->begin_s;
}

/* ---- one program ------------------------------------------------------------------------------------------------- */

static struct tr_model_config model_of(const struct tr_trial_shape *shape)
{
    return (struct tr_model_config){.name = "calibration", .family = shape->family, .vocab = shape->vocab, .width = shape->width,
                                    .layers = 1, .heads = shape->heads, .kv_heads = shape->kv_heads,
                                    .head_dim = shape->width / shape->heads, .ffn = shape->ffn, .positions = shape->seq_len,
                                    .norm_eps = 1e-5f, .rope_theta = 10000, .tied = shape->family == TR_GPT2, .init_std = .02f};
}

/* Any tokens will do: no time depends on them. */
static void fill_batch(struct tr_exec *exec, const struct tr_trial_shape *shape)
{
    int32_t *token = tr_exec_buffer(exec, exec->program->tokens), *target = tr_exec_buffer(exec, exec->program->targets);
    for (int64_t i = 0; i < shape->batch * shape->seq_len; i++) {
        token[i] = (int32_t)(i * 7919 % shape->vocab);
        target[i] = (int32_t)((i + 1) * 7919 % shape->vocab);
    }
}

enum tr_status tr_trial_open(struct tr_trial *trial, const struct tr_trial_shape *shape, enum tr_dtype dtype, struct tr_machine machine,
                             struct tr_err *err)
{
    const struct tr_model_config model = model_of(shape);
    const struct tr_step_config step = {.dtype = dtype, .form = TR_FORM_ROWS, .batch = shape->batch, .seq_len = shape->seq_len,
                                        .micro_batch = shape->batch, .widths = {1, 1, 1, 1}, .recompute = TR_RECOMPUTE_ELEMENTWISE,
                                        .optimizer = TR_OPTIMIZER_ADAMW};
    trial->steps = 0;
    enum tr_status status = tr_program_train(&trial->program, &model, &step, machine, err);
    if (status != TR_OK)
        return status;
    if ((status = tr_exec_open(&trial->exec, &trial->program, machine, NULL, err)) != TR_OK) {
        tr_program_free(&trial->program);
        return status;
    }
    tr_exec_init(&trial->exec, 1);
    fill_batch(&trial->exec, shape);
    return TR_OK;
}

void tr_trial_step(struct tr_trial *trial)
{
    static const struct tr_hyper hyper = {.lr = 1e-4, .beta1 = .9, .beta2 = .95, .eps = 1e-8, .weight_decay = .1, .clip_norm = 1};
    const struct tr_step_config *step = &trial->program.step;
    tr_exec_set_hyper(&trial->exec, &hyper, ++trial->steps);
    (void)tr_exec_gradients(&trial->exec, step->batch * step->seq_len);
    tr_exec_update(&trial->exec);
}

void tr_trial_close(struct tr_trial *trial)
{
    tr_exec_close(&trial->exec);
    tr_program_free(&trial->program);
}

/* ---- samples ----------------------------------------------------------------------------------------------------- */

struct samples {
    struct tr_kernel_sample *at;
    int64_t count, room;
    double between_s; /* sum over programs, divided by how many in the end */
    int64_t next;     /* second visit: the sample that comes next, in the order of the first */
};

static enum tr_status add_sample(struct samples *s, const struct tr_kernel_sample *sample, struct tr_err *err)
{
    if (s->count == s->room) {
        int64_t room = s->room ? 2 * s->room : 1024;
        struct tr_kernel_sample *grown = realloc(s->at, (size_t)room * sizeof *grown);
        if (!grown)
            return tr_fail(err, TR_FAILED, "out of memory for %lld samples", (long long)room);
        s->at = grown;
        s->room = room;
    }
    s->at[s->count++] = *sample;
    return TR_OK;
}

static enum tr_status keep_sample(struct samples *s, const struct tr_kernel_sample *sample, int visit, struct tr_err *err)
{
    if (visit == 0)
        return add_sample(s, sample, err);
    struct tr_kernel_sample *first = &s->at[s->next++];
    TR_ASSERT(first->program == sample->program && first->op.kind == sample->op.kind);
    if (sample->time_s < first->time_s)
        first->time_s = sample->time_s;
    return TR_OK;
}

/* The medians of what the watch saw in `steps` steps. */
static enum tr_status keep_samples(const struct watch *watch, int number, int visit, int64_t steps, struct samples *to,
                                   struct tr_err *err)
{
    const struct tr_program *p = watch->program;
    const struct tr_kernel_term *terms;
    enum tr_status status = TR_OK;
    for (int32_t i = 0; i < p->op_count && status == TR_OK; i++) {
        int64_t seen = watch->seen[i], kept = seen < TIMES_MAX ? seen : TIMES_MAX;
        if (seen < steps || tr_kernel_terms(p->op[i].op.kind, &terms) == 0)
            continue;
        qsort(watch->time_s[i], (size_t)kept, sizeof(double), tr_ascending);
        double time_s = watch->time_s[i][kept / 2];
        struct tr_kernel_sample sample = {.op = p->op[i].op, .present = tr_program_op_present(&p->op[i]),
                                          .state_bytes = tr_here_state_bytes(p), .program = number,
                                          .calls = seen / steps, .time_s = time_s > 1e-9 ? time_s : 1e-9};
        status = keep_sample(to, &sample, visit, err);
    }
    return status;
}

/* A first step that warms everything up, then those that are timed. */
static enum tr_status time_steps(const struct tr_calibrate_options *options, struct tr_trial *trial, struct watch *watch, int number,
                                 int visit, struct samples *to, struct tr_err *err)
{
    int64_t steps = 0, ops = 0;
    tr_trial_step(trial);
    watch->on = true;
    double begin_s = tr_clock_s(), wall_s;
    do {
        tr_trial_step(trial);
        steps++;
        wall_s = tr_clock_s() - begin_s;
    } while (steps < TIMES_MAX && wall_s < VISIT_S * options->scale);
    for (int32_t i = 0; i < watch->program->op_count; i++)
        ops += watch->seen[i];
    to->between_s += wall_s > watch->all_s ? (wall_s - watch->all_s) / (double)ops : 0;
    return keep_samples(watch, number, visit, steps, to, err);
}

static enum tr_status run_program(const struct tr_calibrate_options *options, const struct tr_trial_shape *shape, enum tr_dtype dtype,
                                  struct tr_machine machine, int number, int visit, struct samples *to, struct tr_err *err)
{
    struct tr_trial trial;
    enum tr_status status = tr_trial_open(&trial, shape, dtype, machine, err);
    if (status != TR_OK)
        return status;
    struct watch watch = {.program = &trial.program, .time_s = calloc((size_t)trial.program.op_count, sizeof *watch.time_s),
                          .seen = calloc((size_t)trial.program.op_count, sizeof *watch.seen)};
    trial.exec.observer = observe;
    trial.exec.observer_context = &watch;
    if (watch.time_s && watch.seen)
        status = time_steps(options, &trial, &watch, number, visit, to, err);
    else
        status = tr_fail(err, TR_FAILED, "out of memory for the times of %d operations", trial.program.op_count);
    tr_trial_close(&trial);
    free(watch.time_s);
    free(watch.seen);
    return status;
}

enum tr_status tr_calibrate_samples(const struct tr_calibrate_options *options, enum tr_isa isa, int threads,
                                    struct tr_progress *bar, int64_t *done, struct tr_kernel_sample **out, int64_t *count,
                                    double *between_s, struct tr_err *err)
{
    static const enum tr_dtype types[TR_KERNEL_TYPES] = {TR_F32, TR_BF16};
    struct tr_machine machine = {.kernels = tr_kernel_set(isa), .threads = threads};
    struct samples samples = {.at = NULL};
    enum tr_status status = TR_OK;
    int shape_total = shape_count(options->scale), programs = shape_total * TR_KERNEL_TYPES;
    for (int i = 0; i < VISITS * programs && status == TR_OK; i++) {
        int number = i % programs;
        enum tr_dtype type = types[number / shape_total];
        status = run_program(options, shape_of(options->scale, number % shape_total), type, machine, number, i / programs, &samples, err);
        tr_progress_update(bar, ++*done, "%s, %d thread%s", tr_dtype_name(type), threads, threads == 1 ? "" : "s");
        if (status == TR_OK && options->stop && *options->stop)
            status = tr_fail(err, TR_FAILED, "interrupted by %s: nothing was written", tr_signal_name(*options->stop));
    }
    if (status != TR_OK) {
        free(samples.at);
        return status;
    }
    *out = samples.at;
    *count = samples.count;
    *between_s = samples.between_s / (VISITS * programs);
    return TR_OK;
}
