/* From what the user wrote to what the run does: "auto" becomes a number, keys are checked against each other. */
#include "base/num.h"
#include "lab/data/data.h"
#include "lab/train/origin.h"
#include "lab/train/run_config.h"

#include <stdio.h>
#include <string.h>

enum { AUTO_BATCH_TOKENS = 8192, AUTO_MICRO_TOKENS = 4096, AUTO_WARMUP_MAX = 2000, AUTO_LOG_MAX = 100,
       TOKENS_PER_PARAMETER = 20 };

/* The model whose weights the run starts from. */
static enum tr_status init_model(const struct tr_run_config *config, int64_t vocab, struct tr_model_config *model,
                                 struct tr_err *err)
{
    struct tr_origin origin;
    if (config->model[0])
        return tr_fail(err, TR_BAD_INPUT, "model.name and model.init are both given: the model is that of model.init");
    enum tr_status status = tr_origin_find(&origin, config->init, err);
    if (status != TR_OK)
        return status;
    if (origin.model.lora.rank > 0)
        return tr_fail(err, TR_BAD_INPUT, "model.init %s: has adapters already: merge them first (trine export)",
                       config->init);
    if (vocab == TR_BYTE_VOCAB && !origin.reads_bytes)
        return tr_fail(err, TR_BAD_INPUT, "model.init %s: has a vocabulary of %lld tokens, and there is no tokenizer.json "
                       "beside it: name it with data.tokenizer", config->init, (long long)origin.model.vocab);
    *model = origin.model;
    return TR_OK;
}

static enum tr_status find_model(const struct tr_run_config *config, int64_t vocab, struct tr_model_config *model,
                                 struct tr_err *err)
{
    const char *name = config->init[0] ? config->init : config->model;
    if (name[0] == 0)
        return tr_model_from_depth(model, (int)config->depth, vocab, config->seq_len, err);
    enum tr_status status =
        config->init[0] ? init_model(config, vocab, model, err) : tr_model_config_find(model, name, err);
    if (status != TR_OK)
        return status;
    if (model->vocab < vocab)
        return tr_fail(err, TR_BAD_INPUT, "model %s has a vocabulary of %lld, training on %s needs at least %lld",
                       name, (long long)model->vocab,
                       vocab == TR_BYTE_VOCAB ? "bytes" : "the tokens of this tokenizer", (long long)vocab);
    if (config->seq_len > model->positions)
        return tr_fail(err, TR_BAD_INPUT, "data.seq_len %lld is more than the %lld positions of model %s",
                       (long long)config->seq_len, (long long)model->positions, name);
    return TR_OK;
}

static int64_t auto_micro_batch(int64_t lane_batch, int64_t seq_len)
{
    int64_t best = 1;
    for (int64_t size = 1; size <= lane_batch && size * seq_len <= AUTO_MICRO_TOKENS; size++)
        if (lane_batch % size == 0)
            best = size;
    return best;
}

static enum tr_status resolve_batch(struct tr_run_config *config, struct tr_err *err)
{
    if (config->batch == TR_AUTO)
        config->batch = tr_round_up(tr_max_i64(1, AUTO_BATCH_TOKENS / config->seq_len), config->lanes);
    if (config->batch % config->lanes)
        return tr_fail(err, TR_BAD_INPUT, "train.batch %lld must be a multiple of layout.lanes %lld",
                       (long long)config->batch, (long long)config->lanes);
    int64_t lane_batch = config->batch / config->lanes;
    if (config->recompute == 0)
        config->recompute = TR_RECOMPUTE_ELEMENTWISE + 1;
    if (config->micro_batch == TR_AUTO)
        config->micro_batch = auto_micro_batch(lane_batch, config->seq_len);
    if (lane_batch % config->micro_batch)
        return tr_fail(err, TR_BAD_INPUT,
                       "train.micro_batch %lld must divide the %lld sequences of a lane (train.batch / layout.lanes)",
                       (long long)config->micro_batch, (long long)lane_batch);
    return TR_OK;
}

static enum tr_status resolve_steps(struct tr_run_config *config, int64_t parameters, struct tr_err *err)
{
    int64_t step_tokens, tokens = config->tokens;
    if (!tr_mul_i64(config->batch, config->seq_len, &step_tokens))
        return tr_fail(err, TR_BAD_INPUT, "train.batch %lld times data.seq_len %lld is too many tokens",
                       (long long)config->batch, (long long)config->seq_len);
    if (config->steps != TR_AUTO && tokens > 0)
        return tr_fail(err, TR_BAD_INPUT, "train.steps and train.tokens are both given: give one of them");
    if (tokens == 0 && !tr_mul_i64(parameters, TOKENS_PER_PARAMETER, &tokens))
        tokens = INT64_MAX / 2;
    if (config->steps == TR_AUTO)
        config->steps = tr_max_i64(1, tr_ceil_div(tokens, step_tokens));
    config->tokens = 0; /* from here on it is a number of steps */
    int64_t all;
    if (!tr_mul_i64(config->steps, step_tokens, &all))
        return tr_fail(err, TR_BAD_INPUT, "train.steps %lld of %lld tokens each are more than can be counted",
                       (long long)config->steps, (long long)step_tokens);
    if (config->warmup == TR_AUTO)
        config->warmup = tr_min_i64(config->steps / 20, AUTO_WARMUP_MAX);
    if (config->warmup > config->steps)
        return tr_fail(err, TR_BAD_INPUT, "schedule.warmup %lld is more than the %lld steps of the run",
                       (long long)config->warmup, (long long)config->steps);
    if (config->log_every == TR_AUTO)
        config->log_every = tr_max_i64(1, tr_min_i64(config->steps / 20, AUTO_LOG_MAX));
    return TR_OK;
}

static double auto_lr(int64_t width)
{
    double lr = 0.0006 * 768.0 / (double)width;
    return lr < 0.003 ? lr : 0.003;
}

static enum tr_status count_parameters(const struct tr_model_config *model, int64_t *parameters, struct tr_err *err)
{
    struct tr_weights weights;
    enum tr_status status = tr_weights_make(&weights, model, err);
    if (status != TR_OK)
        return status;
    *parameters = weights.element_count;
    tr_weights_free(&weights);
    return TR_OK;
}

static void add_adapters(const struct tr_run_config *config, struct tr_model_config *model)
{
    static const uint32_t qv = 1u << TR_LORA_Q | 1u << TR_LORA_V, ko = 1u << TR_LORA_K | 1u << TR_LORA_O;
    if (config->lora_rank == 0)
        return;
    model->lora.rank = (int32_t)config->lora_rank;
    model->lora.alpha = config->lora_alpha;
    model->lora.targets = config->lora_targets == TR_LORA_QV          ? qv
                          : config->lora_targets == TR_LORA_ATTENTION ? qv | ko
                                                                      : tr_lora_targets(model->family);
}

/* Below runs/ whatever the model is called, which its file says: a stranger's "trine_name": ".." is no folder. */
static void name_folder(char out[TR_PATH_BYTES], const char *name)
{
    const char *slash = strrchr(name, '/');
    const char *last = slash ? slash + 1 : name;
    snprintf(out, TR_PATH_BYTES, "runs/%s", last[0] && last[0] != '.' ? last : "model");
}

enum tr_status tr_run_config_resolve(struct tr_run_config *config, int64_t vocab, struct tr_model_config *model,
                                     struct tr_err *err)
{
    struct tr_run_config new = *config;
    struct tr_model_config found;
    int64_t parameters;
    if (config->data[0] == 0)
        return tr_fail(err, TR_BAD_INPUT, "no data given: name a text file or a folder of text files (data.path)");
    enum tr_status status = find_model(&new, vocab, &found, err);
    if (status == TR_OK)
        add_adapters(&new, &found);
    if (status == TR_OK)
        status = resolve_batch(&new, err);
    if (status == TR_OK)
        status = count_parameters(&found, &parameters, err);
    if (status == TR_OK)
        status = resolve_steps(&new, parameters, err);
    if (status != TR_OK)
        return status;
    if (new.lr == TR_AUTO)
        new.lr = auto_lr(found.width);
    if (new.val_fraction == 0)
        new.eval_every = 0;
    if (new.out[0] == 0)
        name_folder(new.out, found.name);
    *config = new;
    *model = found;
    return TR_OK;
}

struct tr_step_config tr_run_step_config(const struct tr_run_config *config)
{
    return (struct tr_step_config){
        .dtype = (enum tr_dtype)config->dtype,
        .batch = config->batch,
        .seq_len = config->seq_len,
        .micro_batch = config->micro_batch,
        .widths = {(int32_t)config->lanes, (int32_t)config->context, (int32_t)config->tensor, (int32_t)config->vocab},
        .recompute = (enum tr_recompute)(config->recompute - 1),
        .optimizer = (enum tr_optimizer)config->optimizer,
        .apart = config->documents == TR_DOCUMENTS_APART,
        .foreground = config->collectives == TR_RUN_FOREGROUND,
    };
}

struct tr_schedule tr_run_schedule(const struct tr_run_config *config)
{
    double decay = config->decay_fraction * (double)config->steps;
    int64_t decay_steps = (int64_t)decay;
    decay_steps += (double)decay_steps < decay;
    return (struct tr_schedule){
        .kind = (enum tr_schedule_kind)config->schedule,
        .lr = config->lr,
        .min_ratio = config->min_lr_ratio,
        .warmup = config->warmup,
        .decay_steps = tr_min_i64(decay_steps, config->steps),
        .steps = config->steps,
    };
}
