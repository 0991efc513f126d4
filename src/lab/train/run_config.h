/* The config of a run: one struct, one table of keys.
 *
 * The table (tr_run_keys) holds for each key its name, kind, default, range and help. It feeds the reader of YAML files
 * and of `--section.key=value`, the file config.yaml that each run saves, the config inside checkpoints and the
 * documentation. A key that is not in it is an error that names the nearest one.
 *
 *     struct tr_run_config config;
 *     tr_run_config_read(&config, "run.yaml", overrides, count, err)     (path NULL: defaults and overrides only)
 *     tr_run_config_resolve(&config, vocab, &model, err)                 ("auto" becomes a number; relations checked)
 *     tr_run_config_yaml(&config, &text);
 *
 * `auto` in a number is TR_AUTO until resolved. What it becomes:
 *     train.batch        about 8192 tokens a step, a multiple of the lanes
 *     train.micro_batch  the largest divisor of a lane's sequences with at most 4096 tokens; in a pipeline (--layout pp=N) so small
 *                        that there are 4 microbatches a stage; where steps can be predicted (tr_fit_fastest), the fastest
 *     train.recompute    elementwise, which costs about 1 % of the time for an eighth (bf16) to a fifth of the memory;
 *                        full where nothing else fits
 *     train.steps        from train.tokens; without that, 20 tokens for each parameter (Hoffmann and others 2022)
 *     optimizer.lr       0.0006 * 768 / width, at most 0.003 (follows the table of GPT-3, Brown and others 2020)
 *     schedule.warmup    a twentieth of the steps, at most 2000
 */
#ifndef TR_LAB_TRAIN_RUN_CONFIG_H
#define TR_LAB_TRAIN_RUN_CONFIG_H

#include "base/doc.h"
#include "base/err.h"
#include "base/json.h"
#include "base/option.h"
#include "base/os.h"
#include "base/text.h"
#include "lab/chat/chat.h"
#include "lab/model/config.h"
#include "lab/model/program.h"
#include "lab/train/schedule.h"

#include <stdint.h>

#define TR_AUTO (-1)

enum { TR_PROMPT_BYTES = 1024 };

enum tr_save_where { TR_SAVE_FOREGROUND, TR_SAVE_BACKGROUND };
enum tr_where_run { TR_RUN_BACKGROUND, TR_RUN_FOREGROUND };
enum tr_documents { TR_DOCUMENTS_JOINED, TR_DOCUMENTS_APART };
enum tr_lora_choice { TR_LORA_QV, TR_LORA_ATTENTION, TR_LORA_ALL };
enum tr_keep_best { TR_BEST_DROP, TR_BEST_KEEP };
enum tr_spike_action { TR_SPIKE_TAKE, TR_SPIKE_SKIP, TR_SPIKE_ROLL_BACK };

struct tr_run_config {
    char model[TR_PATH_BYTES];      /* preset, config.json or folder; "" : from depth */
    char init[TR_PATH_BYTES];       /* weights to start from (origin.h); "": random */
    int64_t depth;

    char data[TR_PATH_BYTES];
    char tokenizer[TR_PATH_BYTES];  /* tokenizer.json; "": beside the shards, or bytes */
    char chat_template[TR_CHAT_NAME_BYTES]; /* "": the model's */
    int encoding;                   /* enum tr_encoding */
    int64_t seq_len;
    double val_fraction;
    int documents;                  /* enum tr_documents */

    int64_t steps, tokens;          /* tokens 0: not given */
    int64_t batch, micro_batch;
    int recompute;                  /* 0: auto; enum tr_recompute + 1 */
    int dtype;                      /* enum tr_dtype: TR_F32 or TR_BF16 */
    int64_t seed;
    int64_t max_skipped;

    int spike_action;               /* enum tr_spike_action: see spike.h */
    double spike_deviations;
    int64_t spike_window, spike_roll_backs;
    int64_t replay_every;           /* see replay.h */

    int64_t lora_rank;              /* 0: none */
    double lora_alpha;
    int lora_targets;               /* enum tr_lora_choice */

    int64_t lanes, context, tensor, vocab;

    int optimizer;                  /* enum tr_optimizer */
    double lr, beta1, beta2, eps, momentum, weight_decay, clip;

    int schedule;                   /* enum tr_schedule_kind */
    int64_t warmup;
    double min_lr_ratio, decay_fraction;

    int64_t eval_every, eval_windows, eval_patience;

    int64_t sample_every, sample_tokens, sample_top_k;
    double sample_temperature;
    char sample_prompt[TR_PROMPT_BYTES];

    int64_t save_every, keep_last, keep_every;
    int keep_best;                  /* enum tr_keep_best */
    int save_where;                 /* enum tr_save_where */

    char out[TR_PATH_BYTES];        /* the run folder; "": runs/MODEL */
    int64_t threads;                /* 0: all usable cores */
    int collectives;                /* enum tr_where_run */
    int64_t log_every;
};

enum tr_run_key_kind { TR_KEY_STRING, TR_KEY_INT, TR_KEY_DOUBLE, TR_KEY_ENUM };

/* What another value means to a run that is resumed. */
enum tr_run_effect {
    TR_KEY_FIXED, /* it would be another run: refused */
    TR_KEY_NOTED, /* the run goes on with the new value, and the change is noted */
    TR_KEY_FREE   /* does not touch the weights */
};

struct tr_run_key {
    const char *name; /* "optimizer.lr" */
    enum tr_run_key_kind kind;
    size_t offset;
    size_t bytes;               /* of a string */
    const char *fallback;
    bool automatic;             /* "auto" is allowed */
    bool above_min;             /* min itself is not allowed */
    double min, max;            /* of numbers */
    const char *const *choices; /* of an enum, NULL at the end */
    enum tr_run_effect effect;
    const char *help;
};

const struct tr_run_key *tr_run_keys(int *count);

void tr_run_config_default(struct tr_run_config *config);

/* The value of train.recompute in words. */
const char *tr_run_recompute_name(const struct tr_run_config *config);

/* Defaults, then the file (NULL: none), then the overrides in order. TR_BAD_INPUT with path:line:col. */
TR_MUST_CHECK enum tr_status tr_run_config_read(struct tr_run_config *config, const char *path,
                                                const struct tr_override *overrides, int override_count,
                                                struct tr_err *err);

/* The same from a tree that was read already (the config inside state.json). */
TR_MUST_CHECK enum tr_status tr_run_config_from_node(struct tr_run_config *config, const struct tr_node *root,
                                                     struct tr_err *err);

/* Finds the model, turns "auto" into numbers, checks what one key demands of another. `vocab`: tokens of the data
 * (TR_BYTE_VOCAB without a tokenizer). A model made from model.depth has as many; another one at least as many. */
TR_MUST_CHECK enum tr_status tr_run_config_resolve(struct tr_run_config *config, int64_t vocab,
                                                   struct tr_model_config *model, struct tr_err *err);

/* The parts of it that other modules ask for; `config` must be resolved. */
struct tr_step_config tr_run_step_config(const struct tr_run_config *config);
struct tr_schedule tr_run_schedule(const struct tr_run_config *config);

/* All keys with their values, and their help as comments; reads back as the same config. */
void tr_run_config_yaml(const struct tr_run_config *config, struct tr_text *out);
void tr_run_config_json(const struct tr_run_config *config, struct tr_json *json, const char *key);
void tr_run_config_markdown(struct tr_text *out);

/* The first key from index `from` on whose value differs, -1 when there is none; both values as text. */
int tr_run_config_difference(const struct tr_run_config *a, const struct tr_run_config *b, int from,
                             struct tr_text *a_value, struct tr_text *b_value);

#endif
