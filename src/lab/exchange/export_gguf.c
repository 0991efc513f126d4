/* Writing a GGUF file. */
#include "base/num.h"
#include "lab/exchange/exchange.h"
#include "lab/exchange/gguf_model.h"
#include "lab/exchange/tensor_file.h"

#include <stdlib.h>
#include <string.h>

#define ARENA_MAX_BYTES ((int64_t)1 << 30)

/* llama.cpp's numbers of what most tensors are (general.file_type). */
enum { FILE_F32 = 0, FILE_Q8_0 = 7, FILE_BF16 = 32 };

struct job {
    const struct tr_model_config *model;
    const struct tr_weights *weights;
    float *const *w;
    const struct tr_export_options *options;
    struct tr_outer_list list;
    struct tr_gguf_tensor *tensor; /* one of the list each, and the factors of RoPE behind them */
    int64_t count;
    struct tr_arena arena;
};

static bool has_factors(const struct job *job) { return job->model->rope_scaling.factor > 0; }

static enum tr_element type_of(const struct job *job, const struct tr_outer *o)
{
    enum tr_element type = job->options->type;
    bool positions = job->weights->weight[o->weight[0]].role == TR_W_WPE;
    bool whole_blocks = tr_outer_columns(o) % tr_element_block(type) == 0;
    return o->rank == 2 && !positions && whole_blocks ? type : TR_ELEMENT_F32;
}

static enum tr_status describe(struct job *job, struct tr_err *err)
{
    enum tr_status status = tr_outer_list_make(&job->list, TR_OUTER_GGUF, job->model, job->weights, &job->arena, err);
    if (status != TR_OK)
        return status;
    job->count = job->list.count + has_factors(job);
    job->tensor = tr_arena_array(&job->arena, job->count, sizeof *job->tensor, err);
    if (!job->tensor)
        return TR_FAILED;
    for (int32_t i = 0; i < job->list.count; i++) {
        const struct tr_outer *o = &job->list.outer[i];
        enum tr_element type = type_of(job, o);
        job->tensor[i] = (struct tr_gguf_tensor){
            .name = o->name, .type = type, .rank = o->rank, .dim = {o->dim[0], o->rank > 1 ? o->dim[1] : 1, 1, 1},
            .bytes = tr_outer_rows(o) * tr_element_row_bytes(type, tr_outer_columns(o))};
    }
    if (has_factors(job)) {
        int64_t half = job->model->head_dim / 2;
        job->tensor[job->list.count] = (struct tr_gguf_tensor){
            .name = "rope_freqs.weight", .type = TR_ELEMENT_F32, .rank = 1, .dim = {half, 1, 1, 1},
            .bytes = tr_element_row_bytes(TR_ELEMENT_F32, half)};
    }
    return TR_OK;
}

static enum tr_status put_header(struct job *job, struct tr_text *out, struct tr_err *err)
{
    enum tr_element type = job->options->type;
    tr_gguf_put_start(out, job->count);
    tr_gguf_put_model(job->model, out);
    tr_gguf_put_u32(out, "general.file_type", type == TR_ELEMENT_F32    ? FILE_F32
                                              : type == TR_ELEMENT_BF16 ? FILE_BF16
                                                                        : FILE_Q8_0);
    tr_gguf_put_u32(out, "general.quantization_version", 2);
    enum tr_status status = tr_gguf_put_token(job->options->token, job->options->stops, job->model->vocab, out, err);
    if (job->options->chat && job->options->chat[0])
        tr_gguf_put_string(out, "tokenizer.chat_template", job->options->chat, strlen(job->options->chat));
    tr_gguf_put_tensors(out, job->tensor, job->count);
    return status == TR_OK && tr_text_failed(out, err) ? TR_FAILED : status;
}

static enum tr_status write_padding(struct tr_file_out *out, struct tr_err *err)
{
    static const char zeros[TR_GGUF_ALIGN];
    return tr_file_out_write(out, zeros, (size_t)(tr_round_up(out->bytes, TR_GGUF_ALIGN) - out->bytes), err);
}

static enum tr_status write_factors(const struct job *job, struct tr_file_out *out, struct tr_err *err)
{
    float factors[TR_HEAD_DIM_MAX / 2];
    char encoded[sizeof factors];
    const struct tr_gguf_tensor *tensor = &job->tensor[job->list.count];
    tr_gguf_rope_factors(job->model, factors);
    tr_element_encode(TR_ELEMENT_F32, factors, tensor->dim[0], encoded);
    return tr_file_out_write(out, encoded, (size_t)tensor->bytes, err);
}

static enum tr_status write_all(const struct job *job, const struct tr_text *header, struct tr_file_out *out,
                                struct tr_err *err)
{
    enum tr_status status = tr_file_out_write(out, header->at, header->len, err);
    for (int64_t i = 0; i < job->count && status == TR_OK; i++) {
        const struct tr_gguf_tensor *tensor = &job->tensor[i];
        TR_ASSERT(out->bytes == tensor->begin);
        status = i < job->list.count
                     ? tr_outer_write(&job->list.outer[i], job->weights, job->w, tensor->type, out, err)
                     : write_factors(job, out, err);
        if (status == TR_OK)
            status = write_padding(out, err);
    }
    return status;
}

static enum tr_status write_file(const struct job *job, const struct tr_text *header, const char *path,
                                 struct tr_err *err)
{
    struct tr_file_out out;
    enum tr_status status = tr_file_out_open(&out, path, err);
    if (status != TR_OK)
        return status;
    status = write_all(job, header, &out, err);
    if (status == TR_OK)
        return tr_file_out_commit(&out, err);
    tr_file_out_abort(&out);
    return status;
}

enum tr_status tr_export_gguf(const struct tr_model_config *model, const struct tr_weights *weights, float *const *w,
                              const char *path, const struct tr_export_options *options, struct tr_err *err)
{
    struct job job = {.model = model, .weights = weights, .w = w, .options = options};
    struct tr_text header = {0};
    TR_ASSERT(model->lora.rank == 0);
    TR_ASSERT(options->type == TR_ELEMENT_F32 || options->type == TR_ELEMENT_BF16 || options->type == TR_ELEMENT_Q8_0);
    if (!tr_gguf_architecture(model))
        return tr_fail(err, TR_BAD_INPUT, "llama.cpp has no architecture for this model (biases with query and key norms, or "
                       "either with a scaled RoPE): write a folder instead");
    tr_arena_init(&job.arena, "export of a model", ARENA_MAX_BYTES);
    enum tr_status status = describe(&job, err);
    if (status == TR_OK)
        status = put_header(&job, &header, err);
    if (status == TR_OK)
        status = write_file(&job, &header, path, err);
    tr_text_free(&header);
    tr_arena_free(&job.arena);
    return status;
}
