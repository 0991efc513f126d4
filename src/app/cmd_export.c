/* trine export: a model into the files of other programs. */
#include "app/app.h"

#include "base/arena.h"
#include "base/num.h"
#include "base/quantity.h"
#include "lab/exchange/exchange.h"
#include "lab/model/merge.h"
#include "lab/train/origin.h"

#include <stdlib.h>
#include <string.h>

enum format { FORMAT_AUTO, FORMAT_HF, FORMAT_GGUF, FORMAT_PEFT };

static const char *const format_names[] = {"auto", "hf", "gguf", "peft", NULL};
static const char *const type_names[] = {"f32", "bf16", "q8_0", NULL};
static const enum tr_element types[] = {TR_ELEMENT_F32, TR_ELEMENT_BF16, TR_ELEMENT_Q8_0};

struct export_args {
    const char *path, *out, *tokenizer, *adapter, *chat_template;
    int format, type; /* indices into the names above */
    int64_t shard_bytes;
    bool merge;
};

#define AT(field) .offset = offsetof(struct export_args, field)

static const struct tr_option options[] = {
    {.name = "format", .letter = 'f', .kind = TR_OPTION_ENUM, AT(format), .fallback = "auto", .choices = format_names,
     .value = "NAME", .help = "hf: a folder as transformers reads it; gguf: a file as llama.cpp reads it; peft: a "
                              "folder of the adapters alone; auto: gguf when OUT ends in .gguf, else hf"},
    {.name = "type", .letter = 't', .kind = TR_OPTION_ENUM, AT(type), .fallback = "f32", .choices = type_names,
     .value = "NAME", .help = "numbers of matrices: f32 keeps every bit; q8_0 (gguf only) takes a quarter of the room"},
    {.name = "shard-size", .kind = TR_OPTION_BYTES, AT(shard_bytes), .fallback = "0", .min = 0, .max = 1e15,
     .value = "SIZE", .help = "hf: no safetensors file larger than this, with an index beside them; 0: one file"},
    {.name = "merge", .kind = TR_OPTION_FLAG, AT(merge),
     .help = "add adapters (LoRA) to the matrices that they belong to"},
    {.name = "adapter", .kind = TR_OPTION_PATH, AT(adapter), .value = "DIR",
     .help = "adapters in PEFT's format on top of the model"},
    {.name = "tokenizer", .kind = TR_OPTION_PATH, AT(tokenizer), .value = "FILE",
     .help = "tokenizer.json or .gguf file; without it, that of the model"},
    {.name = "chat-template", .kind = TR_OPTION_STRING, AT(chat_template), .value = "NAME",
     .help = "write this chat template (trine generate --help lists them); without it, that of the model, if it has one"},
};

static const struct tr_positional positionals[] = {
    {.name = "PATH", .help = "a checkpoint, a run folder (its newest one), a Hugging Face folder or a .gguf file",
     AT(path)},
    {.name = "OUT", .help = "the folder or file to write: whole or not at all", AT(out)},
};

static const struct tr_command command = {
    .name = "export",
    .summary = "write a model for transformers (a Hugging Face folder) or llama.cpp (GGUF)",
    .description =
        "A Hugging Face folder has config.json, generation_config.json, model.safetensors, the tokenizer and the chat template; it must not "
        "exist yet, or be empty. A .gguf file has everything inside, and replaces one that is there. Tied weights are "
        "written once. --format peft writes adapter_config.json and adapter_model.safetensors. A model that reads bytes "
        "gets a tokenizer of the 256 bytes, so that other programs can feed it.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .positionals = positionals,
    .positional_count = 2,
    .examples = "trine export runs/depth-4 my-model\n"
                "trine export runs/depth-4 my-model.gguf --type q8_0\n"
                "trine export runs/tuned my-adapter --format peft\n"
                "trine export SmolLM2-135M.gguf smollm2 --type bf16      # from one format to the other\n",
};

/* ---- the model --------------------------------------------------------------------------------------------------- */

/* A model's tensors in memory of their own. */
struct held {
    struct tr_weights weights;
    struct tr_slab slab;
    float **w;
};

static enum tr_status hold(struct held *held, const struct tr_origin *origin, struct tr_err *err)
{
    enum tr_status status = tr_weights_make(&held->weights, &origin->model, err);
    if (status != TR_OK)
        return status;
    held->w = calloc((size_t)held->weights.count, sizeof *held->w);
    if (!held->w)
        return tr_fail(err, TR_FAILED, "out of memory for %d tensors", held->weights.count);
    status = tr_slab_map(held->weights.element_count * (int64_t)sizeof(float), &held->slab, err);
    if (status != TR_OK)
        return status;
    float *at = held->slab.at;
    for (int32_t i = 0; i < held->weights.count; at += held->weights.weight[i++].count)
        held->w[i] = at;
    return tr_origin_weights(origin, &held->weights, held->w, err);
}

static void let_go(struct held *held)
{
    tr_slab_unmap(&held->slab);
    free(held->w);
    tr_weights_free(&held->weights);
}

/* ---- the files --------------------------------------------------------------------------------------------------- */

static bool ends_in_gguf(const char *path)
{
    size_t length = strlen(path);
    return length > 5 && strcmp(path + length - 5, ".gguf") == 0;
}

static enum format format_of(const struct export_args *args)
{
    if (args->format != FORMAT_AUTO)
        return (enum format)args->format;
    return ends_in_gguf(args->out) ? FORMAT_GGUF : FORMAT_HF;
}

static enum tr_status check(const struct export_args *args, const struct tr_model_config *model, struct tr_err *err)
{
    bool gguf = format_of(args) == FORMAT_GGUF, peft = format_of(args) == FORMAT_PEFT;
    if (peft && (args->merge || args->shard_bytes > 0 || args->tokenizer || args->chat_template))
        return tr_fail(err, TR_BAD_INPUT, "--format peft writes the adapters alone: without --merge, --shard-size, "
                       "--tokenizer and --chat-template");
    if (!gguf && types[args->type] == TR_ELEMENT_Q8_0)
        return tr_fail(err, TR_BAD_INPUT, "--type q8_0 is for GGUF files: a folder has f32 or bf16");
    if (gguf && args->shard_bytes > 0)
        return tr_fail(err, TR_BAD_INPUT, "--shard-size is for folders: a GGUF file is one file");
    if (model->lora.rank > 0 && !args->merge && !peft)
        return tr_fail(err, TR_BAD_INPUT, "%s: has adapters (LoRA), which this format does not hold: --merge adds them to "
                       "their matrices, --format peft writes them alone", args->path);
    if (model->lora.rank == 0 && args->merge)
        return tr_fail(err, TR_BAD_INPUT, "%s: has no adapters to merge", args->path);
    return TR_OK;
}

/* All but the adapters, which stand behind all others. */
static enum tr_status write_merged(const struct export_args *args, const struct tr_origin *origin, float *const *w,
                                   const struct tr_token *token, struct tr_err *err)
{
    struct tr_weights weights;
    struct tr_model_config model = origin->model;
    model.lora = (struct tr_lora){0};
    const char *file = args->tokenizer ? args->tokenizer : origin->tokenizer;
    struct tr_export_options how = {.type = types[args->type], .shard_bytes = args->shard_bytes, .token = token};
    struct tr_manner manner;
    if (file[0] && !tr_import_is_gguf(file))
        how.tokenizer = file;
    enum tr_status status = tr_manner_find(&manner, file, token, args->chat_template ? args->chat_template : "", err);
    if (status == TR_OK)
        status = tr_weights_make(&weights, &model, err);
    if (status == TR_OK) {
        how.chat = tr_text_str(&manner.text);
        how.stops = &manner.stops;
        status = format_of(args) == FORMAT_GGUF ? tr_export_gguf(&model, &weights, w, args->out, &how, err)
                                                : tr_export_hf(&model, &weights, w, args->out, &how, err);
        tr_weights_free(&weights);
    }
    tr_manner_free(&manner);
    return status;
}

static enum tr_status write(const struct export_args *args, const struct tr_origin *origin, const struct held *held,
                            struct tr_err *err)
{
    struct tr_token *token = NULL;
    if (format_of(args) == FORMAT_PEFT) {
        struct tr_export_options how = {.type = types[args->type]};
        return tr_export_peft(&origin->model, &held->weights, held->w, args->out, &how, err);
    }
    enum tr_status status = tr_origin_token(origin, args->tokenizer, &token, err);
    if (status == TR_OK && !token)
        status = tr_token_make_bytes(&token, err);
    if (status == TR_OK)
        status = write_merged(args, origin, held->w, token, err);
    tr_token_free(token);
    return status;
}

static enum tr_status say(const struct export_args *args, const struct tr_model_config *model, const struct held *held,
                          struct tr_err *err)
{
    static const char *const what[] = {[FORMAT_HF] = "a Hugging Face folder", [FORMAT_GGUF] = "a GGUF file",
                                       [FORMAT_PEFT] = "adapters in PEFT's format"};
    struct tr_text text = {0};
    char parameters[TR_QUANTITY_BYTES];
    int64_t adapters = tr_model_lora_params(model);
    int64_t count = format_of(args) == FORMAT_PEFT ? adapters : held->weights.element_count - adapters;
    tr_text_printf(&text, "%s: %s, %s parameters, %s\n", args->out, what[format_of(args)],
                   tr_print_count(parameters, count), type_names[args->type]);
    return tr_app_print(&text, err);
}

static enum tr_status export(const struct export_args *args, const struct tr_origin *origin, struct tr_err *err)
{
    struct held held = {0};
    enum tr_status status = check(args, &origin->model, err);
    if (status == TR_OK)
        status = hold(&held, origin, err);
    if (status == TR_OK && args->merge)
        tr_lora_merge(&origin->model, &held.weights, held.w);
    if (status == TR_OK)
        status = write(args, origin, &held, err);
    if (status == TR_OK)
        status = say(args, &origin->model, &held, err);
    let_go(&held);
    return status;
}

static enum tr_status run(void *parsed, const struct tr_given *given, struct tr_err *err)
{
    struct export_args *args = parsed;
    struct tr_origin origin;
    (void)given;
    enum tr_status status = tr_origin_find(&origin, args->path, err);
    if (status == TR_OK && args->adapter)
        status = tr_origin_adapt(&origin, args->adapter, err);
    return status == TR_OK ? export(args, &origin, err) : status;
}

const struct tr_app_command tr_cmd_export = {&command, sizeof(struct export_args), run};
