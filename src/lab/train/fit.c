/* The step program of a run, and whether it fits into memory: asked before anything is allocated or written. */
#include "base/memory.h"
#include "base/num.h"
#include "base/quantity.h"
#include "lab/train/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The process itself, libraries, thread stacks, the report. */
#define OVERHEAD_BYTES ((int64_t)64 << 20)

/* Shorter sequences teach a model little. */
enum { SEQ_LEN_WORTH = 16 };

/* What a rank may take, and how that is said. */
struct limit {
    int64_t bytes; /* 0: nobody knows */
    char words[TR_MEMORY_WORDS_BYTES + 96];
};

/* Of what is free this much stays so: others, and the kernel for files, want some while the run goes on. */
static int64_t reserve_bytes(const struct tr_memory *memory) { return tr_min_i64((int64_t)256 << 20, memory->total_bytes / 32); }

static void limit_by_host(const struct tr_run *run, int64_t *bytes, struct limit *out)
{
    char amount[TR_QUANTITY_BYTES];
    struct tr_memory memory;
    if (run->options->memory_bytes > 0) {
        *bytes = run->options->memory_bytes;
        snprintf(out->words, sizeof out->words, "there are %s", tr_print_bytes(amount, *bytes));
        return;
    }
    tr_memory_read("", &memory);
    *bytes = tr_max_i64(1, memory.free_bytes - reserve_bytes(&memory));
    tr_memory_words(&memory, out->words);
    size_t len = strlen(out->words);
    snprintf(out->words + len, sizeof out->words - len, ", of which a run may take %s", tr_print_bytes(amount, *bytes));
}

/* A rank's share of what its host has. */
static void find_limit(const struct tr_run *run, struct limit *out)
{
    char amount[TR_QUANTITY_BYTES];
    int64_t bytes;
    limit_by_host(run, &bytes, out);
    out->bytes = tr_max_i64(0, bytes / run->host_ranks);
    size_t len = strlen(out->words);
    if (run->host_ranks > 1)
        snprintf(out->words + len, sizeof out->words - len, ", %s a rank", tr_print_bytes(amount, out->bytes));
}

/* The step of this rank. */
static struct tr_step_config step_of(const struct tr_run *run, const struct tr_run_config *config)
{
    struct tr_step_config step = tr_run_step_config(config);
    step.place.degrees = run->options->layout;
    step.place.rank = run->world ? tr_comm_index(run->world) : 0;
    return step;
}

/* Where no rank reads whole weights, samples are made by the lead, from weights of its own. */
static int64_t sample_bytes(const struct tr_run *run, const struct tr_program *program)
{
    bool own = tr_run_leads(run) && !tr_program_reads_whole(program) && run->config.sample_tokens > 0;
    int64_t each = tr_dtype_bytes(TR_F32) + (program->step.dtype == TR_F32 ? 0 : tr_dtype_bytes(program->step.dtype));
    return own ? program->weights.element_count * each : 0;
}

/* The other model's weights as a whole, which the lead of several ranks reads and hands out. */
static int64_t init_bytes(const struct tr_run *run, const struct tr_program *program)
{
    bool reads = run->world && tr_run_leads(run) && run->config.init[0];
    return reads ? program->weights.element_count * (int64_t)sizeof(float) : 0;
}

static int64_t replay_bytes(const struct tr_run *run, const struct tr_program *program)
{
    const struct tr_sharding whole = tr_sharding_whole(&program->weights);
    return run->config.replay_every > 0 ? tr_copy_bytes(&whole, 0) : 0;
}

static int64_t memory_need(const struct tr_run *run, const struct tr_program *program)
{
    const int64_t parts[] = {tr_program_memory_bytes(program), sample_bytes(run, program), init_bytes(run, program),
                             replay_bytes(run, program), tr_run_save_bytes(&run->config, program), tr_run_spread_bytes(program),
                             run->data_bytes, OVERHEAD_BYTES};
    int64_t need = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (!tr_add_i64(need, parts[i], &need))
            return INT64_MAX;
    return need;
}

static enum tr_status need_of(const struct tr_run *run, const struct tr_run_config *config, int64_t *need,
                              struct tr_err *err)
{
    struct tr_program program;
    struct tr_step_config step = step_of(run, config);
    enum tr_status status = tr_program_train(&program, &run->model, &step, run->machine, err);
    if (status != TR_OK)
        return status;
    *need = memory_need(run, &program);
    tr_program_free(&program);
    return TR_OK;
}

/* The longest sequence, by halves, with which it fits; 0: none. It decides the run's bits, so that it can only be proposed. */
static int64_t fitting_seq_len(const struct tr_run *run, struct tr_run_config *least, int64_t limit, int64_t *need)
{
    struct tr_err ignored;
    for (least->seq_len = run->config.seq_len / 2; least->seq_len >= SEQ_LEN_WORTH; least->seq_len /= 2)
        if (need_of(run, least, need, &ignored) == TR_OK && *need <= limit)
            return least->seq_len;
    return 0;
}

/* It does not fit: says by how much, and what nearest would. */
static enum tr_status refuse_with(const struct tr_run *run, struct tr_run_config *least, int64_t need, const struct limit *limit, struct tr_err *err)
{
    char need_text[TR_QUANTITY_BYTES], less_text[TR_QUANTITY_BYTES], short_text[TR_QUANTITY_BYTES];
    char other[96] = "choose a smaller model";
    const char *each = run->world ? " on each rank" : "";
    int64_t less, short_need = 0;
    least->micro_batch = 1;
    least->recompute = TR_RECOMPUTE_FULL + 1;
    enum tr_status status = need_of(run, least, &less, err);
    if (status != TR_OK)
        return status;
    tr_print_bytes(need_text, need);
    tr_print_bytes(less_text, less);
    if (less <= limit->bytes)
        return tr_fail(err, TR_BAD_INPUT,
                       "training %s needs %s of memory%s, %s; with train.micro_batch 1 and train.recompute "
                       "full it would need %s and give the same bits",
                       run->model.name, need_text, each, limit->words, less_text);
    int64_t seq_len = fitting_seq_len(run, least, limit->bytes, &short_need);
    if (seq_len > 0)
        snprintf(other, sizeof other, "with data.seq_len %lld besides, %s", (long long)seq_len, tr_print_bytes(short_text, short_need));
    return tr_fail(err, TR_BAD_INPUT,
                   "training %s needs %s of memory%s, %s; even with train.micro_batch 1 and train.recompute "
                   "full it would need %s: %s",
                   run->model.name, need_text, each, limit->words, less_text, other);
}

static enum tr_status refuse(const struct tr_run *run, int64_t need, const struct limit *limit, struct tr_err *err)
{
    struct tr_run_config *least = malloc(sizeof *least);
    if (!least)
        return tr_fail(err, TR_FAILED, "out of memory for %zu bytes", sizeof *least);
    *least = run->config;
    enum tr_status status = refuse_with(run, least, need, limit, err);
    free(least);
    return status;
}

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

/* What the user leaves to us is the same on all ranks: it goes by the rank with the fewest lanes. */
static void fill_pipe(struct tr_run *run)
{
    const struct tr_degrees *layout = &run->options->layout;
    struct tr_run_config *config = &run->config;
    int64_t stages = tr_degrees_of(layout, TR_GROUP_PIPE), lanes = config->lanes / tr_degrees_of(layout, TR_GROUP_DATA);
    int64_t sequences = lanes * (config->batch / config->lanes);
    while (run->auto_micro_batch && stages > 1 && config->micro_batch > 1 &&
           sequences / config->micro_batch < MICROS_A_STAGE * stages)
        config->micro_batch = smaller_micro_batch(config);
}

/* ---- by price ---------------------------------------------------------------------------------------------------- */

/* What is not at least so much faster than what the rules say is not worth leaving them for. */
#define WORTH .01

/* Seconds of a step; INFINITY where that cannot be said, or the program cannot be built or does not fit. */
static double price_of(const struct tr_run *run, const struct tr_run_config *config, int64_t limit)
{
    const struct tr_train_options *options = run->options;
    struct tr_program program;
    struct tr_step_config step = step_of(run, config);
    struct tr_err ignored;
    if (tr_program_train(&program, &run->model, &step, run->machine, &ignored) != TR_OK)
        return INFINITY;
    double time_s = limit <= 0 || memory_need(run, &program) <= limit ? options->price(options->price_context, &program, run->machine.threads) : 0;
    tr_program_free(&program);
    return time_s > 0 ? time_s : INFINITY;
}

/* The fastest microbatch, where the user left it to us and a price is known. Ranks would have to agree: one rank alone. */
static enum tr_status choose_fastest(struct tr_run *run, int64_t limit, struct tr_err *err)
{
    if (!run->options->price || run->world || !run->auto_micro_batch)
        return TR_OK;
    struct tr_run_config *other = malloc(sizeof *other);
    if (!other)
        return tr_fail(err, TR_FAILED, "out of memory for %zu bytes", sizeof *other);
    *other = run->config;
    double usual_s = price_of(run, other, limit), best_s = usual_s;
    int64_t usual = other->micro_batch, best = usual, lane = other->batch / other->lanes;
    int tries = isfinite(usual_s) ? 0 : TR_MICRO_TRIES_MAX;
    for (other->micro_batch = 1; other->micro_batch <= lane && tries < TR_MICRO_TRIES_MAX; other->micro_batch++) {
        if (lane % other->micro_batch || other->micro_batch == usual)
            continue;
        double time_s = price_of(run, other, limit);
        tries++;
        if (time_s < best_s)
            best_s = time_s, best = other->micro_batch;
    }
    free(other);
    if (best_s < usual_s * (1 - WORTH)) {
        tr_progress_note(&run->bar, "microbatch of %lld sequences: %.0f %% faster, as predicted, than of %lld", (long long)best,
                         100 * (usual_s / best_s - 1), (long long)usual);
        run->config.micro_batch = best;
    }
    return TR_OK;
}

/* ---- by memory --------------------------------------------------------------------------------------------------- */

/* Takes the next smaller number of sequences that divides a lane's; where there is none, the layers computed again. False:
 * there is nothing left that the user has not decided. */
static bool choose_less(const struct tr_run *run, struct tr_run_config *config)
{
    int64_t size = smaller_micro_batch(config);
    if (run->auto_micro_batch && size > 0) {
        config->micro_batch = size;
        return true;
    }
    if (!run->auto_recompute || config->recompute == TR_RECOMPUTE_FULL + 1)
        return false;
    config->recompute = TR_RECOMPUTE_FULL + 1;
    return true;
}

static enum tr_status build(struct tr_run *run, struct tr_err *err)
{
    struct tr_step_config step = step_of(run, &run->config);
    enum tr_status status = tr_program_train(&run->program, &run->model, &step, run->machine, err);
    run->has_program = status == TR_OK;
    return status;
}

/* Stages of a pipeline send each other microbatches, so that all ranks go on until it fits on all. A rank on which it fits at
 * last ends well, and hears of the others' refusal where it meets them next. */
enum tr_status tr_run_fit(struct tr_run *run, struct tr_err *err)
{
    struct limit limit;
    int64_t first_need = 0;
    find_limit(run, &limit);
    fill_pipe(run);
    enum tr_status chosen = choose_fastest(run, limit.bytes, err);
    if (chosen != TR_OK)
        return chosen;
    for (int try = 0;; try++) {
        bool fits, all_fit;
        enum tr_status status = build(run, err);
        int64_t need = status == TR_OK ? memory_need(run, &run->program) : 0;
        fits = limit.bytes <= 0 || need <= limit.bytes;
        if (status == TR_OK)
            status = tr_run_all(run, fits, &all_fit, err);
        if (status != TR_OK || all_fit)
            return status;
        first_need = try == 0 ? need : first_need;
        if (try + 1 == TR_MICRO_TRIES_MAX || !choose_less(run, &run->config))
            return fits ? TR_OK : refuse(run, first_need, &limit, err);
        tr_program_free(&run->program);
        run->has_program = false;
    }
}
