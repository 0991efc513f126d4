/* trine generate: what does a trained model say? */
#include "app/app.h"
#include "app/weights.h"

#include "base/json.h"
#include "base/num.h"
#include "base/os.h"
#include "lab/data/source.h"
#include "lab/serve/serve.h"
#include "lab/train/hash.h"
#include "lab/train/origin.h"
#include "silicon/chip/peak.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PROMPT_MAX = 1 << 20 }; /* bytes */

struct generate_args {
    const char *path, *prompt, *prompt_file, *tokenizer, *adapter, *system, *chat_template, *prompt_cache;
    bool chat, json, quiet;
    int dtype, weights; /* indices of tr_app_dtypes, tr_app_weights */
    int64_t tokens, threads;
    struct tr_sampling sampling;
    int64_t seed;
};

#define AT(field) .offset = offsetof(struct generate_args, field)

static const struct tr_option options[] = {
    {.name = "prompt", .letter = 'p', .kind = TR_OPTION_STRING, AT(prompt), .value = "TEXT",
     .help = "what the text goes on from; without it, a new line"},
    {.name = "prompt-file", .kind = TR_OPTION_PATH, AT(prompt_file), .value = "FILE",
     .help = "the same from a file, at most 1 MiB"},
    {.name = "prompt-cache", .kind = TR_OPTION_PATH, AT(prompt_cache), .value = "FILE",
     .help = "what the model computes of the prompt is kept there, and taken from there when a prompt begins alike; changes "
             "no bit of the text; not of a prompt longer than the model's context"},
    {.name = "chat", .kind = TR_OPTION_FLAG, AT(chat),
     .help = "the prompt is what a user says, in the model's chat template; the reply alone is printed"},
    {.name = "system", .kind = TR_OPTION_STRING, AT(system), .value = "TEXT",
     .help = "with --chat: the system message; without it, the template's own, if it has one"},
    {.name = "chat-template", .kind = TR_OPTION_STRING, AT(chat_template), .value = "NAME",
     .help = "with --chat: chatml, smollm2, qwen2, qwen2.5, qwen3, llama3, llama3.1, zephyr, mistral, mistral-v0.1 or gemma; "
             "without it, what the model's files say"},
    {.name = "tokenizer", .kind = TR_OPTION_PATH, AT(tokenizer), .value = "FILE",
     .help = "tokenizer.json; without it, the one beside the model, or bytes"},
    {.name = "adapter", .kind = TR_OPTION_PATH, AT(adapter), .value = "DIR",
     .help = "adapters in PEFT's format on top of the model"},
    {.name = "dtype", .kind = TR_OPTION_ENUM, AT(dtype), .choices = tr_app_dtypes, .fallback = "auto", .value = "NAME",
     .help = "number type of activations and products; auto: that of the checkpoint's run, else f32"},
    {.name = "weights", .kind = TR_OPTION_ENUM, AT(weights), .choices = tr_app_weights, .fallback = "auto", .value = "NAME",
     .help = "number type of weights; int8 and int4: in blocks of 32, rounded when they are loaded, with activations in bf16 "
             "unless --dtype says otherwise; auto: as --dtype"},
    {.name = "tokens", .letter = 'n', .kind = TR_OPTION_COUNT, AT(tokens), .fallback = "400", .min = 1, .max = 1e9,
     .value = "N", .help = "tokens to write, at most"},
    {.name = "temperature", .kind = TR_OPTION_DOUBLE, AT(sampling.temperature), .fallback = "0.8", .min = 0, .max = 100,
     .value = "T", .help = "0: always the most likely token; higher: more varied"},
    {.name = "top-k", .kind = TR_OPTION_INT, AT(sampling.top_k), .fallback = "0", .min = 0, .max = 1 << 20, .value = "K",
     .help = "draw from the K most likely tokens; 0: from all"},
    {.name = "top-p", .kind = TR_OPTION_DOUBLE, AT(sampling.top_p), .fallback = "0.95", .min = 1e-9, .max = 1,
     .value = "P", .help = "draw from the fewest tokens whose probabilities sum to P"},
    {.name = "seed", .kind = TR_OPTION_INT, AT(seed), .fallback = "1", .min = 0, .max = 9e15, .value = "N",
     .help = "the same seed, prompt and model give the same text"},
    {.name = "threads", .letter = 't', .kind = TR_OPTION_INT, AT(threads), .fallback = "0", .min = 0, .max = 1024,
     .value = "N", .help = "threads; 0: all usable cores; changes no bit of the text"},
    {.name = "json", .kind = TR_OPTION_FLAG, AT(json),
     .help = "print one JSON object at the end: the text, tokens a second, what memory would allow"},
    {.name = "quiet", .letter = 'q', .kind = TR_OPTION_FLAG, AT(quiet), .help = "nothing on standard error about the weights"},
};

static const struct tr_positional positionals[] = {
    {.name = "PATH", .help = "a checkpoint, a run folder (its newest one), a Hugging Face folder or a .gguf file", AT(path)},
};

static const struct tr_command command = {
    .name = "generate",
    .summary = "write text with a trained model",
    .description =
        "Prints the prompt and what the model writes after it, as it is written, never half a character. Ends at the "
        "end-of-text token, at those that the model's files name (generation_config.json, GGUF's eos_token_id), or after "
        "--tokens. A text longer than the model's context goes on from its newest half.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .positionals = positionals,
    .positional_count = 1,
    .examples = "trine generate runs/depth-4 --prompt 'And God said'\n"
                "trine generate SmolLM2-135M-Instruct.gguf --chat --prompt 'What is the capital of France?'\n"
                "trine generate runs/depth-4/step-00000500 --temperature 0 --tokens 100\n",
};

/* ---- the model --------------------------------------------------------------------------------------------------- */

/* All that is opened for a text. */
struct talk {
    const struct generate_args *args;
    struct tr_string prompt;
    struct tr_ids ids; /* of it */
    struct tr_generator generator;
    struct tr_token *token;
    struct tr_manner manner;
    const struct tr_chat *chat; /* NULL: text */
    struct tr_text text;        /* with --json: what is not printed at once */
    int64_t prompt_kept, tokens; /* of the prompt, after reading it; drawn */
    double read_s, write_s;
};

static enum tr_status find_manner(struct talk *talk, const struct generate_args *args, const struct tr_origin *origin,
                                  struct tr_err *err)
{
    const char *path = args->tokenizer ? args->tokenizer : origin->tokenizer;
    enum tr_status status = tr_manner_find(&talk->manner, path, talk->token, args->chat_template ? args->chat_template : "",
                                           err);
    if (status == TR_OK && args->chat && !talk->token)
        return tr_fail(err, TR_BAD_INPUT, "%s: reads bytes; --chat needs a tokenizer that has the tokens of a chat template",
                       origin->path);
    if (status == TR_OK && args->chat)
        status = tr_manner_chat(&talk->manner, origin->path, &talk->chat, err);
    return status;
}

/* What no text of its training can have held says nothing to a model, and is most likely a slip: a file of another encoding.
 * Models of bytes were trained on any, or nobody knows on what. */
static enum tr_status check_text(const struct talk *talk, const struct generate_args *args, const struct tr_origin *origin,
                                 struct tr_err *err)
{
    static const char right[] = "this model reads text in UTF-8";
    if (!talk->token && (!origin->is_checkpoint || origin->encoding == TR_ENCODING_BYTES))
        return TR_OK;
    enum tr_status status = tr_text_check(args->prompt_file ? args->prompt_file : "--prompt", talk->prompt.at, talk->prompt.bytes,
                                          right, err);
    if (status == TR_OK && args->system)
        status = tr_text_check("--system", args->system, (int64_t)strlen(args->system), right, err);
    return status;
}

/* With --chat, where it ends besides what the files say: at the end of a turn. */
static enum tr_status set_stops(struct talk *talk, struct tr_err *err)
{
    int64_t end;
    talk->generator.stops = talk->manner.stops;
    enum tr_status status = talk->chat ? tr_chat_end_id(talk->chat, talk->token, &end, err) : TR_OK;
    if (status == TR_OK && talk->chat)
        talk->generator.stops.id[talk->generator.stops.count++] = (int32_t)end;
    return status;
}

static enum tr_status encode_prompt(struct talk *talk, const struct generate_args *args, struct tr_err *err)
{
    struct tr_message messages[2] = {0};
    int64_t count = 0;
    if (!talk->chat)
        return tr_prompt_text(talk->token, talk->prompt.at, talk->prompt.bytes, &talk->ids, err);
    if (args->system)
        messages[count++] = (struct tr_message){TR_ROLE_SYSTEM, {args->system, (int64_t)strlen(args->system)}};
    messages[count++] = (struct tr_message){TR_ROLE_USER, talk->prompt};
    return tr_prompt_chat(talk->token, talk->chat, messages, count, &talk->ids, err);
}

static enum tr_status open_model(struct talk *talk, const struct generate_args *args, struct tr_err *err)
{
    struct tr_origin origin;
    struct tr_machine machine = {.threads = args->threads > 0 ? (int)args->threads : tr_cores_usable()};
    enum tr_isa isa;
    enum tr_status status = tr_isa_choose(&isa, err);
    if (status == TR_OK)
        status = tr_origin_find(&origin, args->path, err);
    if (status == TR_OK && args->adapter)
        status = tr_origin_adapt(&origin, args->adapter, err);
    if (status == TR_OK)
        status = tr_origin_token(&origin, args->tokenizer, &talk->token, err);
    if (status == TR_OK)
        status = find_manner(talk, args, &origin, err);
    if (status == TR_OK)
        status = check_text(talk, args, &origin, err);
    if (status == TR_OK)
        status = encode_prompt(talk, args, err);
    if (status != TR_OK)
        return status;
    machine.kernels = tr_kernel_set(isa);
    enum tr_weight_form form;
    status = tr_app_choose_weights(args->dtype, args->weights, &origin.dtype, &form, err);
    if (status != TR_OK)
        return status;
    if (form == TR_FORM_ROWS)
        form = TR_FORM_PANELS;
    int64_t capacity = tr_min_i64(origin.model.positions, talk->ids.count + args->tokens);
    status = tr_generator_open(&talk->generator, &origin.model, origin.dtype, form, &origin.widths, capacity,
                               machine, NULL, err);
    if (status != TR_OK)
        return status;
    talk->generator.token = talk->token;
    talk->generator.prompt_cache = args->prompt_cache;
    status = set_stops(talk, err);
    if (status == TR_OK)
        status = tr_origin_load(&origin, &talk->generator.exec, err);
    if (status == TR_OK && !args->quiet && form != TR_FORM_PANELS)
        fprintf(stderr, "weights in %s: rounding changes them by %.3f %% (root mean square)\n", tr_form_name(form),
                100 * tr_exec_form_error(&talk->generator.exec));
    return status;
}

static void close_model(struct talk *talk)
{
    tr_generator_close(&talk->generator);
    tr_token_free(talk->token);
    tr_manner_free(&talk->manner);
    tr_ids_free(&talk->ids);
    tr_text_free(&talk->text);
}

/* ---- the text ---------------------------------------------------------------------------------------------------- */

static enum tr_status put(struct talk *talk, const char *bytes, size_t count, struct tr_err *err)
{
    if (talk->args->json) {
        tr_text_append_bytes(&talk->text, bytes, count);
        return TR_OK;
    }
    if (fwrite(bytes, 1, count, stdout) != count || fflush(stdout) != 0)
        return tr_fail(err, TR_FAILED, "standard output cannot be written");
    return TR_OK;
}

static enum tr_status print_piece(void *context, const char *piece, size_t bytes, struct tr_err *err)
{
    return put(context, piece, bytes, err);
}

/* Of a prompt that is longer than the context the model reads the end alone, and what it computes depends on all of that. */
static void say_cache_unused(const struct talk *talk)
{
    const struct tr_generator *g = &talk->generator;
    if (g->prompt_cache && g->prompt_tokens > g->capacity && !talk->args->quiet)
        fprintf(stderr, "%s: neither read nor written, as the prompt is %lld tokens and the context %lld\n", g->prompt_cache,
                (long long)g->prompt_tokens, (long long)g->capacity);
}

static enum tr_status read_prompt(struct talk *talk, struct tr_err *err)
{
    const double begin_s = tr_clock_s();
    enum tr_status status = tr_generator_read_prompt(&talk->generator, talk->ids.at, talk->ids.count, err);
    talk->read_s = tr_clock_s() - begin_s;
    talk->prompt_kept = talk->generator.length;
    return status == TR_OK && !talk->chat ? put(talk, talk->prompt.at, (size_t)talk->prompt.bytes, err) : status;
}

/* What memory would allow: the rate at which the same threads read the weights, over what a token reads. */
static double allowed_tok_s(const struct talk *talk, double *read_rate)
{
    const struct tr_generator *g = &talk->generator;
    const struct tr_slab *weights = &g->exec.slab[TR_REGION_COPIES];
    *read_rate = tr_chip_measure_read_byte_s(g->machine.kernels->isa, weights->at, weights->bytes, g->machine.threads);
    return *read_rate / (double)tr_generator_token_bytes(g, talk->prompt_kept + talk->tokens / 2);
}

/* Of the tokens after the first, which is drawn from what the prompt has computed. */
static void put_rate(const struct talk *talk, struct tr_json *json)
{
    double read_rate, allowed = allowed_tok_s(talk, &read_rate), rate = (double)(talk->tokens - 1) / talk->write_s;
    tr_json_double(json, "tok_s", rate);
    tr_json_double(json, "memory_read_byte_s", read_rate);
    /* Where the oldest tokens were given up on the way, some were read again, many at a time. */
    if (talk->prompt_kept + talk->tokens <= talk->generator.capacity)
        tr_json_double(json, "memory_share", rate / allowed);
}

static enum tr_status print_json(struct talk *talk, struct tr_err *err)
{
    const struct tr_generator *g = &talk->generator;
    char arithmetic[TR_ARITHMETIC_BYTES];
    struct tr_text out = {0};
    if (tr_text_failed(&talk->text, err))
        return TR_FAILED;
    struct tr_json json = tr_json_start(&out, TR_JSON_LINE);
    tr_json_object(&json, NULL);
    tr_json_string(&json, "model", talk->args->path);
    tr_json_string(&json, "arithmetic", tr_arithmetic_id(arithmetic, g->dtype, &g->program.step.widths));
    tr_json_string(&json, "weights", tr_app_weights_name(g->dtype, g->form));
    tr_json_double(&json, "weights_error", tr_exec_form_error(&g->exec));
    tr_json_string(&json, "isa", tr_isa_name(g->machine.kernels->isa));
    tr_json_int(&json, "threads", g->machine.threads);
    tr_json_bytes(&json, "text", tr_text_str(&talk->text), talk->text.len);
    tr_json_int(&json, "prompt_tokens", g->prompt_tokens);
    tr_json_int(&json, "prompt_tokens_kept", talk->prompt_kept);
    tr_json_int(&json, "prompt_tokens_reused", g->reused);
    if (!g->prompt_cache) /* else the time is that of a file too */
        tr_json_double(&json, "prompt_tok_s", (double)talk->prompt_kept / talk->read_s);
    tr_json_int(&json, "tokens", talk->tokens);
    if (talk->tokens > 1)
        put_rate(talk, &json);
    tr_json_end(&json);
    tr_text_char(&out, '\n');
    return tr_app_print(&out, err);
}

static enum tr_status write_text(struct talk *talk, struct tr_err *err)
{
    const uint64_t before = talk->generator.drawn;
    double begin_s = tr_clock_s();
    enum tr_status status =
        tr_generator_write_text(&talk->generator, &talk->args->sampling, talk->args->tokens, print_piece, talk, err);
    talk->write_s = tr_clock_s() - begin_s;
    talk->tokens = (int64_t)(talk->generator.drawn - before);
    return status;
}

static enum tr_status generate(const struct generate_args *args, const char *prompt, int64_t bytes, struct tr_err *err)
{
    struct talk talk = {.args = args, .prompt = {prompt, bytes}};
    enum tr_status status = open_model(&talk, args, err);
    if (status == TR_OK)
        status = read_prompt(&talk, err);
    if (status == TR_OK)
        say_cache_unused(&talk);
    if (status == TR_OK)
        status = write_text(&talk, err);
    if (status == TR_OK)
        status = args->json ? print_json(&talk, err) : put(&talk, "\n", 1, err);
    close_model(&talk);
    return status;
}

static enum tr_status run_with(const struct generate_args *args, struct tr_err *err)
{
    if (args->prompt != NULL && args->prompt_file != NULL)
        return tr_fail(err, TR_BAD_INPUT, "the prompt is given twice: as --prompt and as --prompt-file");
    if (!args->chat && (args->system || args->chat_template))
        return tr_fail(err, TR_BAD_INPUT, "--%s is for conversations: give --chat too",
                       args->system ? "system" : "chat-template");
    if (args->prompt_file == NULL) {
        const char *prompt = args->prompt != NULL ? args->prompt : "";
        return generate(args, prompt, (int64_t)strlen(prompt), err);
    }
    struct tr_bytes bytes;
    enum tr_status status = tr_file_read(args->prompt_file, PROMPT_MAX, &bytes, err);
    if (status != TR_OK)
        return status;
    status = generate(args, bytes.at, (int64_t)bytes.len, err);
    tr_bytes_free(&bytes);
    return status;
}

static enum tr_status run(void *parsed, const struct tr_given *given, struct tr_err *err)
{
    struct generate_args *args = parsed;
    (void)given;
    args->sampling.seed = (uint64_t)args->seed;
    enum tr_status status = tr_sampling_check(&args->sampling, err);
    return status == TR_OK ? run_with(args, err) : status;
}

const struct tr_app_command tr_cmd_generate = {&command, sizeof(struct generate_args), run};
