/* Small training programs are run, and each operation's time is noted. */
#include "plan/calibrate/inside.h"

#include "base/crowd.h"
#include "base/num.h"
#include "base/os.h"
#include "plan/here/here.h"
#include "silicon/chip/peak.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Chosen so that each kind of operation is seen at sizes that span those of runs: widths 128 to 1600, sequences 64 to 4096,
 * rows of a microbatch 64 to 4096, heads of 32 to 128, few and many of them, small and large vocabularies; one layer, since
 * all layers are alike. Wide ones have no more rows than it takes to see all terms of a product, for rows cost as much as width:
 * each takes a fraction of a second a step. Small ones stand first and in the middle, where a short calibration takes its own from. */
static const struct tr_trial_shape shapes[] = {
    {TR_GPT2, 128, 4, 4, 512, 4096, 64, 1},       {TR_GPT2, 128, 4, 4, 512, 256, 64, 32},
    {TR_GPT2, 256, 4, 4, 1024, 4096, 256, 8},     {TR_GPT2, 384, 6, 6, 1536, 257, 512, 4},
    {TR_GPT2, 768, 12, 12, 3072, 8192, 1024, 1},  {TR_GPT2, 1024, 16, 16, 4096, 1024, 128, 4},
    {TR_GPT2, 256, 4, 4, 1024, 257, 4096, 1},     {TR_GPT2, 512, 8, 8, 2048, 2048, 1024, 1},
    {TR_GPT2, 512, 16, 16, 2048, 257, 128, 1},    {TR_GPT2, 320, 10, 10, 1280, 257, 2048, 1},
    {TR_GPT2, 192, 3, 3, 768, 16384, 64, 16},     {TR_LLAMA, 192, 3, 3, 512, 257, 256, 8},
    {TR_LLAMA, 128, 2, 1, 384, 1000, 512, 1},     {TR_LLAMA, 320, 5, 5, 1024, 16384, 128, 8},
    {TR_LLAMA, 640, 10, 5, 1792, 4096, 512, 2},   {TR_LLAMA, 1536, 12, 4, 4096, 512, 256, 1},
    {TR_LLAMA, 768, 12, 12, 2048, 257, 64, 8},    {TR_LLAMA, 448, 7, 7, 1280, 257, 2048, 1},
    {TR_LLAMA, 256, 2, 2, 704, 512, 64, 4},       {TR_LLAMA, 768, 6, 6, 2048, 257, 256, 1},
    {TR_LLAMA, 256, 2, 2, 704, 257, 2048, 1},     {TR_LLAMA, 1280, 10, 5, 3456, 257, 128, 1},
    {TR_LLAMA, 128, 1, 1, 384, 257, 1024, 4},     {TR_GPT2, 1600, 25, 25, 6400, 257, 64, 1},
    {TR_LLAMA, 896, 14, 14, 2432, 4096, 64, 2},
};
/* Texts are written a token at a time, which reads all matrices once: 2 to 120 MB of them, so that caches hold them all, some of them, few. */
static const struct tr_trial_shape writing[] = {
    {TR_LLAMA, 192, 3, 3, 512, 257, 512, 0},      {TR_GPT2, 384, 6, 6, 1536, 257, 512, 0},
    {TR_LLAMA, 640, 10, 5, 1792, 4096, 512, 0},   {TR_GPT2, 1280, 20, 20, 5120, 8192, 512, 0},
};
enum { SHAPES = sizeof shapes / sizeof *shapes, WRITING = sizeof writing / sizeof *writing, TIMES_MAX = 16,
       VISITS_MAX = TR_CALIBRATE_ROUNDS_MAX * SHAPES * TR_KERNEL_TYPES };

#define VISIT_S .05 /* of steps, with options.scale 1 or more */

/* Less time than usual: fewer programs of `all`. More: more rounds. */
static int fewer(int all, double scale) { return (int)ceil(fmin(1, scale) * all); }

/* Number i of those that are measured: spread over all, and behind them those that write. */
static const struct tr_trial_shape *shape_of(double scale, int i)
{
    int train = fewer(SHAPES, scale), write = fewer(WRITING, scale);
    return i < train ? &shapes[i * SHAPES / train] : &writing[(i - train) * WRITING / write];
}

static int program_count(double scale) { return (fewer(SHAPES, scale) + fewer(WRITING, scale)) * TR_KERNEL_TYPES; }

static int rounds_of(double scale) { return (int)fmin(TR_CALIBRATE_ROUNDS_MAX, TR_CALIBRATE_ROUNDS * fmax(1, scale)); }

int tr_calibrate_visit_count(double scale) { return rounds_of(scale) * program_count(scale); }

/* Times of each operation of the program that is running. */
struct watch {
    const struct tr_program *program;
    double (*time_s)[TIMES_MAX]; /* [op_count] */
    int64_t *seen;               /* calls since the first step */
    double all_s, step_s[TIMES_MAX]; /* all operations: of all steps, of each */
};

static void observe(void *context, const struct tr_exec_seen *seen)
{
    struct watch *watch = context;
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

/* One block of each is drawn and repeated, which takes a fraction of the time. */
static void fill_weights(struct tr_exec *exec)
{
    enum { BLOCK = 1 << 14 };
    const struct tr_program *p = exec->program;
    for (int32_t i = 0; i < p->weights.count; i++) {
        struct tr_range held = tr_program_held(p, i);
        int64_t count = held.last - held.first;
        float *to = tr_exec_weight(exec, i);
        tr_weight_init_slice(&p->weights.weight[i], i, 1, held.first, tr_min_i64(count, BLOCK), to);
        for (int64_t at = BLOCK; at < count; at += BLOCK)
            memcpy(to + at, to, (size_t)tr_min_i64(count - at, BLOCK) * sizeof *to);
    }
    tr_exec_weights_written(exec);
}

static void fill_batch(struct tr_exec *exec)
{
    const struct tr_program *p = exec->program;
    int32_t *token = tr_exec_buffer(exec, p->tokens), *target = tr_exec_buffer(exec, p->targets);
    int64_t count = p->lanes.count * (p->step.batch / p->step.widths.lanes) * p->step.seq_len;
    for (int64_t i = 0; i < count; i++) {
        token[i] = (int32_t)(i * 7919 % p->model.vocab);
        target[i] = (int32_t)((i + 1) * 7919 % p->model.vocab);
    }
}

void tr_trial_fill(struct tr_exec *exec)
{
    fill_weights(exec);
    fill_batch(exec);
}

enum tr_status tr_trial_open(struct tr_trial *trial, const struct tr_trial_shape *shape, enum tr_dtype dtype, struct tr_machine machine,
                             struct tr_err *err)
{
    const struct tr_model_config model = model_of(shape);
    const struct tr_step_config step = {.dtype = dtype, .form = TR_FORM_ROWS, .batch = shape->batch, .seq_len = shape->seq_len,
                                        .micro_batch = shape->batch, .widths = {1, 1, 1, 1}, .recompute = TR_RECOMPUTE_ELEMENTWISE,
                                        .optimizer = TR_OPTIMIZER_ADAMW};
    trial->steps = 0;
    trial->seq_len = shape->batch == 0 ? shape->seq_len : 0;
    enum tr_status status = trial->seq_len ? tr_program_infer(&trial->program, &model, dtype, TR_FORM_ROWS, &step.widths, 1, 1, trial->seq_len, machine, err)
                                           : tr_program_train(&trial->program, &model, &step, machine, err);
    if (status != TR_OK)
        return status;
    if ((status = tr_exec_open(&trial->exec, &trial->program, machine, NULL, err)) != TR_OK) {
        tr_program_free(&trial->program);
        return status;
    }
    if (trial->seq_len)
        fill_weights(&trial->exec);
    else
        tr_trial_fill(&trial->exec);
    return TR_OK;
}

static void write_token(struct tr_trial *trial)
{
    const int32_t token = (int32_t)(trial->steps % trial->program.model.vocab);
    (void)tr_exec_infer(&trial->exec, &token, trial->steps++ % trial->seq_len);
}

void tr_trial_step(struct tr_trial *trial)
{
    if (trial->seq_len) {
        write_token(trial);
        return;
    }
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
    struct tr_samples *out;
    int64_t room, next;            /* next: of the samples that are there, where a later round goes on */
    double between_s[VISITS_MAX];  /* of each visit */
    double waited_s, wall_s;       /* of all of them */
    int visits, again_left;
};

/* What a visit comes to, besides the times of operations. */
struct visit {
    int64_t steps;
    double hand_s, between_s;
    double waited_s, wall_s; /* waited: threads that were ready and had no core, together */
};

static enum tr_status add_sample(struct samples *s, const struct tr_kernel_sample *sample, struct tr_err *err)
{
    if (s->out->count == s->room) {
        int64_t room = s->room ? 2 * s->room : 1024;
        struct tr_kernel_sample *grown = realloc(s->out->at, (size_t)room * sizeof *grown);
        if (!grown)
            return tr_fail(err, TR_FAILED, "out of memory for %lld samples", (long long)room);
        s->out->at = grown;
        s->room = room;
    }
    s->out->at[s->out->count++] = *sample;
    return TR_OK;
}

/* The first round adds what the later ones add their times to. */
static enum tr_status keep_time(struct samples *s, const struct tr_kernel_sample *sample, double time_s, double hand_s, struct tr_err *err)
{
    enum tr_status status = s->next == s->out->count ? add_sample(s, sample, err) : TR_OK;
    if (status != TR_OK)
        return status;
    struct tr_kernel_sample *to = &s->out->at[s->next++];
    TR_ASSERT(to->program == sample->program && to->op.kind == sample->op.kind && to->rounds < TR_CALIBRATE_ROUNDS_MAX);
    to->hand_s[to->rounds] = hand_s;
    to->round_s[to->rounds++] = time_s > 1e-9 ? time_s : 1e-9;
    return TR_OK;
}

/* Medians of operations come to less than the median of steps, as what delays one is never in all steps: how many times as long they are. */
static double times_of_medians(struct watch *watch, int64_t steps)
{
    double sum_s = 0;
    for (int32_t i = 0; i < watch->program->op_count; i++)
        if (watch->seen[i] >= steps)
            sum_s += (double)watch->seen[i] / (double)steps * tr_median(watch->time_s[i], tr_min_i64(watch->seen[i], TIMES_MAX));
    return tr_median(watch->step_s, steps) / sum_s;
}

/* Of what writes a token the products alone are like no others: of the rest it has too little to be said anything by. */
static bool is_sample(const struct tr_program_op *op, bool writes)
{
    const struct tr_kernel_term *terms;
    return writes ? tr_kernel_is_of_few_rows(&op->op) : tr_kernel_terms(op->op.kind, &terms) > 0;
}

/* What the watch saw in `steps` steps. */
static enum tr_status keep_times(struct watch *watch, bool writes, int number, int64_t steps, double hand_s, struct samples *to, struct tr_err *err)
{
    const struct tr_program *p = watch->program;
    double times = times_of_medians(watch, steps);
    enum tr_status status = TR_OK;
    for (int32_t i = 0; i < p->op_count && status == TR_OK; i++) {
        int64_t seen = watch->seen[i];
        if (seen < steps || !is_sample(&p->op[i], writes))
            continue;
        const struct tr_kernel_sample sample = {.op = p->op[i].op, .present = tr_program_op_present(&p->op[i]), .program = number,
                                                .state_bytes = tr_here_state_bytes(p), .calls = seen / steps};
        status = keep_time(to, &sample, times * tr_median(watch->time_s[i], tr_min_i64(seen, TIMES_MAX)), hand_s, err);
    }
    return status;
}

double tr_calibrate_hand(double before_s, double after_s)
{
    return after_s < 1.5 * before_s && before_s < 1.5 * after_s ? fmin(before_s, after_s) : -1;
}

static void forget(struct watch *watch)
{
    memset(watch->seen, 0, (size_t)watch->program->op_count * sizeof *watch->seen);
    watch->all_s = 0;
}

/* A program's first step warms up those after it, and is forgotten. A long one is not: its pages are there, and what it finds in the caches is as
 * little as in any other of its steps. */
static struct visit make_steps(const struct tr_calibrate_options *options, struct tr_trial *trial, struct watch *watch)
{
    struct visit v = {.steps = 0};
    int threads = trial->exec.machine.threads;
    int64_t ops = 0;
    forget(watch);
    double hand_s = threads > 1 ? tr_chip_measure_hand_s() : 0, waited_s = tr_team_waited_s(threads), begin_s = tr_clock_s();
    do {
        double before_s = watch->all_s;
        tr_trial_step(trial);
        watch->step_s[v.steps++] = watch->all_s - before_s;
        v.wall_s = tr_clock_s() - begin_s;
        if (trial->steps == 1 && v.wall_s < VISIT_S) {
            forget(watch);
            v.steps = 0, v.wall_s = 0, begin_s = tr_clock_s();
        }
    } while (v.steps < TIMES_MAX && v.wall_s < VISIT_S * fmin(1, options->scale));
    v.waited_s = fmax(0, tr_team_waited_s(threads) - waited_s);
    for (int32_t i = 0; i < watch->program->op_count; i++)
        ops += watch->seen[i];
    v.between_s = fmax(0, v.wall_s - watch->all_s) / (double)ops;
    v.hand_s = threads > 1 ? tr_calibrate_hand(hand_s, tr_chip_measure_hand_s()) : 0;
    return v;
}

bool tr_calibrate_again(double waiting, int *left)
{
    bool again = waiting > TR_MUCH_WAITING && *left > 0;
    *left -= again;
    return again;
}

static enum tr_status time_steps(const struct tr_calibrate_options *options, struct tr_trial *trial, struct watch *watch, int number,
                                 struct samples *to, struct tr_err *err)
{
    struct visit v;
    trial->exec.machine.threads = to->out->threads;
    do
        v = make_steps(options, trial, watch);
    while (tr_calibrate_again(v.waited_s / v.wall_s, &to->again_left));
    if (!trial->seq_len)
        to->between_s[to->visits++] = v.between_s;
    to->waited_s += v.waited_s;
    to->wall_s += v.wall_s;
    return keep_times(watch, trial->seq_len > 0, number, v.steps, v.hand_s, to, err);
}

/* With each number of threads. */
static enum tr_status visit(const struct tr_calibrate_options *options, const struct tr_trial_shape *shape, enum tr_dtype dtype,
                            struct tr_machine machine, int number, struct samples *to, int ways, struct tr_err *err)
{
    struct tr_trial trial;
    enum tr_status status = tr_trial_open(&trial, shape, dtype, machine, err);
    if (status != TR_OK)
        return status;
    struct watch watch = {.program = &trial.program, .time_s = calloc((size_t)trial.program.op_count, sizeof *watch.time_s),
                          .seen = calloc((size_t)trial.program.op_count, sizeof *watch.seen)};
    if (watch.time_s && watch.seen) {
        trial.exec.observer = observe;
        trial.exec.observer_context = &watch;
        for (int way = 0; way < ways && status == TR_OK; way++)
            status = time_steps(options, &trial, &watch, number, &to[way], err);
    } else {
        status = tr_fail(err, TR_FAILED, "out of memory for the times of %d operations", trial.program.op_count);
    }
    tr_trial_close(&trial);
    free(watch.time_s);
    free(watch.seen);
    return status;
}

/* Beside other programs all this takes several times as long and is of both: said while it can still be stopped. */
static void note_company(const struct samples *seen, struct tr_progress *bar)
{
    double waiting = seen->waited_s / seen->wall_s;
    if (waiting > TR_MUCH_WAITING)
        tr_progress_note(bar, "note: other programs want these cores, and threads wait %.2f s a second for one: measuring takes longer, and will be of a machine "
                              "that is shared; interrupted, it writes nothing", waiting);
}

static enum tr_status visit_all(const struct tr_calibrate_options *options, struct tr_machine machine, struct tr_progress *bar,
                                struct samples *to, int ways, struct tr_err *err)
{
    static const enum tr_dtype types[TR_KERNEL_TYPES] = {TR_F32, TR_BF16};
    int programs = program_count(options->scale), all = tr_calibrate_visit_count(options->scale);
    enum tr_status status = TR_OK;
    for (int i = 0; i < all && status == TR_OK; i++) {
        int number = i % programs;
        for (int way = 0; way < ways && number == 0; way++)
            to[way].next = 0;
        status = visit(options, shape_of(options->scale, number / TR_KERNEL_TYPES), types[number % TR_KERNEL_TYPES], machine, number, to, ways, err);
        tr_progress_update(bar, i + 1, "round %d of %d", i / programs + 1, all / programs);
        if (i + 1 == programs)
            note_company(&to[0], bar);
        if (status == TR_OK)
            status = tr_calibrate_goes_on(options, err);
    }
    return status;
}

enum tr_status tr_calibrate_samples(const struct tr_calibrate_options *options, enum tr_isa isa, struct tr_progress *bar,
                                    struct tr_samples *out, int ways, struct tr_err *err)
{
    struct tr_machine machine = {.kernels = tr_kernel_set(isa), .threads = out[0].threads};
    struct samples *samples = calloc((size_t)ways, sizeof *samples);
    if (!samples)
        return tr_fail(err, TR_FAILED, "out of memory for the samples of %d numbers of threads", ways);
    for (int way = 0; way < ways; way++) {
        TR_ASSERT(out[way].threads <= out[0].threads && out[way].count == 0);
        samples[way].out = &out[way];
        samples[way].again_left = tr_calibrate_visit_count(options->scale) / 4; /* so much longer it takes at most */
    }
    enum tr_status status = visit_all(options, machine, bar, samples, ways, err);
    for (int way = 0; way < ways && status == TR_OK; way++) {
        out[way].between_s = tr_median(samples[way].between_s, samples[way].visits);
        out[way].waiting = samples[way].waited_s / samples[way].wall_s;
    }
    free(samples);
    return status;
}
