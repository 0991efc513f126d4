#include "base/num.h"
#include "lab/eval/eval.h"

#include <string.h>

enum { TOKENS_AT_ONCE = 4096, LOGITS_AT_ONCE = 1024 };

enum tr_status tr_evaluator_open(struct tr_evaluator *e, const struct tr_model_config *model,
                                 enum tr_dtype dtype, enum tr_weight_form form, const struct tr_widths *widths,
                                 int64_t seq_len, int64_t seqs, bool apart, struct tr_machine machine, int64_t data_bytes, struct tr_err *err)
{
    memset(e, 0, sizeof *e);
    e->model = *model;
    e->dtype = dtype;
    e->form = form;
    e->widths = *widths;
    e->machine = machine;
    if (seqs == 0)
        seqs = tr_max_i64(1, (form == TR_FORM_ROWS ? TOKENS_AT_ONCE : LOGITS_AT_ONCE) / seq_len);
    if (!tr_mul_i64(seqs, seq_len, &e->at_once))
        return tr_fail(err, TR_BAD_INPUT, "%lld sequences of %lld tokens at a time: too many", (long long)seqs,
                       (long long)seq_len);
    enum tr_status status = tr_program_eval(&e->program, model, dtype, form, widths, seqs, seq_len, apart, machine, err);
    if (status != TR_OK)
        return status;
    status = tr_program_check_memory(&e->program, data_bytes, "evaluating", "try shorter or fewer sequences at a time", err);
    if (status == TR_OK)
        status = tr_exec_open(&e->exec, &e->program, machine, NULL, err);
    if (status == TR_OK)
        e->exec.crowd = &e->crowd;
    else
        tr_evaluator_close(e);
    return status;
}

void tr_evaluator_close(struct tr_evaluator *e)
{
    if (e->exec.program != NULL)
        tr_exec_close(&e->exec);
    tr_program_free(&e->program);
    memset(e, 0, sizeof *e);
}

enum tr_status tr_eval_windows(struct tr_exec *exec, const struct tr_data *data, tr_eval_watch *watch, void *context,
                               struct tr_eval_sum *out)
{
    struct tr_exact nats;
    struct tr_eval_sum sum;
    enum tr_status status = tr_eval_share(exec, data, (struct tr_eval_share){0, 1}, watch, context, &nats, &sum);
    if (status != TR_OK)
        return status;
    sum.nats = tr_exact_value(&nats);
    *out = sum;
    return TR_OK;
}

enum tr_status tr_eval_share(struct tr_exec *exec, const struct tr_data *data, struct tr_eval_share share, tr_eval_watch *watch,
                             void *context, struct tr_exact *nats, struct tr_eval_sum *out)
{
    const struct tr_program *p = exec->program;
    int32_t *tokens = tr_exec_buffer(exec, p->tokens), *targets = tr_exec_buffer(exec, p->targets);
    int32_t *starts = data->apart ? tr_exec_buffer(exec, p->starts) : NULL;
    struct tr_eval_sum sum = {0};
    tr_exact_clear(nats, TR_EXACT_VALUES);
    int64_t number = 0;
    for (; sum.windows < data->val_windows; number++) {
        struct tr_val_count count = tr_data_val_batch(data, sum.windows, p->seqs, tokens, targets, starts);
        if (number % share.count == share.index) {
            tr_exec_evaluate(exec);
            tr_exact_merge(nats, &exec->loss_sum);
        }
        sum.targets += count.targets;
        sum.bytes += count.bytes;
        sum.windows = tr_min_i64(sum.windows + p->seqs, data->val_windows);
        if (watch && !watch(context, sum.windows, tr_exact_value(nats) / (double)sum.targets))
            return TR_NO;
    }
    if (p->has_read_slices && number % share.count != 0 && share.index >= number % share.count)
        tr_exec_attend(exec); /* the others have one more */
    *out = sum;
    return TR_OK;
}
