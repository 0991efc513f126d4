/* Validation loss, bits per byte, and samples: what the model has learned, said in numbers and in words. */
#include "lab/eval/eval.h"
#include "lab/serve/serve.h"
#include "lab/train/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool tr_run_stopped(const struct tr_run *run)
{
    return run->world ? run->stop_seen != 0 : run->options->stop && *run->options->stop != 0;
}

static bool goes_on(void *context, int64_t done, double loss_so_far)
{
    (void)done;
    (void)loss_so_far;
    return !tr_run_stopped(context);
}

/* Data parallel ranks have a share of the windows each; TR_NO: it was stopped in the middle, as one rank alone can be. Stages
 * of a pipeline go through the same ones together, and the last one has the losses; so do tensor parallel ranks, which all have them, and
 * those who share context parts, which have those of their tokens. */
static enum tr_status evaluate_windows(struct tr_run *run, struct tr_eval_sum *sum, struct tr_err *err)
{
    struct tr_exact nats;
    if (!run->world)
        return tr_eval_windows(&run->exec, &run->data, goes_on, run, sum);
    const struct tr_rank_place *place = &run->program.step.place;
    struct tr_eval_share share = {tr_rank_index(place, TR_GROUP_DATA), tr_degrees_of(&place->degrees, TR_GROUP_DATA)};
    enum tr_status status = tr_eval_share(&run->exec, &run->data, share, NULL, NULL, &nats, sum);
    if (tr_rank_index(place, TR_GROUP_TENSOR) > 0)
        tr_exact_clear(&nats, TR_EXACT_VALUES);
    if (status == TR_OK)
        status = tr_exact_all(run->world, &nats, err);
    sum->nats = tr_exact_value(&nats);
    return status;
}

enum tr_status tr_run_evaluate(struct tr_run *run, struct tr_err *err)
{
    struct tr_train_state *s = &run->state;
    struct tr_eval_sum sum;
    double begin_s = tr_clock_s();
    if (tr_run_stopped(run))
        return TR_OK;
    enum tr_status status = evaluate_windows(run, &sum, err);
    if (status != TR_OK)
        return status == TR_NO ? TR_OK : status;
    s->val_loss = sum.nats / (double)sum.targets;
    s->val_bpb = tr_bits_per_byte(sum.nats, sum.bytes);
    if (s->step == 0) {
        s->first_val_loss = s->val_loss;
        s->first_val_bpb = s->val_bpb;
    }
    s->eval_step = s->step;
    s->evals_since_best++;
    if (!(s->best_val_loss <= s->val_loss)) { /* true also while there is none (NaN) */
        s->best_val_loss = s->val_loss;
        s->best_step = s->step;
        s->evals_since_best = 0;
    }
    return tr_run_note_eval(run, sum.bytes, tr_clock_s() - begin_s, err);
}

/* ---- samples ----------------------------------------------------------------------------------------------------- */

static enum tr_status add_piece(void *context, const char *piece, size_t bytes, struct tr_err *err)
{
    struct tr_run *run = context;
    if (tr_run_stopped(run))
        return TR_NO;
    tr_text_append_bytes(&run->sample, piece, bytes);
    return tr_text_failed(&run->sample, err) ? TR_FAILED : TR_OK;
}

static enum tr_status write_sample(struct tr_run *run, struct tr_generator *generator, struct tr_err *err)
{
    const struct tr_run_config *c = &run->config;
    struct tr_sampling sampling = {.temperature = c->sample_temperature, .top_k = c->sample_top_k, .top_p = 1,
                                   .seed = (uint64_t)c->seed};
    struct tr_message question = {.role = TR_ROLE_USER, .content = {.at = c->sample_prompt,
                                                                    .bytes = (int64_t)strlen(c->sample_prompt)}};
    tr_text_clear(&run->sample);
    tr_text_append(&run->sample, c->sample_prompt);
    if (run->chat)
        tr_text_append(&run->sample, "\n");
    struct tr_ids ids = {0};
    enum tr_status status = run->chat ? tr_prompt_chat(run->token, run->chat, &question, 1, &ids, err)
                                      : tr_prompt_text(run->token, question.content.at, question.content.bytes, &ids, err);
    if (status == TR_OK)
        status = tr_generator_read_prompt(generator, ids.at, ids.count, err);
    tr_ids_free(&ids);
    if (status == TR_OK)
        status = tr_generator_write_text(generator, &sampling, c->sample_tokens, add_piece, run, err);
    return status;
}

/* On the weights of the step; on weights of its own where a rank has some of them only. */
static enum tr_status open_generator(struct tr_run *run, struct tr_generator *generator, struct tr_err *err)
{
    struct tr_step_config step = tr_run_step_config(&run->config);
    bool shares = tr_program_reads_whole(&run->program);
    return tr_generator_open(generator, &run->model, step.dtype, TR_FORM_ROWS, &step.widths, run->config.seq_len, run->machine,
                             shares ? &run->exec : NULL, err);
}

/* What all ranks have of the weights, into the lead's generator if that could be opened. */
static enum tr_status fill_generator(struct tr_run *run, struct tr_generator *generator, bool is_open, struct tr_err *err)
{
    float **to = NULL;
    enum tr_status status = tr_run_tell(run, &is_open, sizeof is_open, err);
    if (status != TR_OK || !is_open)
        return status;
    if (tr_run_leads(run)) {
        int32_t count = run->program.weights.count;
        if (!(to = calloc((size_t)count, sizeof *to)))
            return tr_fail(err, TR_FAILED, "out of memory for %d tensors", count);
        for (int32_t i = 0; i < count; i++)
            to[i] = tr_exec_weight(&generator->exec, i);
    }
    status = tr_run_collect_weights(run, to, err);
    if (status == TR_OK && tr_run_leads(run))
        tr_exec_weights_written(&generator->exec);
    free(to);
    return status;
}

/* It shows how a run does, and decides nothing. */
static void note_no_sample(struct tr_run *run, const struct tr_err *why)
{
    tr_progress_note(&run->bar, "no sample: %s", why->text);
}

static enum tr_status make_sample(struct tr_run *run, struct tr_generator *generator, struct tr_err *err)
{
    struct tr_text record = {0};
    generator->token = run->token;
    generator->stops = run->manner.stops;
    enum tr_status status = write_sample(run, generator, err);
    if (status > TR_NO) { /* for want of weights that are finite, say */
        note_no_sample(run, err);
        return TR_OK;
    }
    if (status != TR_OK)
        return status;
    tr_text_printf(&record, "== step %lld ==\n%s\n\n", (long long)run->state.step, tr_text_str(&run->sample));
    status = tr_text_failed(&record, err) ? TR_FAILED : tr_file_append(run->path_samples, tr_text_str(&record), record.len, err);
    tr_text_free(&record);
    return status;
}

enum tr_status tr_run_sample(struct tr_run *run, struct tr_err *err)
{
    struct tr_generator generator;
    struct tr_err reason;
    bool is_open = tr_run_leads(run) && open_generator(run, &generator, &reason) == TR_OK;
    if (tr_run_leads(run) && !is_open) /* for want of memory */
        note_no_sample(run, &reason);
    enum tr_status status = tr_program_reads_whole(&run->program) ? TR_OK : fill_generator(run, &generator, is_open, err);
    if (status == TR_OK && is_open)
        status = make_sample(run, &generator, err);
    if (is_open)
        tr_generator_close(&generator);
    return status;
}
