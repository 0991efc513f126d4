/* The step program of a run, and whether it fits into memory: asked before anything is allocated or written. */
#include "lab/train/run.h"

struct tr_fit tr_run_fit_of(const struct tr_run *run)
{
    return (struct tr_fit){.model = &run->model, .machine = run->machine, .layout = run->options->layout,
                           .vocab = run->token ? tr_token_vocab(run->token) : TR_BYTE_VOCAB, .data_bytes = run->data_bytes, .hand_s = run->hand_s,
                           .auto_micro_batch = run->auto_micro_batch, .auto_recompute = run->auto_recompute};
}

static int rank_of(const struct tr_run *run) { return run->world ? tr_comm_index(run->world) : 0; }

/* Ranks would have to agree: one rank alone. */
static void choose_fastest(struct tr_run *run, const struct tr_fit *fit, int64_t limit_bytes)
{
    int64_t usual = run->config.micro_batch;
    if (!run->options->price || run->world)
        return;
    double times = tr_fit_fastest(fit, &run->config, limit_bytes, run->options->price, run->options->price_context);
    if (times > 1)
        tr_progress_note(&run->bar, "microbatch of %lld sequences: %.0f %% faster, as predicted, than of %lld",
                         (long long)run->config.micro_batch, 100 * (times - 1), (long long)usual);
}

static enum tr_status build(struct tr_run *run, const struct tr_fit *fit, struct tr_err *err)
{
    struct tr_step_config step = tr_fit_step(fit, &run->config, rank_of(run));
    enum tr_status status = tr_program_train(&run->program, &run->model, &step, run->machine, err);
    run->has_program = status == TR_OK;
    return status;
}

/* Stages of a pipeline send each other microbatches, so that all ranks go on until it fits on all. A rank on which it fits at
 * last ends well, and hears of the others' refusal where it meets them next. */
enum tr_status tr_run_fit(struct tr_run *run, struct tr_err *err)
{
    const struct tr_fit fit = tr_run_fit_of(run);
    struct tr_fit_limit limit;
    int64_t first_need = 0;
    tr_fit_limit(run->options->memory_bytes, run->host_ranks, &limit);
    tr_fit_fill_pipe(&fit, &run->config);
    choose_fastest(run, &fit, limit.bytes);
    for (int try = 0;; try++) {
        bool fits, all_fit;
        enum tr_status status = build(run, &fit, err);
        int64_t need = status == TR_OK ? tr_fit_bytes(&fit, &run->config, &run->program) : 0;
        fits = need <= limit.bytes;
        run->need_bytes = need;
        if (status == TR_OK)
            status = tr_run_all(run, fits, &all_fit, err);
        if (status != TR_OK || all_fit)
            return status;
        first_need = try == 0 ? need : first_need;
        if (try + 1 == TR_FIT_TRIES_MAX || !tr_fit_less(&fit, &run->config))
            return fits ? TR_OK : tr_fit_refuse(&fit, &run->config, rank_of(run), first_need, &limit, err);
        tr_program_free(&run->program);
        run->has_program = false;
    }
}
