#include "lab/train/fit.h"

#include "base/num.h"
#include "base/quantity.h"
#include "lab/train/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what there is ----------------------------------------------------------------------------------------------- */

static int64_t reserve_bytes(const struct tr_memory *memory) { return tr_min_i64((int64_t)256 << 20, memory->total_bytes / 32); }

/* Of a host. */
static int64_t find_limit(int64_t memory_bytes, struct tr_fit_limit *out)
{
    char amount[TR_QUANTITY_BYTES];
    struct tr_memory memory;
    if (memory_bytes > 0) {
        snprintf(out->words, sizeof out->words, "there are %s", tr_print_bytes(amount, memory_bytes));
        return memory_bytes;
    }
    tr_memory_read("", &memory);
    int64_t bytes = tr_max_i64(1, memory.free_bytes - reserve_bytes(&memory));
    tr_memory_words(&memory, out->words);
    size_t len = strlen(out->words);
    snprintf(out->words + len, sizeof out->words - len, ", of which a run may take %s", tr_print_bytes(amount, bytes));
    return bytes;
}

void tr_fit_limit(int64_t memory_bytes, int host_ranks, struct tr_fit_limit *out)
{
    char amount[TR_QUANTITY_BYTES];
    out->bytes = tr_max_i64(1, find_limit(memory_bytes, out) / host_ranks);
    size_t len = strlen(out->words);
    if (host_ranks > 1)
        snprintf(out->words + len, sizeof out->words - len, ", %s a rank", tr_print_bytes(amount, out->bytes));
}

/* ---- what is needed ---------------------------------------------------------------------------------------------- */

struct tr_step_config tr_fit_step(const struct tr_fit *fit, const struct tr_run_config *config, int rank)
{
    struct tr_step_config step = tr_run_step_config(config);
    step.place.degrees = fit->layout;
    step.place.rank = rank;
    return step;
}

static bool leads(const struct tr_program *program) { return program->step.place.rank == 0; }

static bool has_others(const struct tr_program *program) { return tr_degrees_ranks(&program->step.place.degrees) > 1; }

/* Where no rank reads whole weights, samples are made by the lead, from weights of its own. */
static int64_t sample_bytes(const struct tr_run_config *config, const struct tr_program *program)
{
    bool own = leads(program) && !tr_program_reads_whole(program) && config->sample_tokens > 0;
    int64_t each = tr_dtype_bytes(TR_F32) + (program->step.dtype == TR_F32 ? 0 : tr_dtype_bytes(program->step.dtype));
    return own ? program->weights.element_count * each : 0;
}

/* The other model's weights as a whole, which the lead of several ranks reads and hands out. */
static int64_t init_bytes(const struct tr_run_config *config, const struct tr_program *program)
{
    bool reads = has_others(program) && leads(program) && config->init[0];
    return reads ? program->weights.element_count * (int64_t)sizeof(float) : 0;
}

static int64_t replay_bytes(const struct tr_run_config *config, const struct tr_program *program)
{
    const struct tr_sharding whole = tr_sharding_whole(&program->weights);
    return config->replay_every > 0 ? tr_copy_bytes(&whole, 0) : 0;
}

int64_t tr_fit_bytes(const struct tr_fit *fit, const struct tr_run_config *config, const struct tr_program *program)
{
    const int64_t parts[] = {tr_program_memory_bytes(program), sample_bytes(config, program), init_bytes(config, program),
                             replay_bytes(config, program), tr_run_save_bytes(config, program), tr_run_spread_bytes(program),
                             fit->data_bytes, TR_FIT_PROCESS_BYTES};
    int64_t need = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (!tr_add_i64(need, parts[i], &need))
            return INT64_MAX;
    return need;
}

/* INT64_MAX: there is no such program; the sentence says why. */
static int64_t need_of(const struct tr_fit *fit, const struct tr_run_config *config, int rank, struct tr_err *err)
{
    struct tr_program program;
    struct tr_step_config step = tr_fit_step(fit, config, rank);
    if (tr_program_train(&program, fit->model, &step, fit->machine, err) != TR_OK)
        return INT64_MAX;
    int64_t need = tr_fit_bytes(fit, config, &program);
    tr_program_free(&program);
    return need;
}

/* ---- what is left to us ------------------------------------------------------------------------------------------ */

/* The next smaller microbatch that divides a lane's sequences; 0: there is none. */
static int64_t smaller_micro_batch(const struct tr_run_config *config)
{
    int64_t lane = config->batch / config->lanes, size = config->micro_batch - 1;
    while (size > 0 && lane % size)
        size--;
    return size;
}

/* Stages of a pipeline wait less when there are more microbatches: this many for each stage are a fifth of the time waited. */
enum { MICROS_A_STAGE = 4 };

/* It is the same on all ranks: it goes by the rank with the fewest lanes. */
void tr_fit_fill_pipe(const struct tr_fit *fit, struct tr_run_config *config)
{
    int64_t stages = tr_degrees_of(&fit->layout, TR_GROUP_PIPE), lanes = config->lanes / tr_degrees_of(&fit->layout, TR_GROUP_DATA);
    int64_t sequences = lanes * (config->batch / config->lanes);
    while (fit->auto_micro_batch && stages > 1 && config->micro_batch > 1 && sequences / config->micro_batch < MICROS_A_STAGE * stages)
        config->micro_batch = smaller_micro_batch(config);
}

bool tr_fit_less(const struct tr_fit *fit, struct tr_run_config *config)
{
    int64_t size = smaller_micro_batch(config);
    if (fit->auto_micro_batch && size > 0) {
        config->micro_batch = size;
        return true;
    }
    if (!fit->auto_recompute || config->recompute == TR_RECOMPUTE_FULL + 1)
        return false;
    config->recompute = TR_RECOMPUTE_FULL + 1;
    return true;
}

/* What is not at least so much faster than what the rules say is not worth leaving them for. */
#define WORTH .01

struct asked {
    const struct tr_fit *fit;
    int64_t limit_bytes;
    tr_fit_price_fn *price;
    void *context;
};

/* Seconds of a step; INFINITY where that cannot be said, or the program cannot be built or does not fit. */
static double price_of(const struct asked *a, const struct tr_run_config *config)
{
    struct tr_program program;
    struct tr_step_config step = tr_fit_step(a->fit, config, 0);
    struct tr_err ignored;
    if (tr_program_train(&program, a->fit->model, &step, a->fit->machine, &ignored) != TR_OK)
        return INFINITY;
    bool fits = tr_fit_bytes(a->fit, config, &program) <= a->limit_bytes;
    double time_s = fits ? a->price(a->context, &program, a->fit->machine.threads, a->fit->hand_s) : 0;
    tr_program_free(&program);
    return time_s > 0 ? time_s : INFINITY;
}

double tr_fit_fastest(const struct tr_fit *fit, struct tr_run_config *config, int64_t limit_bytes, tr_fit_price_fn *price, void *context)
{
    const struct asked asked = {fit, limit_bytes, price, context};
    if (!fit->auto_micro_batch || tr_degrees_ranks(&fit->layout) > 1)
        return 1;
    double usual_s = price_of(&asked, config), best_s = usual_s;
    int64_t usual = config->micro_batch, best = usual, lane = config->batch / config->lanes;
    int tries = isfinite(usual_s) ? 0 : TR_FIT_TRIES_MAX;
    for (config->micro_batch = 1; config->micro_batch <= lane && tries < TR_FIT_TRIES_MAX; config->micro_batch++) {
        if (lane % config->micro_batch || config->micro_batch == usual)
            continue;
        double time_s = price_of(&asked, config);
        tries++;
        if (time_s < best_s)
            best_s = time_s, best = config->micro_batch;
    }
    bool worth = best_s < usual_s * (1 - WORTH);
    config->micro_batch = worth ? best : usual;
    return worth ? usual_s / best_s : 1;
}

/* ---- what nearest would fit -------------------------------------------------------------------------------------- */

/* Shorter sequences teach a model little; models of the dial are no deeper (model.depth). */
enum { SEQ_LEN_WORTH = 16, DEPTH_MAX = 128 };

/* The longest sequence, by halves, with which it fits; 0: none. It decides the run's bits, so that it can only be proposed. */
static int64_t fitting_seq_len(const struct tr_fit *fit, struct tr_run_config *least, int rank, int64_t limit_bytes, int64_t *need)
{
    int64_t usual = least->seq_len, fits = 0;
    struct tr_err ignored;
    for (least->seq_len /= 2; least->seq_len >= SEQ_LEN_WORTH && fits == 0; least->seq_len /= 2)
        if ((*need = need_of(fit, least, rank, &ignored)) <= limit_bytes)
            fits = least->seq_len;
    least->seq_len = usual;
    return fits;
}

static int64_t need_of_depth(const struct tr_fit *fit, const struct tr_run_config *least, int rank, int depth)
{
    struct tr_model_config model;
    struct tr_fit smaller = *fit;
    struct tr_err ignored;
    if (tr_model_from_depth(&model, depth, fit->vocab, least->seq_len, &ignored) != TR_OK)
        return INT64_MAX;
    model.lora = fit->model->lora;
    smaller.model = &model;
    return need_of(&smaller, least, rank, &ignored);
}

/* The largest model of the dial that fits; 0: none. Deeper ones are wider too, and need more. */
static int fitting_depth(const struct tr_fit *fit, const struct tr_run_config *least, int rank, int64_t limit_bytes, int64_t *need)
{
    int fits = 0, not = DEPTH_MAX + 1;
    while (not - fits > 1) {
        int depth = (fits + not) / 2;
        int64_t bytes = need_of_depth(fit, least, rank, depth);
        if (bytes <= limit_bytes)
            *need = bytes, fits = depth;
        else
            not = depth;
    }
    return fits;
}

/* Even the least does not fit: what else would. */
static void name_smaller(const struct tr_fit *fit, struct tr_run_config *least, int rank, int64_t limit_bytes, struct tr_text *out)
{
    char bytes[TR_QUANTITY_BYTES];
    int64_t need = 0, seq_len = fitting_seq_len(fit, least, rank, limit_bytes, &need);
    if (seq_len > 0)
        tr_text_printf(out, "with data.seq_len %lld besides, %s", (long long)seq_len, tr_print_bytes(bytes, need));
    int depth = fitting_depth(fit, least, rank, limit_bytes, &need);
    if (depth > 0)
        tr_text_printf(out, "%s model.depth %d, %s", seq_len > 0 ? ", or with" : "the largest model of the dial that fits is", depth,
                       tr_print_bytes(bytes, need));
    if (out->len == 0)
        tr_text_append(out, "no model of the dial fits");
}

static enum tr_status refuse_with(const struct tr_fit *fit, struct tr_run_config *least, int rank, int64_t need,
                                  const struct tr_fit_limit *limit, struct tr_err *err)
{
    char need_text[TR_QUANTITY_BYTES], less_text[TR_QUANTITY_BYTES];
    const char *each = tr_degrees_ranks(&fit->layout) > 1 ? " on each rank" : "";
    struct tr_text other = {0};
    int64_t less = need_of(fit, least, rank, err);
    if (less == INT64_MAX)
        return TR_BAD_INPUT;
    tr_print_bytes(need_text, need);
    tr_print_bytes(less_text, less);
    if (less <= limit->bytes)
        return tr_fail(err, TR_NO, "training %s needs %s of memory%s, %s; with train.micro_batch 1 and train.recompute full it would need %s and "
                       "give the same bits", fit->model->name, need_text, each, limit->words, less_text);
    name_smaller(fit, least, rank, limit->bytes, &other);
    enum tr_status status = tr_fail(err, TR_NO, "training %s needs %s of memory%s, %s; even with train.micro_batch 1 and train.recompute full it "
                                    "would need %s: %s", fit->model->name, need_text, each, limit->words, less_text, tr_text_str(&other));
    tr_text_free(&other);
    return status;
}

enum tr_status tr_fit_refuse(const struct tr_fit *fit, const struct tr_run_config *config, int rank, int64_t need_bytes,
                             const struct tr_fit_limit *limit, struct tr_err *err)
{
    struct tr_run_config *least = malloc(sizeof *least);
    if (!least)
        return tr_fail(err, TR_FAILED, "out of memory for %zu bytes", sizeof *least);
    *least = *config;
    least->micro_batch = 1;
    least->recompute = TR_RECOMPUTE_FULL + 1;
    enum tr_status status = refuse_with(fit, least, rank, need_bytes, limit, err);
    free(least);
    return status;
}
