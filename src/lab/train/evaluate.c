/* Validation loss, bits per byte, and samples: what the model has learned, said in numbers and in words. */
#include "base/num.h"
#include "lab/data/utf8_stream.h"
#include "lab/serve/serve.h"
#include "lab/train/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool tr_run_stopped(const struct tr_run *run) { return run->options->stop && *run->options->stop != 0; }

enum tr_status tr_run_evaluate(struct tr_run *run, struct tr_err *err)
{
    struct tr_train_state *s = &run->state;
    int32_t *tokens = tr_exec_buffer(&run->exec, run->program.tokens);
    int32_t *targets = tr_exec_buffer(&run->exec, run->program.targets);
    int64_t at_once = run->program.seqs, target_count = 0, bytes = 0;
    double nats = 0, begin_s = tr_clock_s();
    for (int64_t first = 0; first < run->data.val_windows; first += at_once) {
        if (tr_run_stopped(run))
            return TR_OK;
        struct tr_val_count count = tr_data_val_batch(&run->data, first, at_once, tokens, targets);
        nats += tr_exec_evaluate(&run->exec);
        target_count += count.targets;
        bytes += count.bytes;
    }
    s->val_loss = nats / (double)target_count;
    s->val_bpb = tr_bits_per_byte(nats, bytes);
    if (s->step == 0) {
        s->first_val_loss = s->val_loss;
        s->first_val_bpb = s->val_bpb;
    }
    if (!(s->best_val_loss <= s->val_loss)) /* true also while there is none (NaN) */
        s->best_val_loss = s->val_loss;
    return tr_run_note_eval(run, bytes, tr_clock_s() - begin_s, err);
}

/* ---- samples ----------------------------------------------------------------------------------------------------- */

static enum tr_status read_prompt(struct tr_generator *generator, const char *prompt, struct tr_text *out,
                                  struct tr_err *err)
{
    int32_t tokens[TR_PROMPT_BYTES];
    int64_t count = 0;
    for (; prompt[count]; count++)
        tokens[count] = (uint8_t)prompt[count];
    tr_text_append(out, prompt);
    if (count == 0)
        tokens[count++] = '\n';
    return tr_generator_read(generator, tokens, count, err);
}

static enum tr_status write_text(const struct tr_run *run, struct tr_generator *generator, struct tr_text *out,
                                 struct tr_err *err)
{
    struct tr_utf8_stream stream = {0};
    struct tr_sampling sampling = {.temperature = run->config.sample_temperature,
                                   .top_k = run->config.sample_top_k,
                                   .top_p = 1,
                                   .seed = (uint64_t)run->config.seed};
    char piece[TR_UTF8_OUT_BYTES];
    enum tr_status status = read_prompt(generator, run->config.sample_prompt, out, err);
    for (int64_t i = 0; i < run->config.sample_tokens && status == TR_OK; i++) {
        if (tr_run_stopped(run))
            break;
        int32_t token = tr_generator_draw(generator, &sampling);
        if (token >= TR_TOKEN_END)
            break;
        tr_text_append_bytes(out, piece, (size_t)tr_utf8_push(&stream, (uint8_t)token, piece));
        status = tr_generator_read(generator, &token, 1, err);
    }
    tr_text_append_bytes(out, piece, (size_t)tr_utf8_end(&stream, piece));
    if (status == TR_OK && tr_text_failed(out, err))
        return TR_FAILED;
    return status;
}

enum tr_status tr_run_sample(struct tr_run *run, struct tr_err *err)
{
    struct tr_generator generator;
    struct tr_step_config step = tr_run_step_config(&run->config);
    struct tr_text record = {0};
    enum tr_status status = tr_generator_open(&generator, &run->model, &step.widths, run->config.seq_len, run->machine,
                                              &run->exec, err);
    if (status != TR_OK)
        return status;
    tr_text_clear(&run->sample);
    status = write_text(run, &generator, &run->sample, err);
    tr_generator_close(&generator);
    if (status == TR_OK) {
        tr_text_printf(&record, "== step %lld ==\n%s\n\n", (long long)run->state.step, tr_text_str(&run->sample));
        status = tr_text_failed(&record, err) ? TR_FAILED
                                              : tr_file_append(run->path_samples, tr_text_str(&record), record.len, err);
    }
    tr_text_free(&record);
    return status;
}
