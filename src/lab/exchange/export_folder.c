/* Writing a Hugging Face folder. */
#include "base/json.h"
#include "base/num.h"
#include "lab/exchange/exchange.h"
#include "lab/exchange/safetensors.h"
#include "lab/exchange/tensor_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_MAX_BYTES ((int64_t)1 << 30)
#define TOKENIZER_MAX_BYTES ((int64_t)256 << 20)

struct job {
    const struct tr_model_config *model;
    const struct tr_weights *weights;
    float *const *w;
    const struct tr_export_options *options;
    const char *folder; /* the one that is written aside */
    struct tr_outer_list list;
    struct tr_arena arena;
};

static int64_t outer_bytes(const struct job *job, const struct tr_outer *outer)
{
    return tr_outer_rows(outer) * tr_element_row_bytes(job->options->type, tr_outer_columns(outer));
}

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

/* The tensors [first, last) of the list into one file. */
static enum tr_status write_tensors(struct job *job, int32_t first, int32_t last, struct tr_file_out *out,
                                    struct tr_err *err)
{
    struct tr_safetensor *tensor = tr_arena_array(&job->arena, last - first, sizeof *tensor, err);
    struct tr_text header = {0};
    if (!tensor)
        return TR_FAILED;
    for (int32_t i = first; i < last; i++) {
        const struct tr_outer *o = &job->list.outer[i];
        tensor[i - first] = (struct tr_safetensor){.name = o->name, .dtype = tr_element_name(job->options->type),
                                                   .rank = o->rank, .dim = {o->dim[0], o->rank > 1 ? o->dim[1] : 0},
                                                   .bytes = outer_bytes(job, o)};
    }
    enum tr_status status = tr_safetensors_header(tensor, last - first, &header, err);
    if (status == TR_OK)
        status = tr_file_out_write(out, tr_text_str(&header), header.len, err);
    tr_text_free(&header);
    for (int32_t i = first; i < last && status == TR_OK; i++)
        status = tr_outer_write(&job->list.outer[i], job->weights, job->w, job->options->type, out, err);
    return status;
}

static enum tr_status write_shard(struct job *job, const char *name, int32_t first, int32_t last, struct tr_err *err)
{
    char path[TR_PATH_BYTES];
    struct tr_file_out out;
    enum tr_status status = tr_path_join(path, job->folder, name, err);
    if (status == TR_OK)
        status = tr_file_out_open(&out, path, err);
    if (status != TR_OK)
        return status;
    status = write_tensors(job, first, last, &out, err);
    if (status == TR_OK)
        return tr_file_out_commit(&out, err);
    tr_file_out_abort(&out);
    return status;
}

/* The end of the shard that begins with tensor `first`. */
static int32_t shard_end(const struct job *job, int32_t first)
{
    int64_t bytes = 0;
    int32_t last = first;
    do
        bytes += outer_bytes(job, &job->list.outer[last++]);
    while (last < job->list.count &&
           (job->options->shard_bytes == 0 ||
            bytes + outer_bytes(job, &job->list.outer[last]) <= job->options->shard_bytes));
    return last;
}

static enum tr_status put_text(const struct job *job, const char *name, struct tr_text *text, struct tr_err *err)
{
    char path[TR_PATH_BYTES];
    enum tr_status status = tr_text_failed(text, err) ? TR_FAILED : tr_path_join(path, job->folder, name, err);
    if (status == TR_OK)
        status = tr_file_write(path, tr_text_str(text), text->len, err);
    tr_text_free(text);
    return status;
}

static enum tr_status write_shards(struct job *job, int32_t shards, struct tr_err *err)
{
    struct tr_text text = {0};
    struct tr_json json = tr_json_start(&text, TR_JSON_PRETTY);
    int64_t total = 0;
    for (int32_t i = 0; i < job->list.count; i++)
        total += outer_bytes(job, &job->list.outer[i]);
    tr_json_object(&json, NULL);
    tr_json_object(&json, "metadata");
    tr_json_int(&json, "total_size", total);
    tr_json_end(&json);
    tr_json_object(&json, "weight_map");
    enum tr_status status = TR_OK;
    for (int32_t first = 0, shard = 1; first < job->list.count && status == TR_OK; shard++) {
        char name[64];
        int32_t last = shard_end(job, first);
        snprintf(name, sizeof name, "model-%05d-of-%05d.safetensors", shard, shards);
        status = write_shard(job, name, first, last, err);
        for (; first < last; first++)
            tr_json_string(&json, job->list.outer[first].name, name);
    }
    tr_json_end(&json);
    tr_json_end(&json);
    tr_text_char(&text, '\n');
    if (status == TR_OK)
        return put_text(job, "model.safetensors.index.json", &text, err);
    tr_text_free(&text);
    return status;
}

static enum tr_status write_weights(struct job *job, struct tr_err *err)
{
    int32_t shards = 0;
    for (int32_t first = 0; first < job->list.count; first = shard_end(job, first))
        shards++;
    return shards == 1 ? write_shard(job, "model.safetensors", 0, job->list.count, err)
                       : write_shards(job, shards, err);
}

/* ---- the other files --------------------------------------------------------------------------------------------- */

static enum tr_status write_config(const struct job *job, struct tr_err *err)
{
    struct tr_text text = {0};
    struct tr_json json = tr_json_start(&text, TR_JSON_PRETTY);
    tr_model_config_write(job->model, &json);
    tr_text_char(&text, '\n');
    return put_text(job, "config.json", &text, err);
}

/* The usual one first; none: the tokenizer's. */
static struct tr_stops stops_of(const struct job *job)
{
    struct tr_stops stops = {0};
    const struct tr_token *token = job->options->token;
    if (job->options->stops && job->options->stops->count > 0)
        return *job->options->stops;
    if (token && tr_token_end_id(token) >= 0)
        stops.id[stops.count++] = (int32_t)tr_token_end_id(token);
    return stops;
}

static enum tr_status write_generation_config(const struct job *job, struct tr_err *err)
{
    struct tr_text text = {0};
    struct tr_json json = tr_json_start(&text, TR_JSON_PRETTY);
    struct tr_stops stops = stops_of(job);
    tr_json_object(&json, NULL);
    tr_json_bool(&json, "do_sample", true);
    tr_json_double(&json, "temperature", 0.8);
    tr_json_double(&json, "top_p", 0.95);
    if (stops.count == 1)
        tr_json_int(&json, "eos_token_id", stops.id[0]);
    if (stops.count > 1) {
        tr_json_array(&json, "eos_token_id");
        for (int i = 0; i < stops.count; i++)
            tr_json_int(&json, NULL, stops.id[i]);
        tr_json_end(&json);
    }
    tr_json_end(&json);
    tr_text_char(&text, '\n');
    return put_text(job, "generation_config.json", &text, err);
}

static enum tr_status copy_file(const char *from, const char *to, struct tr_err *err)
{
    struct tr_bytes bytes;
    enum tr_status status = tr_file_read(from, TOKENIZER_MAX_BYTES, &bytes, err);
    if (status != TR_OK)
        return status;
    status = tr_file_write(to, bytes.at, bytes.len, err);
    tr_bytes_free(&bytes);
    return status;
}

/* What transformers does not find in tokenizer.json: the class, and the role of the token that ends a text. */
static enum tr_status write_tokenizer_config(const struct job *job, struct tr_err *err)
{
    struct tr_text text = {0}, end = {0};
    struct tr_stops stops = stops_of(job);
    struct tr_json json = tr_json_start(&text, TR_JSON_PRETTY);
    tr_json_object(&json, NULL);
    tr_json_string(&json, "tokenizer_class", "PreTrainedTokenizerFast");
    tr_json_int(&json, "model_max_length", job->model->positions);
    tr_json_bool(&json, "clean_up_tokenization_spaces", false);
    if (stops.count > 0) {
        tr_token_spell(job->options->token, stops.id[0], &end);
        tr_json_string(&json, "eos_token", tr_text_str(&end));
    }
    tr_json_end(&json);
    tr_text_char(&text, '\n');
    tr_text_free(&end);
    return put_text(job, "tokenizer_config.json", &text, err);
}

static enum tr_status write_chat_template(const struct job *job, struct tr_err *err)
{
    struct tr_text text = {0};
    tr_text_append(&text, job->options->chat);
    return put_text(job, TR_CHAT_TEMPLATE_FILE, &text, err);
}

static enum tr_status write_tokenizer(const struct job *job, struct tr_err *err)
{
    char path[TR_PATH_BYTES];
    if (!job->options->token)
        return TR_OK;
    enum tr_status status = tr_path_join(path, job->folder, "tokenizer.json", err);
    if (status == TR_OK)
        status = job->options->tokenizer ? copy_file(job->options->tokenizer, path, err)
                                         : tr_token_write(job->options->token, path, err);
    if (status == TR_OK)
        status = write_tokenizer_config(job, err);
    if (status == TR_OK && job->options->chat && job->options->chat[0])
        status = write_chat_template(job, err);
    return status;
}

/* PEFT asks for the base model by name; who loads adapters says it (PeftModel.from_pretrained), or writes it in here. */
static enum tr_status write_adapter_config(const struct job *job, struct tr_err *err)
{
    struct tr_text text = {0};
    struct tr_json json = tr_json_start(&text, TR_JSON_PRETTY);
    tr_json_object(&json, NULL);
    tr_json_string(&json, "peft_type", "LORA");
    tr_json_string(&json, "task_type", "CAUSAL_LM");
    tr_json_string(&json, "bias", "none");
    tr_json_double(&json, "lora_dropout", 0);
    tr_json_bool(&json, "inference_mode", true);
    tr_model_lora_write(job->model, &json);
    tr_json_end(&json);
    tr_text_char(&text, '\n');
    return put_text(job, "adapter_config.json", &text, err);
}

static enum tr_status write_adapters(struct job *job, struct tr_err *err)
{
    enum tr_status status = tr_outer_list_make(&job->list, TR_OUTER_PEFT, job->model, job->weights, &job->arena, err);
    if (status == TR_OK)
        status = tr_folder_make(job->folder, err);
    if (status == TR_OK)
        status = write_adapter_config(job, err);
    if (status == TR_OK)
        status = write_shard(job, "adapter_model.safetensors", 0, job->list.count, err);
    return status == TR_OK ? tr_folder_sync(job->folder, err) : status;
}

static enum tr_status write_model(struct job *job, struct tr_err *err)
{
    enum tr_status status = tr_outer_list_make(&job->list, TR_OUTER_HF, job->model, job->weights, &job->arena, err);
    if (status == TR_OK)
        status = tr_folder_make(job->folder, err);
    if (status == TR_OK)
        status = write_config(job, err);
    if (status == TR_OK)
        status = write_generation_config(job, err);
    if (status == TR_OK)
        status = write_tokenizer(job, err);
    if (status == TR_OK)
        status = write_weights(job, err);
    return status == TR_OK ? tr_folder_sync(job->folder, err) : status;
}

/* Nothing may be overwritten: rename(2) replaces an empty folder, and nothing else. */
static enum tr_status check_target(const char *folder, struct tr_err *err)
{
    struct tr_arena arena;
    const char *const *names;
    int64_t count;
    if (!tr_file_exists(folder))
        return TR_OK;
    if (!tr_folder_exists(folder))
        return tr_fail(err, TR_BAD_INPUT, "%s: is in the way: a folder is to be written there", folder);
    tr_arena_init(&arena, "names in a folder", ARENA_MAX_BYTES);
    enum tr_status status = tr_folder_list(folder, &arena, &names, &count, err);
    tr_arena_free(&arena);
    if (status == TR_OK && count > 0)
        return tr_fail(err, TR_BAD_INPUT, "%s: is not empty; nothing there is overwritten: give another folder", folder);
    return status;
}

/* Writes aside, then renames. */
static enum tr_status export(struct job job, enum tr_status (*write_all)(struct job *, struct tr_err *),
                             const char *folder, struct tr_err *err)
{
    char aside[TR_PATH_BYTES];
    struct tr_err ignored;
    TR_ASSERT(job.options->type <= TR_ELEMENT_BF16);
    enum tr_status status = check_target(folder, err);
    if (status != TR_OK)
        return status;
    if (snprintf(aside, sizeof aside, "%s.tmp", folder) >= (int)sizeof aside)
        return tr_fail(err, TR_BAD_INPUT, "%.200s...: a path of more than %d bytes", folder, TR_PATH_BYTES - 5);
    job.folder = aside;
    tr_arena_init(&job.arena, "export of a model", ARENA_MAX_BYTES);
    status = tr_folder_remove(aside, err);
    if (status == TR_OK)
        status = write_all(&job, err);
    if (status == TR_OK)
        status = tr_rename(aside, folder, err);
    if (status != TR_OK && tr_folder_remove(aside, &ignored) != TR_OK)
        tr_err_prefix(err, "(and %.200s is left over)", aside);
    tr_arena_free(&job.arena);
    return status;
}

enum tr_status tr_export_hf(const struct tr_model_config *model, const struct tr_weights *weights, float *const *w,
                            const char *folder, const struct tr_export_options *options, struct tr_err *err)
{
    TR_ASSERT(model->lora.rank == 0);
    return export((struct job){.model = model, .weights = weights, .w = w, .options = options}, write_model, folder, err);
}

enum tr_status tr_export_peft(const struct tr_model_config *model, const struct tr_weights *weights, float *const *w,
                              const char *folder, const struct tr_export_options *options, struct tr_err *err)
{
    if (model->lora.rank == 0)
        return tr_fail(err, TR_BAD_INPUT, "the model has no adapters, which are all that PEFT's format holds");
    if (model->family == TR_GPT2)
        return tr_fail(err, TR_BAD_INPUT, "adapters of a GPT-2 have no form in PEFT, where q, k and v are one matrix: merge "
                       "them (--merge)");
    return export((struct job){.model = model, .weights = weights, .w = w, .options = options}, write_adapters, folder,
                  err);
}
