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

enum format { FORMAT_AUTO, FORMAT_HF, FORMAT_GGUF };

static const char *const format_names[] = {"auto", "hf", "gguf", NULL};
static const char *const type_names[] = {"f32", "bf16", "q8_0", NULL};
static const enum tr_element types[] = {TR_ELEMENT_F32, TR_ELEMENT_BF16, TR_ELEMENT_Q8_0};

struct export_args {
    const char *path, *out, *tokenizer;
    int format, type; /* indices into the names above */
    int64_t shard_bytes;
    bool merge;
};

#define AT(field) .offset = offsetof(struct export_args, field)

static const struct tr_option options[] = {
    {.name = "format", .letter = 'f', .kind = TR_OPTION_ENUM, AT(format), .fallback = "auto", .choices = format_names,
     .value = "NAME", .help = "hf: a folder as transformers reads it; gguf: a file as llama.cpp reads it; auto: gguf when "
                              "OUT ends in .gguf"},
    {.name = "type", .letter = 't', .kind = TR_OPTION_ENUM, AT(type), .fallback = "f32", .choices = type_names,
     .value = "NAME", .help = "numbers of matrices: f32 keeps every bit; q8_0 (gguf only) takes a quarter of the room"},
    {.name = "shard-size", .kind = TR_OPTION_BYTES, AT(shard_bytes), .fallback = "0", .min = 0, .max = 1e15,
     .value = "SIZE", .help = "hf: no safetensors file larger than this, with an index beside them; 0: one file"},
    {.name = "merge", .kind = TR_OPTION_FLAG, AT(merge),
     .help = "add adapters (LoRA) to the matrices that they belong to"},
    {.name = "tokenizer", .kind = TR_OPTION_PATH, AT(tokenizer), .value = "FILE",
     .help = "tokenizer.json or .gguf file; without it, that of the model"},
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
        "A Hugging Face folder has config.json, generation_config.json, model.safetensors and the tokenizer; it must not "
        "exist yet, or be empty. A .gguf file has everything inside, and replaces one that is there. Tied weights are "
        "written once. A model that reads bytes gets a tokenizer of the 256 bytes, so that other programs can feed it.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .positionals = positionals,
    .positional_count = 2,
    .examples = "trine export runs/depth-4 my-model\n"
                "trine export runs/depth-4 my-model.gguf --type q8_0\n"
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

static enum tr_status check(const struct export_args *args, bool gguf, const struct tr_model_config *model,
                            struct tr_err *err)
{
    if (!gguf && types[args->type] == TR_ELEMENT_Q8_0)
        return tr_fail(err, TR_BAD_INPUT, "--type q8_0 is for GGUF files: a folder has f32 or bf16");
    if (gguf && args->shard_bytes > 0)
        return tr_fail(err, TR_BAD_INPUT, "--shard-size is for folders: a GGUF file is one file");
    if (model->lora.rank > 0 && !args->merge)
        return tr_fail(err, TR_BAD_INPUT, "%s: has adapters (LoRA), which these formats do not hold: --merge adds them to "
                       "their matrices", args->path);
    if (model->lora.rank == 0 && args->merge)
        return tr_fail(err, TR_BAD_INPUT, "%s: has no adapters to merge", args->path);
    return TR_OK;
}

/* `weights` and `w` without adapters, which stand behind all others. */
static enum tr_status write(const struct export_args *args, bool gguf, const struct tr_origin *origin,
                            const struct tr_model_config *model, float *const *w, const struct tr_token *token,
                            struct tr_err *err)
{
    struct tr_weights weights;
    const char *file = args->tokenizer ? args->tokenizer : origin->tokenizer;
    struct tr_export_options how = {.type = types[args->type], .shard_bytes = args->shard_bytes, .token = token};
    if (file[0] && !tr_import_is_gguf(file))
        how.tokenizer = file;
    enum tr_status status = tr_weights_make(&weights, model, err);
    if (status != TR_OK)
        return status;
    status = gguf ? tr_export_gguf(model, &weights, w, args->out, &how, err)
                  : tr_export_hf(model, &weights, w, args->out, &how, err);
    tr_weights_free(&weights);
    return status;
}

static enum tr_status say(const struct export_args *args, const struct held *held, bool gguf, struct tr_err *err)
{
    struct tr_text text = {0};
    char parameters[TR_QUANTITY_BYTES];
    tr_text_printf(&text, "%s: %s, %s parameters, %s\n", args->out, gguf ? "a GGUF file" : "a Hugging Face folder",
                   tr_print_count(parameters, held->weights.element_count), type_names[args->type]);
    return tr_app_print(&text, err);
}

static enum tr_status export(const struct export_args *args, const struct tr_origin *origin, struct tr_err *err)
{
    bool gguf = args->format == FORMAT_GGUF || (args->format == FORMAT_AUTO && strlen(args->out) > 5 &&
                                                strcmp(args->out + strlen(args->out) - 5, ".gguf") == 0);
    struct tr_token *token = NULL;
    struct held held = {0};
    struct tr_model_config merged = origin->model;
    merged.lora = (struct tr_lora){0};
    enum tr_status status = check(args, gguf, &origin->model, err);
    if (status == TR_OK)
        status = tr_origin_token(origin, args->tokenizer, &token, err);
    if (status == TR_OK && !token)
        status = tr_token_make_bytes(&token, err);
    if (status == TR_OK)
        status = hold(&held, origin, err);
    if (status == TR_OK && origin->model.lora.rank > 0)
        tr_lora_merge(&origin->model, &held.weights, held.w);
    if (status == TR_OK)
        status = write(args, gguf, origin, &merged, held.w, token, err);
    if (status == TR_OK)
        status = say(args, &held, gguf, err);
    let_go(&held);
    tr_token_free(token);
    return status;
}

static enum tr_status run(int argc, char **argv, struct tr_err *err)
{
    struct export_args args;
    struct tr_given given;
    struct tr_origin origin;
    bool done;
    enum tr_status status = tr_app_parse(&command, argc, argv, &args, sizeof args, &given, &done, err);
    if (status != TR_OK || done)
        return status;
    tr_given_free(&given);
    status = tr_origin_find(&origin, args.path, err);
    return status == TR_OK ? export(&args, &origin, err) : status;
}

const struct tr_app_command tr_cmd_export = {&command, run};
