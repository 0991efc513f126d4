/* What a run says before its first step. */
#include "base/num.h"
#include "base/quantity.h"
#include "lab/train/run.h"

#include <stdio.h>
#include <unistd.h>

static void say_tokenizer(struct tr_run *run)
{
    int missing = tr_token_missing_bytes(run->token);
    tr_progress_note(&run->bar, "tokenizer %s: %lld tokens, %.2f bytes of this text each", run->path_tokenizer,
                     (long long)tr_token_vocab(run->token),
                     (double)run->data.byte_count / (double)run->data.token_count);
    if (run->foreign_token)
        tr_progress_note(&run->bar, "tokenizer: it is not the one of %s: what that model knows is of other tokens",
                         run->config.init);
    if (missing)
        tr_progress_note(&run->bar, "tokenizer: %d of the 256 bytes are not in its vocabulary; where the text has them "
                         "they are left out", missing);
}

static void say_chat(struct tr_run *run)
{
    const struct tr_data *d = &run->data;
    tr_progress_note(&run->bar, "conversations %lld by the template %s: %.1f%% of their %lld tokens are learned; rows are "
                     "filled to %.1f%%", (long long)d->document_count, tr_chat_name(run->chat),
                     100 * (double)d->learned_count / (double)d->talk_tokens, (long long)d->talk_tokens,
                     100 * (double)d->talk_tokens / (double)d->token_count);
    if (d->cut_count)
        tr_progress_note(&run->bar, "conversations: %lld are longer than data.seq_len %lld and lose their ends",
                         (long long)d->cut_count, (long long)d->seq_len);
}

int64_t tr_run_times_due(const struct tr_run *run, int64_t every)
{
    int64_t from = run->state.step, to = run->config.steps;
    if (from >= to)
        return 0;
    return every == 0 ? 1 : to / every - from / every + (to % every != 0);
}

static struct tr_train_ahead ahead_of(const struct tr_run *run)
{
    const struct tr_run_config *c = &run->config;
    const struct tr_program *p = &run->program;
    const struct tr_sharding whole = tr_sharding_whole(&p->weights);
    struct tr_train_ahead ahead = {.program = p, .config = c, .fit = tr_run_fit_of(run), .threads = run->machine.threads, .hosts = run->hosts, .cores = run->host_cores,
                                   .steps = c->steps - run->state.step,
                                   .eval_micros = (run->data.val_windows + p->seqs - 1) / p->seqs,
                                   .save_bytes = tr_copy_bytes(&whole, 0)};
    if (c->eval_every > 0)
        ahead.evaluations = tr_run_times_due(run, c->eval_every) + (run->state.step == 0);
    ahead.saves = c->save_where == TR_SAVE_BACKGROUND ? ahead.steps > 0 : tr_run_times_due(run, c->save_every);
    if (c->sample_tokens > 0)
        ahead.samples = tr_run_times_due(run, c->sample_every);
    ahead.sample_tokens = c->sample_tokens;
    return ahead;
}

/* What somebody who can predict has to say. */
static void say_prediction(struct tr_run *run)
{
    const struct tr_train_options *o = run->options;
    struct tr_train_ahead ahead = ahead_of(run);
    struct tr_text say = {0};
    if (!o->planned || !tr_run_leads(run))
        return;
    o->planned(o->planned_context, &ahead, &run->predicted, &say);
    if (say.len)
        tr_progress_note(&run->bar, "%s", tr_text_str(&say));
    tr_text_free(&say);
}

static void say_pipe(struct tr_run *run)
{
    const struct tr_program *p = &run->program;
    tr_progress_note(&run->bar, "pipeline pp=%d vpp=%d: %lld microbatches a step, up to %d in flight on rank 0; with chunks of equal "
                     "time a stage waits %.1f%% of a step", p->pipe.stages, p->pipe.chunks, (long long)tr_program_micros(p), p->flights,
                     100 * tr_pipe_bubble(p->pipe, tr_program_micros(p)));
}

/* Where the ranks are: "threads of this process". */
static void name_place(const struct tr_run *run, struct tr_text *out)
{
    if (!run->options->world)
        tr_text_append(out, "threads of this process");
    else if (run->hosts == 1)
        tr_text_append(out, "processes of this host");
    else
        tr_text_printf(out, "processes of %d hosts", run->hosts);
}

/* Open MPI binds each of two ranks to one core if nobody says otherwise. */
static void say_binding(struct tr_run *run)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (run->config.threads == 0 && run->host_cores < cores)
        tr_progress_note(&run->bar, "threads: the %d ranks of this host may run on %d of its %ld cores, as the launcher bound "
                         "them (mpirun --bind-to none: on all that there are)", run->host_ranks, run->host_cores, cores);
}

static void say_ranks(struct tr_run *run)
{
    char bytes[TR_QUANTITY_BYTES], more[48] = "";
    struct tr_text place = {0};
    int64_t by_kind[TR_COLL_KIND_COUNT];
    const struct tr_degrees *d = &run->options->layout;
    name_place(run, &place);
    int at = 0;
    if (tr_degrees_of(d, TR_GROUP_TENSOR) > 1)
        at = snprintf(more, sizeof more, "tp=%d %s", d->ranks[TR_GROUP_TENSOR], d->sequence ? "sp " : "");
    if (tr_degrees_of(d, TR_GROUP_CONTEXT) > 1)
        snprintf(more + at, sizeof more - (size_t)at, "cp=%d ", d->ranks[TR_GROUP_CONTEXT]);
    tr_progress_note(&run->bar, "%d ranks, %s: %sdp=%d zero=%d; %lld lanes of the batch among them, rank 0 has %lld "
                     "and sends %s a step", tr_run_ranks(run), tr_text_str(&place), more,
                     tr_degrees_of(d, TR_GROUP_DATA), d->zero,
                     (long long)run->config.lanes, (long long)run->program.lanes.count,
                     tr_print_bytes(bytes, tr_program_sent_bytes(&run->program, by_kind)));
    tr_text_free(&place);
    if (run->program.pipe.stages > 1)
        say_pipe(run);
    if (run->options->world)
        say_binding(run);
}

void tr_run_say_plan(struct tr_run *run)
{
    char parameters[TR_QUANTITY_BYTES], bytes[TR_QUANTITY_BYTES], memory[TR_QUANTITY_BYTES], peak[TR_QUANTITY_BYTES];
    char flop[TR_QUANTITY_BYTES];
    char arithmetic[TR_ARITHMETIC_BYTES];
    const struct tr_run_config *c = &run->config;
    struct tr_step_config step = tr_run_step_config(c);
    tr_progress_note(&run->bar, "model %s: %s parameters, %lld layers of width %lld, %s FLOP/token", run->model.name,
                     tr_print_count(parameters, run->program.weights.element_count), (long long)run->model.layers,
                     (long long)run->model.width, tr_print_count(flop, run->flop_per_token));
    tr_progress_note(&run->bar, "data %s: %s, %lld windows of %lld tokens to train on, %lld to validate", c->data,
                     tr_print_bytes(bytes, run->data.byte_count), (long long)run->data.train_windows,
                     (long long)c->seq_len, (long long)run->data.val_windows_all);
    if (run->token)
        say_tokenizer(run);
    if (run->chat)
        say_chat(run);
    tr_progress_note(&run->bar, "steps %lld of %lld sequences (%lld at a time), lr %g, arithmetic %s",
                     (long long)c->steps, (long long)c->batch, (long long)c->micro_batch, c->lr,
                     tr_arithmetic_id(arithmetic, step.dtype, &step.widths));
    if (run->world)
        say_ranks(run);
    tr_progress_note(&run->bar, "memory %s planned%s; %d threads%s, %s, peak %s; run folder %s",
                     tr_print_bytes(memory, tr_program_memory_bytes(&run->program)), run->world ? " on rank 0" : "",
                     run->machine.threads, run->world ? " a rank" : "", tr_isa_name(run->isa),
                     tr_print_flop_s(peak, run->peak_flop_s), c->out);
    say_prediction(run);
}
