/* trine train: a GPT learns a text. */
#include "app/app.h"
#include "app/choose_layout.h"
#include "app/ranks.h"

#include "base/json.h"
#include "base/os.h"
#include "base/quantity.h"
#include "lab/train/train.h"
#include "plan/here/choose.h"
#include "plan/here/here.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct train_args {
    const char *first; /* a config or data, the same as --config or --data */
    const char *config, *data, *tokenizer, *chat_template, *model, *init, *depth, *steps, *micro_batch, *seed, *out, *threads;
    const char *resume, *profile, *layout;
    int64_t memory_bytes, trace_steps;
    double timeout_s;
    bool quiet, json, dry_run;
};

#define AT(field) .offset = offsetof(struct train_args, field)

/* The short names of the keys that people give most; each is the same as the override beside it. */
static const struct {
    const char *key;
    size_t offset;
} shortcuts[] = {
    {"data.path", offsetof(struct train_args, data)},
    {"data.tokenizer", offsetof(struct train_args, tokenizer)},
    {"data.chat_template", offsetof(struct train_args, chat_template)},
    {"model.init", offsetof(struct train_args, init)},
    {"model.name", offsetof(struct train_args, model)},     {"model.depth", offsetof(struct train_args, depth)},
    {"train.steps", offsetof(struct train_args, steps)},    {"train.seed", offsetof(struct train_args, seed)},
    {"train.micro_batch", offsetof(struct train_args, micro_batch)},
    {"run.out", offsetof(struct train_args, out)},          {"run.threads", offsetof(struct train_args, threads)},
};
enum { SHORTCUT_COUNT = sizeof shortcuts / sizeof *shortcuts };

static const struct tr_option options[] = {
    {.name = "config", .letter = 'c', .kind = TR_OPTION_PATH, AT(config), .value = "FILE",
     .help = "YAML file with the keys of the run"},
    {.name = "data", .kind = TR_OPTION_PATH, AT(data), .value = "PATH",
     .help = "text file, folder of text files, *.jsonl of documents or conversations, or shards of tokens (data.path)"},
    {.name = "tokenizer", .kind = TR_OPTION_PATH, AT(tokenizer), .value = "FILE",
     .help = "tokenizer.json to read the text by; without it, bytes (data.tokenizer)"},
    {.name = "chat-template", .kind = TR_OPTION_STRING, AT(chat_template), .value = "NAME",
     .help = "how conversations become text; without it, as the model's files say (data.chat_template)"},
    {.name = "depth", .letter = 'd', .kind = TR_OPTION_STRING, AT(depth), .value = "N",
     .help = "the one dial: layers; everything else follows (model.depth)"},
    {.name = "model", .letter = 'm', .kind = TR_OPTION_STRING, AT(model), .value = "NAME",
     .help = "preset, or a Hugging Face config.json (model.name)"},
    {.name = "init", .letter = 'i', .kind = TR_OPTION_PATH, AT(init), .value = "PATH",
     .help = "start from this model: a Hugging Face folder, a .gguf file, a checkpoint or a run (model.init)"},
    {.name = "steps", .letter = 's', .kind = TR_OPTION_STRING, AT(steps), .value = "N",
     .help = "optimiser steps (train.steps)"},
    {.name = "micro-batch", .kind = TR_OPTION_STRING, AT(micro_batch), .value = "N|auto",
     .help = "sequences that a rank computes at a time; auto: by the profile the fastest that fits, else by a rule; changes no bit of the result (train.micro_batch)"},
    {.name = "seed", .kind = TR_OPTION_STRING, AT(seed), .value = "N",
     .help = "decides initial weights and data order (train.seed)"},
    {.name = "out", .letter = 'o', .kind = TR_OPTION_PATH, AT(out), .value = "FOLDER",
     .help = "the run folder (run.out)"},
    {.name = "threads", .letter = 't', .kind = TR_OPTION_STRING, AT(threads), .value = "N",
     .help = "threads; changes no bit of the result (run.threads)"},
    {.name = "resume", .kind = TR_OPTION_STRING, AT(resume), .fallback = "auto", .value = "auto|never|PATH",
     .help = "auto: from the run folder's newest good checkpoint; never: refuse a folder that has one; PATH: from this "
             "checkpoint"},
    {.name = "layout", .kind = TR_OPTION_STRING, AT(layout), .value = "WORDS",
     .help = "ranks that share the run, threads of this process or the processes of mpirun or srun (then without it dp=N): "
             "dp=N shares the data lanes (layout.lanes), zero=1 the optimiser's state too, zero=2 gradients, zero=3 weights; pp=N "
             "makes a pipeline of N stages out of the layers, vpp=N cuts each stage in N chunks that take turns; tp=N shares heads and "
             "the feed-forward network of each layer (layout.tensor), sp then the tokens between them too, "
             "cp=N each sequence (layout.context); changes no bit "
             "of the result, and may be another one at each start. auto: the fastest on this machine, as its profile predicts"},
    {.name = "timeout", .kind = TR_OPTION_TIME, AT(timeout_s), .fallback = "10min", .value = "TIME", .min = 0.1, .max = 1e6,
     .help = "ranks: give up when one that others wait for does nothing for so long; must be longer than a save"},
    {.name = "memory", .kind = TR_OPTION_BYTES, AT(memory_bytes), .fallback = "0", .value = "BYTES",
     .help = "refuse what needs more than this, for all ranks of this machine together; 0: what is free on it and in its control group, but for a little"},
    {.name = "profile", .kind = TR_OPTION_PATH, AT(profile), .value = "FILE",
     .help = "what `trine calibrate` wrote, to predict the steps by; without it, profile.yaml if the current folder has one"},
    {.name = "trace-steps", .kind = TR_OPTION_COUNT, AT(trace_steps), .fallback = "0", .value = "N", .min = 0, .max = 1e6,
     .help = "write what each rank does when in N steps, from the second on, into FOLDER/trace: `trine explain FOLDER --trace OUT.json` "
             "makes one timeline of it"},
    {.name = "dry-run", .letter = 'n', .kind = TR_OPTION_FLAG, AT(dry_run),
     .help = "check everything, print the plan and the effective config (--json: the plan as JSON), write nothing"},
    {.name = "json", .kind = TR_OPTION_FLAG, AT(json), .help = "print the result as one JSON object"},
    {.name = "quiet", .letter = 'q', .kind = TR_OPTION_FLAG, AT(quiet), .help = "no progress on standard error"},
};

static const struct tr_positional positionals[] = {
    {.name = "PATH", .help = "the run's config (*.yaml, as --config), or what it trains on (as --data): text file, folder of "
                             "text files, *.jsonl of documents or conversations, or shards of tokens",
     AT(first), .optional = true},
};

static const struct tr_command command = {
    .name = "train",
    .summary = "train a GPT on text",
    .description =
        "Trains from the beginning, or goes on from the newest good checkpoint of the run folder: after a crash or an "
        "interrupt, give the same command again. The result is the same, bit for bit, as if nothing had happened.\n"
        "SIGINT, SIGTERM and SIGUSR1 finish the current step, save it and end with exit status 3; a second signal "
        "changes "
        "nothing. Every key of the config can be given as --section.key=value; `trine docs` lists them.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .positionals = positionals,
    .positional_count = 1,
    .takes_overrides = true,
    .examples = "trine train book.txt                              # depth 4, into runs/depth-4\n"
                "trine train book.txt --depth 6 --steps 2k -o runs/book\n"
                "trine train talks.jsonl --init SmolLM2-135M-Instruct.gguf --lora.rank=16\n"
                "trine train run.yaml --optimizer.lr=0.001\n"
                "trine train book.txt --layout.lanes=4 --layout dp=2,zero=1\n"
                "trine train book.txt --layout pp=2 --train.micro_batch=1\n"
                "mpirun -n 4 trine train book.txt --layout.lanes=4\n",
};

/* ---- config ------------------------------------------------------------------------------------------------------ */

/* What stands before the options is a config by its name, or else data. */
static enum tr_status take_first(struct train_args *args, struct tr_err *err)
{
    const char *end = args->first ? strrchr(args->first, '.') : NULL;
    bool is_config = end && (strcmp(end, ".yaml") == 0 || strcmp(end, ".yml") == 0);
    const char **place = is_config ? &args->config : &args->data;
    if (!args->first)
        return TR_OK;
    if (*place)
        return tr_fail(err, TR_BAD_INPUT, "the %s given twice: as %s and with --%s %s", is_config ? "config is" : "data are",
                       args->first, is_config ? "config" : "data", *place);
    *place = args->first;
    return TR_OK;
}

static bool is_given(const struct tr_override *all, int count, const char *key)
{
    for (int i = 0; i < count; i++)
        if (strcmp(all[i].key, key) == 0)
            return true;
    return false;
}

/* A model that is named has its own depth: whoever gives one too on the command line wants something else. */
static enum tr_status check_depth(const struct tr_override *all, int count, struct tr_err *err)
{
    const char *name = is_given(all, count, "model.name") ? "model" : is_given(all, count, "model.init") ? "init" : NULL;
    if (!name || !is_given(all, count, "model.depth"))
        return TR_OK;
    return tr_fail(err, TR_BAD_INPUT, "--depth makes a model, --%s names one: give one of them", name);
}

static enum tr_status read_config(const struct train_args *args, const struct tr_given *given,
                                  struct tr_run_config *config, struct tr_err *err)
{
    struct tr_override all[SHORTCUT_COUNT + TR_OVERRIDE_MAX];
    int count = 0;
    for (int i = 0; i < SHORTCUT_COUNT; i++) {
        const char *value = *(const char *const *)((const char *)args + shortcuts[i].offset);
        if (value)
            all[count++] = (struct tr_override){shortcuts[i].key, value};
    }
    for (int i = 0; i < given->override_count; i++)
        all[count++] = given->overrides[i];
    enum tr_status status = check_depth(all, count, err);
    return status == TR_OK ? tr_run_config_read(config, args->config, all, count, err) : status;
}

static void set_resume(const struct train_args *args, struct tr_train_options *out)
{
    if (strcmp(args->resume, "auto") == 0) {
        out->resume = TR_RESUME_AUTO;
    } else if (strcmp(args->resume, "never") == 0) {
        out->resume = TR_RESUME_NEVER;
    } else {
        out->resume = TR_RESUME_FROM;
        out->resume_path = args->resume;
    }
}

/* ---- the answer -------------------------------------------------------------------------------------------------- */

/* What was left to choose, as it was chosen. */
static void write_chosen(const struct tr_train_result *result, struct tr_json *json)
{
    char layout[TR_LAYOUT_WORDS_BYTES];
    const struct tr_run_config *c = &result->state.config;
    tr_json_string(json, "layout", result->ranks > 1 ? tr_degrees_words(&result->layout, layout) : "dp=1");
    tr_json_int(json, "micro_batch", c->micro_batch);
    tr_json_string(json, "recompute", tr_run_recompute_name(c));
}

/* Without `ran` only what is known before the first step. */
static void write_json(const struct tr_train_result *result, const struct tr_app_prediction *prediction, bool ran, struct tr_text *out)
{
    const struct tr_train_predicted *predicted = &prediction->said;
    const struct tr_train_state *s = &result->state;
    struct tr_json json = tr_json_start(out, TR_JSON_LINE);
    tr_json_object(&json, NULL);
    tr_json_string(&json, "run", result->run_folder);
    write_chosen(result, &json);
    tr_json_int(&json, "parameters", result->parameters);
    tr_json_double(&json, "peak_flop_s", result->peak_flop_s);
    tr_json_int(&json, "memory_planned_bytes", result->memory_planned_bytes);
    if (predicted->step_s > 0) {
        tr_json_double(&json, "predicted_step_s", predicted->step_s);
        tr_json_double(&json, "predicted_error", predicted->error);
        tr_json_double(&json, "predicted_run_s", predicted->run_s);
        tr_json_int(&json, "predicted_steps", predicted->steps);
        tr_json_double(&json, "predicted_run_error", predicted->run_error);
    } else if (prediction->path)
        tr_json_string(&json, "unpredicted", prediction->unsaid.text);
    if (prediction->path)
        tr_here_foreign_json(&json, tr_text_str(&prediction->foreign));
    if (result->ranks > 1) {
        tr_json_int(&json, "ranks", result->ranks);
        tr_json_int(&json, "sent_planned_bytes", result->sent_planned_bytes);
    }
    if (result->ranks > 1 && result->sent_steps > 0) {
        tr_json_double(&json, "collectives_s", result->coll.busy_s / (double)result->sent_steps);
        tr_json_double(&json, "exposed_s", result->coll.exposed_s / (double)result->sent_steps);
    }
    if (result->stages > 1)
        tr_json_double(&json, "bubble_planned", result->bubble_planned);
    if (result->stages > 1 && ran)
        tr_json_double(&json, "bubble", result->bubble);
    if (ran) {
        tr_json_int(&json, "memory_peak_bytes", result->memory_peak_bytes);
        tr_json_int(&json, "step", s->step);
        tr_json_int(&json, "tokens", s->tokens);
        tr_json_double(&json, "loss", s->loss);
        tr_json_double(&json, "first_val_loss", s->first_val_loss);
        tr_json_double(&json, "first_val_bpb", s->first_val_bpb);
        tr_json_double(&json, "val_loss", s->val_loss);
        tr_json_double(&json, "val_bpb", s->val_bpb);
        tr_json_int(&json, "best_step", s->best_step);
        tr_json_double(&json, "best_val_loss", s->best_val_loss);
        tr_json_bool(&json, "stopped_early", s->step < s->config.steps);
        tr_json_int(&json, "skipped", s->skipped);
        tr_json_double(&json, "train_s", s->train_s);
        if (result->wall_s > 0)
            tr_json_double(&json, "wall_s", result->wall_s);
        tr_json_double(&json, "tok_s", result->tok_s);
        tr_json_double(&json, "mfu", result->mfu);
        tr_json_string(&json, "arithmetic", s->arithmetic);
        tr_json_string(&json, "sha256", result->hash);
        tr_json_string(&json, "checkpoint", result->checkpoint);
    }
    tr_json_end(&json);
    tr_text_char(out, '\n');
}

static void write_met(const struct tr_train_result *result, const struct tr_train_predicted *predicted, struct tr_text *out)
{
    const struct tr_run_config *c = &result->state.config;
    char said[TR_QUANTITY_BYTES], met[TR_MET_WORDS_BYTES], what[48] = "the run";
    if (predicted->step_s <= 0 || !(result->tok_s > 0))
        return;
    double step_s = (double)(c->batch * c->seq_len) / result->tok_s;
    tr_text_printf(out, "\npredicted   %s a step +- %.0f %%; it %s", tr_print_time(said, predicted->step_s), 100 * predicted->error,
                   tr_here_met(predicted->step_s, predicted->error, step_s, met));
    if (predicted->steps < c->steps) /* resumed: neither the prediction nor the clock is of what went before */
        snprintf(what, sizeof what, "the rest of %lld steps", (long long)predicted->steps);
    if (result->wall_s > 0 && result->state.step == c->steps)
        tr_text_printf(out, "; %s %s +- %.0f %%, %s", what, tr_print_time(said, predicted->run_s), 100 * predicted->run_error,
                       tr_here_met(predicted->run_s, predicted->run_error, result->wall_s, met));
}

static void write_collectives(const struct tr_train_result *result, struct tr_text *out)
{
    char busy[TR_QUANTITY_BYTES], exposed[TR_QUANTITY_BYTES];
    double steps = (double)result->sent_steps;
    if (result->ranks > 1 && result->sent_steps > 0)
        tr_text_printf(out, "\nranks       %d; collectives of rank 0 took %s a step, %s of it beside no other work", result->ranks,
                       tr_print_time(busy, result->coll.busy_s / steps), tr_print_time(exposed, result->coll.exposed_s / steps));
}

static void write_text(const struct tr_train_result *result, const struct tr_train_predicted *predicted, struct tr_text *out)
{
    const struct tr_train_state *s = &result->state;
    char tokens[TR_QUANTITY_BYTES], time[TR_QUANTITY_BYTES], rate[TR_QUANTITY_BYTES];
    tr_text_printf(out, "steps       %lld", (long long)s->step);
    if (s->step < s->config.steps)
        tr_text_printf(out, " of %lld, stopped early", (long long)s->config.steps);
    tr_text_printf(out, ", %s tokens, %s in steps", tr_print_count(tokens, s->tokens), tr_print_clock(time, s->train_s));
    if (result->tok_s > 0)
        tr_text_printf(out, ", %s tok/s", tr_print_count(rate, (int64_t)result->tok_s));
    if (!isnan(result->mfu))
        tr_text_printf(out, ", MFU %.1f%%", 100 * result->mfu);
    write_met(result, predicted, out);
    write_collectives(result, out);
    if (result->stages > 1)
        tr_text_printf(out, "\npipeline    rank 0 waited %.1f %% of its steps for other stages; %.1f %% if all took the same time",
                       100 * result->bubble, 100 * result->bubble_planned);
    tr_text_printf(out, "\nloss        %.4f", s->loss);
    if (s->skipped)
        tr_text_printf(out, "; %lld steps left out", (long long)s->skipped);
    if (!isnan(s->val_loss)) {
        tr_text_printf(out, "\nvalidation  loss %.4f, %.4f bits per byte", s->val_loss, s->val_bpb);
        if (!isnan(s->first_val_loss))
            tr_text_printf(out, " (before training: %.4f, %.4f)", s->first_val_loss, s->first_val_bpb);
        if (s->best_step >= 0 && s->best_step < s->step)
            tr_text_printf(out, "; the lowest was %.4f, of step %lld", s->best_val_loss, (long long)s->best_step);
    }
    tr_text_printf(out, "\nhash        %s  %s\n", result->hash, s->arithmetic);
    tr_text_printf(out, "checkpoint  %s\nreport      %s/report.html\n", result->checkpoint, result->run_folder);
    if (result->last_sample.len)
        tr_text_printf(out, "\n%s\n", tr_text_str(&result->last_sample));
}

static enum tr_status answer(const struct train_args *args, const struct tr_train_result *result,
                             const struct tr_app_prediction *prediction, struct tr_err *err)
{
    struct tr_text text = {0};
    if (args->json)
        write_json(result, prediction, !args->dry_run, &text);
    else if (args->dry_run)
        tr_run_config_yaml(&result->state.config, &text);
    else
        write_text(result, &prediction->said, &text);
    return tr_app_print(&text, err);
}

/* All that can be wrong before there is a run. */
static enum tr_status prepare(struct train_args *args, const struct tr_given *given, const struct tr_app_ranks *ranks,
                              struct tr_run_config *config, struct tr_train_options *how, struct tr_app_prediction *predicted,
                              struct tr_err *err)
{
    enum tr_status status = take_first(args, err);
    set_resume(args, how);
    bool is_auto = tr_app_layout_is_auto(args->layout);
    if (status == TR_OK && !is_auto)
        status = tr_degrees_read(args->layout, &how->layout, err);
    if (status == TR_OK)
        status = read_config(args, given, config, err);
    if (status == TR_OK && !is_auto)
        status = tr_app_ranks_layout(&ranks->launched, args->layout, config->lanes, &how->layout, err);
    if (status == TR_OK)
        status = tr_app_predict_open(predicted, args->profile, err);
    if (predicted->path) {
        how->planned = tr_app_predict;
        how->price = tr_app_price;
        how->planned_context = how->price_context = predicted;
    }
    return status;
}

static enum tr_status train(struct train_args *args, const struct tr_given *given, struct tr_run_config *config,
                            struct tr_train_result *result, struct tr_err *err)
{
    struct tr_train_options how = {.log = args->quiet ? NULL : stderr, .program = tr_app_program(), .stop = &tr_app_signal, .dry_run = args->dry_run,
                                   .memory_bytes = args->memory_bytes, .trace_steps = args->trace_steps, .timeout_s = args->timeout_s};
    struct tr_app_prediction predicted = {.path = NULL};
    struct tr_app_ranks ranks = {.world = NULL};
    enum tr_status status = tr_app_catch_signals(err);
    if (status == TR_OK)
        status = tr_app_ranks_open(&ranks, args->timeout_s, err);
    if (status == TR_OK)
        status = tr_app_ranks_alike(&ranks, prepare(args, given, &ranks, config, &how, &predicted, err), err);
    how.world = ranks.world;
    predicted.transport = ranks.world ? "mpi" : "threads";
    if (status == TR_OK && tr_app_layout_is_auto(args->layout))
        status = tr_app_choose_layout(&ranks, &predicted, config, &how, err);
    if (status == TR_OK)
        status = tr_train(config, &how, result, err);
    tr_app_ranks_close(&ranks, status, err);
    if (status == TR_OK && ranks.leads)
        status = answer(args, result, &predicted, err);
    tr_app_predict_close(&predicted);
    return status;
}

static enum tr_status run(void *parsed, const struct tr_given *given, struct tr_err *err)
{
    struct tr_run_config *config = calloc(1, sizeof *config);
    struct tr_train_result *result = calloc(1, sizeof *result);
    enum tr_status status = TR_FAILED;
    if (config && result) {
        status = train(parsed, given, config, result, err);
        tr_text_free(&result->last_sample);
    } else {
        (void)tr_fail(err, TR_FAILED, "out of memory before the run began");
    }
    free(config);
    free(result);
    return status;
}

const struct tr_app_command tr_cmd_train = {&command, sizeof(struct train_args), run};
