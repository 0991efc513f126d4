#include "lab/train/state.h"

#include "base/doc.h"
#include "base/json.h"

#include <math.h>
#include <string.h>

enum { STATE_MAX_NODES = 1000 };

static void write_list(struct tr_json *json, const char *key, const double *values, int64_t count)
{
    tr_json_array(json, key);
    for (int64_t i = 0; i < count; i++)
        tr_json_double(json, NULL, values[i]);
    tr_json_end(json);
}

void tr_state_text(const struct tr_train_state *state, struct tr_text *out)
{
    struct tr_json json = tr_json_start(out, TR_JSON_PRETTY);
    tr_json_object(&json, NULL);
    tr_json_int(&json, "step", state->step);
    tr_json_int(&json, "tokens", state->tokens);
    tr_json_string(&json, "arithmetic", state->arithmetic);
    tr_json_string(&json, "data_sha256", state->data_sha256);
    tr_json_bool(&json, "reads_bytes", state->reads_bytes);
    tr_json_int(&json, "skipped", state->skipped);
    tr_json_int(&json, "skipped_in_row", state->skipped_in_row);
    tr_json_double(&json, "loss", state->loss);
    tr_json_double(&json, "first_val_loss", state->first_val_loss);
    tr_json_double(&json, "first_val_bpb", state->first_val_bpb);
    tr_json_double(&json, "val_loss", state->val_loss);
    tr_json_double(&json, "val_bpb", state->val_bpb);
    tr_json_double(&json, "best_val_loss", state->best_val_loss);
    tr_json_int(&json, "eval_step", state->eval_step);
    tr_json_int(&json, "best_step", state->best_step);
    tr_json_int(&json, "evals_since_best", state->evals_since_best);
    tr_json_double(&json, "train_s", state->train_s);
    tr_json_int(&json, "passed_over", state->passed_over);
    tr_json_int(&json, "roll_backs", state->roll_backs);
    tr_json_int(&json, "anchor_best_step", state->anchor_best_step);
    write_list(&json, "seen_loss", state->seen.loss, state->seen.count);
    write_list(&json, "seen_grad_norm", state->seen.grad_norm, state->seen.count);
    tr_run_config_json(&state->config, &json, "config");
    tr_json_end(&json);
    tr_text_char(out, '\n');
}

static enum tr_status read_numbers(const struct tr_node *root, struct tr_train_state *state, struct tr_err *err)
{
    const struct {
        const char *key;
        int64_t *to;
    } counts[] = {{"step", &state->step},
                  {"tokens", &state->tokens},
                  {"skipped", &state->skipped},
                  {"skipped_in_row", &state->skipped_in_row}};
    const struct {
        const char *key;
        double *to;
    } numbers[] = {{"loss", &state->loss},         {"first_val_loss", &state->first_val_loss},
                   {"first_val_bpb", &state->first_val_bpb}, {"val_loss", &state->val_loss},
                   {"val_bpb", &state->val_bpb},   {"best_val_loss", &state->best_val_loss},
                   {"train_s", &state->train_s}};
    enum tr_status status = TR_OK;
    for (size_t i = 0; i < sizeof counts / sizeof *counts && status == TR_OK; i++)
        status = tr_doc_int(root, counts[i].key, TR_REQUIRED, 0, INT64_MAX, counts[i].to, err);
    state->best_step = -1; /* as in checkpoints from before these */
    state->eval_step = state->step;
    if (status == TR_OK)
        status = tr_doc_int(root, "eval_step", TR_OPTIONAL, -1, INT64_MAX, &state->eval_step, err);
    if (status == TR_OK)
        status = tr_doc_int(root, "best_step", TR_OPTIONAL, -1, INT64_MAX, &state->best_step, err);
    if (status == TR_OK)
        status = tr_doc_int(root, "evals_since_best", TR_OPTIONAL, 0, INT64_MAX, &state->evals_since_best, err);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers && status == TR_OK; i++) {
        *numbers[i].to = NAN; /* JSON has no NaN: it is written as null, which leaves this */
        status = tr_doc_double(root, numbers[i].key, TR_OPTIONAL, -INFINITY, INFINITY, numbers[i].to, err);
    }
    return status;
}

/* What checkpoints of before do not have stays as it is: nothing passed over, nothing seen. */
static enum tr_status read_spikes(const struct tr_node *root, struct tr_train_state *state, struct tr_err *err)
{
    const struct tr_node *loss = NULL, *grad_norm = NULL;
    state->anchor_best_step = -1;
    enum tr_status status = tr_doc_int(root, "passed_over", TR_OPTIONAL, 0, INT64_MAX / 2, &state->passed_over, err);
    if (status == TR_OK)
        status = tr_doc_int(root, "roll_backs", TR_OPTIONAL, 0, INT64_MAX / 2, &state->roll_backs, err);
    if (status == TR_OK)
        status = tr_doc_int(root, "anchor_best_step", TR_OPTIONAL, -1, INT64_MAX, &state->anchor_best_step, err);
    if (status == TR_OK)
        status = tr_doc_array(root, "seen_loss", TR_OPTIONAL, 0, TR_SPIKE_WINDOW_MAX, &loss, err);
    if (status == TR_OK)
        status = tr_doc_array(root, "seen_grad_norm", TR_OPTIONAL, 0, TR_SPIKE_WINDOW_MAX, &grad_norm, err);
    if (status != TR_OK || !loss)
        return status;
    if (!grad_norm || grad_norm->count != loss->count)
        return tr_node_fail(loss, err, "expected as many gradient norms beside it (seen_grad_norm)");
    state->seen.count = loss->count;
    for (int64_t i = 0; i < loss->count && status == TR_OK; i++) {
        status = tr_node_double(&loss->children[i], -INFINITY, INFINITY, &state->seen.loss[i], err);
        if (status == TR_OK)
            status = tr_node_double(&grad_norm->children[i], 0, INFINITY, &state->seen.grad_norm[i], err);
    }
    return status;
}

static enum tr_status read_text(const struct tr_node *root, const char *key, char *to, size_t room,
                                struct tr_err *err)
{
    const char *text;
    enum tr_status status = tr_doc_string(root, key, TR_REQUIRED, &text, err);
    if (status != TR_OK)
        return status;
    if (strlen(text) >= room)
        return tr_node_fail(root, err, "%s is longer than %zu bytes", key, room - 1);
    strcpy(to, text);
    return TR_OK;
}

static enum tr_status read_root(const struct tr_node *root, struct tr_train_state *state, struct tr_err *err)
{
    const struct tr_node *config;
    if (root->kind != TR_NODE_OBJECT)
        return tr_node_fail(root, err, "expected an object");
    enum tr_status status = read_numbers(root, state, err);
    if (status == TR_OK)
        status = read_spikes(root, state, err);
    if (status == TR_OK)
        status = read_text(root, "arithmetic", state->arithmetic, sizeof state->arithmetic, err);
    if (status == TR_OK)
        status = read_text(root, "data_sha256", state->data_sha256, sizeof state->data_sha256, err);
    if (status == TR_OK)
        status = tr_doc_bool(root, "reads_bytes", TR_OPTIONAL, &state->reads_bytes, err);
    if (status == TR_OK)
        status = tr_doc_object(root, "config", TR_REQUIRED, &config, err);
    if (status == TR_OK)
        status = tr_run_config_from_node(&state->config, config, err);
    return status;
}

enum tr_status tr_state_parse(const char *source, const char *data, size_t bytes, struct tr_train_state *out,
                              struct tr_err *err)
{
    struct tr_doc *doc;
    enum tr_status status = tr_doc_parse_limited(source, TR_DOC_JSON, data, bytes, TR_STATE_MAX_BYTES, STATE_MAX_NODES,
                                                 &doc, err);
    if (status != TR_OK)
        return status;
    struct tr_train_state new = {0};
    tr_run_config_default(&new.config);
    status = read_root(tr_doc_root(doc), &new, err);
    tr_doc_free(doc);
    if (status == TR_OK)
        *out = new;
    return status;
}
