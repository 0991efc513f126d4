/* trine eval: how well does a model predict a text, and how often does it pick the right ending? */
#include "app/app.h"
#include "app/weights.h"

#include "base/fmath.h"
#include "base/json.h"
#include "base/num.h"
#include "base/os.h"
#include "base/progress.h"
#include "base/quantity.h"
#include "lab/data/source.h"
#include "lab/eval/eval.h"
#include "lab/train/hash.h"
#include "lab/train/origin.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SEQ_LEN_MAX = 2048, CHOICES_SEQ_LEN = 64 };

struct eval_args {
    const char *path, *data, *choices, *scores, *tokenizer, *adapter, *chat_template;
    int dtype, weights; /* indices of tr_app_dtypes, tr_app_weights */
    int64_t seq_len, stride, windows, batch, threads;
    int encoding;
    bool json, quiet;
};

#define AT(field) .offset = offsetof(struct eval_args, field)

static const struct tr_option options[] = {
    {.name = "choices", .letter = 'c', .kind = TR_OPTION_PATH, AT(choices), .value = "FILE",
     .help = "questions with several endings, a JSON object a line: ctx, endings, label (or query, choices, gold)"},
    {.name = "scores", .kind = TR_OPTION_PATH, AT(scores), .value = "FILE",
     .help = "write the log probability of every ending there, a JSON object a line"},
    {.name = "tokenizer", .kind = TR_OPTION_PATH, AT(tokenizer), .value = "FILE",
     .help = "tokenizer.json; without it, the one beside the model or the shards, or bytes"},
    {.name = "encoding", .kind = TR_OPTION_ENUM, AT(encoding), .fallback = "utf8", .choices = tr_encoding_names,
     .value = "NAME", .help = "of DATA; bytes: any bytes are taken as they are"},
    {.name = "chat-template", .kind = TR_OPTION_STRING, AT(chat_template), .value = "NAME",
     .help = "of DATA that are conversations (trine generate --help lists them); without it, what the model's files say"},
    {.name = "adapter", .kind = TR_OPTION_PATH, AT(adapter), .value = "DIR",
     .help = "adapters in PEFT's format on top of the model"},
    {.name = "dtype", .kind = TR_OPTION_ENUM, AT(dtype), .choices = tr_app_dtypes, .fallback = "auto", .value = "NAME",
     .help = "number type of activations and products; auto: that of the checkpoint's run, else f32"},
    {.name = "weights", .kind = TR_OPTION_ENUM, AT(weights), .choices = tr_app_weights, .fallback = "auto", .value = "NAME",
     .help = "number type of weights; int8 and int4: in blocks of 32, rounded when they are loaded, with activations in bf16 "
             "unless --dtype says otherwise; auto: as --dtype"},
    {.name = "seq-len", .kind = TR_OPTION_INT, AT(seq_len), .fallback = "0", .min = 0, .max = 1e9, .value = "N",
     .help = "tokens of a window; 0: those of the checkpoint's run, else the model's positions, at most 2048"},
    {.name = "stride", .kind = TR_OPTION_INT, AT(stride), .fallback = "0", .min = 0, .max = 1e9, .value = "N",
     .help = "tokens from window to window: fewer than a window's give each token more text before it, and cost more; "
             "0: windows do not overlap"},
    {.name = "windows", .kind = TR_OPTION_COUNT, AT(windows), .fallback = "0", .min = 0, .max = 1e15, .value = "N",
     .help = "at most so many windows, spread evenly; 0: all"},
    {.name = "batch", .kind = TR_OPTION_INT, AT(batch), .fallback = "0", .min = 0, .max = 1e6, .value = "N",
     .help = "windows computed at a time; 0: some four thousand tokens; changes no bit"},
    {.name = "threads", .letter = 't', .kind = TR_OPTION_INT, AT(threads), .fallback = "0", .min = 0, .max = 1024,
     .value = "N", .help = "threads; 0: all usable cores; changes no bit"},
    {.name = "json", .kind = TR_OPTION_FLAG, AT(json), .help = "print one JSON object"},
    {.name = "quiet", .letter = 'q', .kind = TR_OPTION_FLAG, AT(quiet), .help = "no progress on standard error"},
};

static const struct tr_positional positionals[] = {
    {.name = "PATH", .help = "a checkpoint, a run folder (its newest one), a Hugging Face folder or a .gguf file",
     AT(path)},
    {.name = "DATA", .optional = true, AT(data),
     .help = "text, a folder of texts, or shards: all of it is predicted; without it and without --choices, the "
             "validation windows of the checkpoint's run"},
};

static const struct tr_command command = {
    .name = "eval",
    .summary = "measure a model: loss, perplexity, bits per byte, multiple choice",
    .description =
        "Predicts every token of DATA but the first from what its window holds of the text before it: loss (nats per "
        "token), perplexity (e to the loss), bits per byte of raw text, which compares models with different "
        "tokenizers. Without DATA the number is that which the trainer gave for its validation. A run trained with "
        "data.documents apart is evaluated so. Of conversations (*.jsonl of \"messages\") the assistant's replies are "
        "predicted.\n"
        "With --choices: the share of questions whose right ending has the highest log probability (acc), the same per "
        "byte of the ending (acc_norm), with standard errors; tokens and rules are those of lm-evaluation-harness, text is "
        "taken as it stands in the file.\n"
        "Nothing depends on threads, instruction set or --batch, to the bit. SIGINT, SIGTERM and SIGUSR1 end it with exit "
        "status 3.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .positionals = positionals,
    .positional_count = 2,
    .examples = "trine eval runs/depth-4                          # as the trainer validated\n"
                "trine eval runs/depth-4 other-book.txt --json\n"
                "trine eval smollm2-135m wikitext.txt --stride 1024\n"
                "trine eval runs/depth-4 --choices hellaswag.jsonl\n",
};

struct work {
    const struct eval_args *args;
    struct tr_origin origin;
    enum tr_weight_form form;
    struct tr_machine machine;
    struct tr_token *token;
    struct tr_manner manner;
    int64_t data_bytes;
    struct tr_data_config data_config;
    struct tr_data data;
    struct tr_evaluator e;
    struct tr_choices choices;
    struct tr_choice_score *score;
    struct tr_progress bar;
    bool has_text, has_choices;
    double text_s, choices_s;
    struct tr_eval_sum sum;
};

/* ---- what is asked for ------------------------------------------------------------------------------------------- */

static enum tr_status check_args(const struct eval_args *args, struct tr_err *err)
{
    if (args->scores && !args->choices)
        return tr_fail(err, TR_BAD_INPUT, "--scores says where the scores of endings go, and there are none without "
                       "--choices");
    if (args->choices && !args->data && (args->stride || args->windows))
        return tr_fail(err, TR_BAD_INPUT, "--%s is for a text, and only --choices is given: name DATA too",
                       args->stride ? "stride" : "windows");
    return TR_OK;
}

static enum tr_status open_tokenizer(struct work *w, struct tr_err *err)
{
    char beside[TR_PATH_BYTES] = "";
    const char *given = w->args->tokenizer;
    enum tr_status status = TR_OK;
    if (!given && w->origin.tokenizer[0] == 0 && w->args->data) {
        status = tr_data_find_tokenizer(w->args->data, "", beside, err);
        given = beside[0] ? beside : NULL;
    }
    return status == TR_OK ? tr_origin_token(&w->origin, given, &w->token, err) : status;
}

/* The same text as the run, or its numbers mean something else. */
static enum tr_status check_same_data(const struct work *w, struct tr_err *err)
{
    if (w->args->data || strcmp(w->data.sha256, w->origin.data_sha256) == 0)
        return TR_OK;
    return tr_fail(err, TR_BAD_INPUT, "%s: is not what %s was trained on (the SHA-256 of the data differ): name the text "
                   "to evaluate on", w->origin.data, w->origin.path);
}

/* Conversations are evaluated as they are trained on: whole, apart, their replies alone. */
static enum tr_status plan_chat(struct work *w, struct tr_err *err)
{
    const struct eval_args *args = w->args;
    const char *path = args->tokenizer ? args->tokenizer : w->origin.tokenizer;
    bool is_chat;
    enum tr_status status = tr_data_is_chat(w->data_config.path, &is_chat, err);
    if (status != TR_OK || !is_chat)
        return status;
    if (!w->token)
        return tr_fail(err, TR_BAD_INPUT, "%s: is of conversations, which need a tokenizer that has the tokens of the chat "
                       "template", w->data_config.path);
    if (args->stride)
        return tr_fail(err, TR_BAD_INPUT, "--stride is for text: windows of conversations hold whole ones");
    status = tr_manner_find(&w->manner, path, w->token, args->chat_template ? args->chat_template : "", err);
    if (status == TR_OK)
        status = tr_manner_chat(&w->manner, w->origin.path, &w->data_config.chat, err);
    w->data_config.apart = true;
    return status;
}

static enum tr_status plan_text(struct work *w, struct tr_err *err)
{
    const struct eval_args *args = w->args;
    const struct tr_origin *o = &w->origin;
    if (!args->data && !o->is_checkpoint)
        return tr_fail(err, TR_BAD_INPUT, "there is nothing to evaluate %s on: name a text, or --choices", o->path);
    if (!args->data && o->val_fraction == 0)
        return tr_fail(err, TR_BAD_INPUT, "%s: its run has no validation text (data.val_fraction 0): name a text",
                       o->path);
    int64_t seq_len = o->is_checkpoint ? o->seq_len : tr_min_i64(o->model.positions, SEQ_LEN_MAX);
    seq_len = args->seq_len ? args->seq_len : seq_len;
    if (args->stride > seq_len)
        return tr_fail(err, TR_BAD_INPUT, "--stride %lld would leave out tokens: a window has %lld",
                       (long long)args->stride, (long long)seq_len);
    w->data_config = (struct tr_data_config){.path = args->data ? args->data : o->data, .seq_len = seq_len, .batch = 1,
                                             .encoding = (enum tr_encoding)(args->data ? args->encoding : o->encoding),
                                             .only_val = args->data != NULL, .val_fraction = o->val_fraction,
                                             .val_windows = args->windows, .val_stride = args->stride,
                                             .apart = o->apart, .token = w->token};
    if (!args->data && !args->windows)
        w->data_config.val_windows = o->val_windows;
    w->has_text = true;
    enum tr_status status = plan_chat(w, err);
    return status != TR_OK ? status : tr_data_measure(w->data_config.path, &w->data_bytes, err);
}

static enum tr_status prepare(struct work *w, struct tr_err *err)
{
    enum tr_isa isa;
    enum tr_status status = check_args(w->args, err);
    if (status == TR_OK)
        status = tr_isa_choose(&isa, err);
    if (status == TR_OK)
        status = tr_origin_find(&w->origin, w->args->path, err);
    if (status == TR_OK && w->args->adapter)
        status = tr_origin_adapt(&w->origin, w->args->adapter, err);
    if (status == TR_OK)
        status = open_tokenizer(w, err);
    if (status == TR_OK && (w->args->data || !w->args->choices))
        status = plan_text(w, err);
    if (status == TR_OK && w->args->choices) {
        w->has_choices = true;
        status = tr_choices_read(w->args->choices, &w->choices, err);
    }
    if (status != TR_OK)
        return status;
    status = tr_app_choose_weights(w->args->dtype, w->args->weights, &w->origin.dtype, &w->form, err);
    if (status != TR_OK)
        return status;
    w->machine.kernels = tr_kernel_set(isa);
    w->machine.threads = w->args->threads > 0 ? (int)w->args->threads : tr_cores_usable();
    int64_t seq_len = w->has_text ? w->data_config.seq_len : tr_min_i64(CHOICES_SEQ_LEN, w->origin.model.positions);
    /* Questions are cut into sequences of their own lengths: no part of a sequence is computed elsewhere. */
    struct tr_widths widths = w->origin.widths;
    widths.context = w->has_text ? widths.context : 1;
    status = tr_evaluator_open(&w->e, &w->origin.model, w->origin.dtype, w->form, &widths, seq_len, w->args->batch,
                               w->data_config.apart, w->machine, w->data_bytes, err);
    return status == TR_OK ? tr_origin_load(&w->origin, &w->e.exec, err) : status;
}

/* ---- the work ---------------------------------------------------------------------------------------------------- */

static bool watch(void *context, int64_t done, double loss_so_far)
{
    struct work *w = context;
    if (isnan(loss_so_far))
        tr_progress_update(&w->bar, done, "%s", "");
    else
        tr_progress_update(&w->bar, done, "loss %.4f", loss_so_far);
    return tr_app_signal == 0;
}

static enum tr_status interrupted(struct tr_err *err)
{
    return tr_fail(err, TR_FAILED, "interrupted by %s: there is no result", tr_signal_name(tr_app_signal));
}

static enum tr_status evaluate_text(struct work *w, struct tr_err *err)
{
    enum tr_status status = tr_data_open(&w->data, &w->data_config, err);
    if (status == TR_OK)
        status = check_same_data(w, err);
    if (status != TR_OK)
        return status;
    double begin_s = tr_clock_s();
    tr_progress_start(&w->bar, w->args->quiet ? NULL : stderr, "eval", "window", w->data.val_windows);
    status = tr_eval_windows(&w->e.exec, &w->data, watch, w, &w->sum);
    tr_progress_end(&w->bar);
    w->text_s = tr_clock_s() - begin_s;
    return status == TR_NO ? interrupted(err) : status;
}

static enum tr_status evaluate_choices(struct work *w, struct tr_err *err)
{
    w->score = calloc((size_t)w->choices.row_count, sizeof *w->score);
    if (!w->score)
        return tr_fail(err, TR_FAILED, "out of memory for %lld scores", (long long)w->choices.row_count);
    double begin_s = tr_clock_s();
    tr_progress_start(&w->bar, w->args->quiet ? NULL : stderr, "eval", "ending", w->choices.row_count);
    enum tr_status status = tr_eval_choices(&w->e, w->token, &w->choices, watch, w, w->score, err);
    if (status != TR_BAD_INPUT)
        tr_progress_end(&w->bar);
    w->choices_s = tr_clock_s() - begin_s;
    if (status == TR_BAD_INPUT)
        tr_err_prefix(err, "%s", w->args->choices);
    return status == TR_NO ? interrupted(err) : status;
}

/* ---- the answer -------------------------------------------------------------------------------------------------- */

static void write_scores(const struct work *w, struct tr_text *out)
{
    for (int64_t q = 0; q < w->choices.count; q++) {
        const struct tr_choice_question *question = &w->choices.question[q];
        struct tr_json json = tr_json_start(out, TR_JSON_LINE);
        tr_json_object(&json, NULL);
        tr_json_int(&json, "question", q + 1);
        tr_json_int(&json, "label", question->label);
        tr_json_int(&json, "picked", tr_choice_picked(question, w->score, false));
        tr_json_int(&json, "picked_norm", tr_choice_picked(question, w->score, true));
        tr_json_array(&json, "log_prob");
        for (int32_t i = 0; i < question->ending_count; i++)
            tr_json_double(&json, NULL, w->score[question->first_row + i].log_prob);
        tr_json_end(&json);
        tr_json_array(&json, "tokens");
        for (int32_t i = 0; i < question->ending_count; i++)
            tr_json_int(&json, NULL, w->score[question->first_row + i].tokens);
        tr_json_end(&json);
        tr_json_end(&json);
        tr_text_char(out, '\n');
    }
}

static enum tr_status save_scores(const struct work *w, struct tr_err *err)
{
    struct tr_text text = {0};
    if (!w->args->scores)
        return TR_OK;
    write_scores(w, &text);
    enum tr_status status = tr_text_failed(&text, err)
                                ? TR_FAILED
                                : tr_file_write(w->args->scores, tr_text_str(&text), text.len, err);
    tr_text_free(&text);
    return status;
}

static double loss_of(const struct tr_eval_sum *sum) { return sum->nats / (double)sum->targets; }

static int64_t cut_count(const struct work *w)
{
    int64_t count = 0;
    for (int64_t i = 0; i < w->choices.row_count; i++)
        count += w->score[i].cut > 0;
    return count;
}

static void json_text(const struct work *w, struct tr_json *json)
{
    const struct tr_eval_sum *s = &w->sum;
    tr_json_string(json, "data", w->data_config.path);
    tr_json_double(json, "loss", loss_of(s));
    tr_json_double(json, "perplexity", tr_exp(loss_of(s)));
    tr_json_double(json, "bits_per_byte", tr_bits_per_byte(s->nats, s->bytes));
    tr_json_int(json, "tokens", s->targets);
    tr_json_int(json, "bytes", s->bytes);
    tr_json_int(json, "windows", s->windows);
    tr_json_int(json, "windows_all", w->data.val_windows_all);
    tr_json_int(json, "seq_len", w->data.seq_len);
    tr_json_int(json, "stride", w->data.val_stride);
    tr_json_double(json, "eval_s", w->text_s);
    tr_json_double(json, "tok_s", (double)s->targets / w->text_s);
}

static void json_choices(const struct work *w, struct tr_json *json)
{
    struct tr_accuracy acc = tr_choice_accuracy(&w->choices, w->score, false);
    struct tr_accuracy norm = tr_choice_accuracy(&w->choices, w->score, true);
    tr_json_string(json, "choices", w->args->choices);
    tr_json_int(json, "questions", acc.count);
    tr_json_double(json, "acc", acc.share);
    tr_json_double(json, "acc_stderr", acc.error);
    tr_json_double(json, "acc_norm", norm.share);
    tr_json_double(json, "acc_norm_stderr", norm.error);
    tr_json_int(json, "endings", w->choices.row_count);
    tr_json_int(json, "endings_cut", cut_count(w));
    tr_json_double(json, "choices_s", w->choices_s);
}

static void write_json(const struct work *w, struct tr_text *out)
{
    char arithmetic[TR_ARITHMETIC_BYTES];
    struct tr_json json = tr_json_start(out, TR_JSON_LINE);
    tr_json_object(&json, NULL);
    tr_json_string(&json, "model", w->origin.path);
    if (w->origin.is_checkpoint)
        tr_json_int(&json, "step", w->origin.step);
    tr_json_int(&json, "parameters", w->e.program.weights.element_count);
    tr_json_string(&json, "arithmetic", tr_arithmetic_id(arithmetic, w->e.dtype, &w->e.program.step.widths));
    tr_json_string(&json, "weights", tr_app_weights_name(w->e.dtype, w->form));
    if (w->form != TR_FORM_ROWS)
        tr_json_double(&json, "weights_error", tr_exec_form_error(&w->e.exec));
    if (w->has_text)
        json_text(w, &json);
    if (w->has_choices)
        json_choices(w, &json);
    tr_json_end(&json);
    tr_text_char(out, '\n');
}

static void write_accuracy(const char *name, const struct tr_accuracy *a, struct tr_text *out)
{
    tr_text_printf(out, "%-11s %.4f", name, a->share);
    if (!isnan(a->error))
        tr_text_printf(out, " +- %.4f", a->error);
    tr_text_printf(out, "  (%lld of %lld)\n", (long long)a->right, (long long)a->count);
}

static void write_text(const struct work *w, struct tr_text *out)
{
    const struct tr_eval_sum *s = &w->sum;
    char tokens[TR_QUANTITY_BYTES], bytes[TR_QUANTITY_BYTES];
    tr_text_printf(out, "model       %s\n", w->origin.path);
    if (w->form != TR_FORM_ROWS)
        tr_text_printf(out, "weights     %s: rounding changes them by %.3f %% (root mean square)\n",
                       tr_app_weights_name(w->e.dtype, w->form), 100 * tr_exec_form_error(&w->e.exec));
    if (w->has_text) {
        tr_text_printf(out, "data        %s: %s tokens, %s, %lld of %lld windows of %lld tokens\n", w->data_config.path,
                       tr_print_count(tokens, s->targets), tr_print_bytes(bytes, s->bytes), (long long)s->windows,
                       (long long)w->data.val_windows_all, (long long)w->data.seq_len);
        tr_text_printf(out, "loss        %.6f nats per token\nperplexity  %.4f\nbits/byte   %.6f\n", loss_of(s),
                       tr_exp(loss_of(s)), tr_bits_per_byte(s->nats, s->bytes));
    }
    if (!w->has_choices)
        return;
    struct tr_accuracy acc = tr_choice_accuracy(&w->choices, w->score, false);
    struct tr_accuracy norm = tr_choice_accuracy(&w->choices, w->score, true);
    tr_text_printf(out, "choices     %s: %lld questions, %lld endings", w->args->choices, (long long)acc.count,
                   (long long)w->choices.row_count);
    if (cut_count(w))
        tr_text_printf(out, "; the context of %lld was cut off in front", (long long)cut_count(w));
    tr_text_char(out, '\n');
    write_accuracy("acc", &acc, out);
    write_accuracy("acc_norm", &norm, out);
}

static enum tr_status answer(const struct work *w, struct tr_err *err)
{
    struct tr_text text = {0};
    enum tr_status status = save_scores(w, err);
    if (status != TR_OK)
        return status;
    if (w->args->json)
        write_json(w, &text);
    else
        write_text(w, &text);
    return tr_app_print(&text, err);
}

static enum tr_status evaluate(const struct eval_args *args, struct tr_err *err)
{
    struct work *w = calloc(1, sizeof *w);
    if (!w)
        return tr_fail(err, TR_FAILED, "out of memory before the evaluation began");
    w->args = args;
    enum tr_status status = tr_app_catch_signals(err);
    if (status == TR_OK)
        status = prepare(w, err);
    if (status == TR_OK && w->has_text)
        status = evaluate_text(w, err);
    if (status == TR_OK && w->has_choices)
        status = evaluate_choices(w, err);
    if (status == TR_OK)
        status = answer(w, err);
    tr_evaluator_close(&w->e);
    tr_data_close(&w->data);
    tr_choices_free(&w->choices);
    tr_token_free(w->token);
    tr_manner_free(&w->manner);
    free(w->score);
    free(w);
    return status;
}

static enum tr_status run(void *parsed, const struct tr_given *given, struct tr_err *err)
{
    (void)given;
    return evaluate(parsed, err);
}

const struct tr_app_command tr_cmd_eval = {&command, sizeof(struct eval_args), run};
