#include "lab/serve/prompt_cache.h"

#include "base/json.h"
#include "base/num.h"
#include "base/os.h"
#include "base/text.h"

#include <string.h>

static const char magic[8] = {'t', 'r', 'i', 'n', 'e', ' ', 'k', 'v'};

/* ---- the file ---------------------------------------------------------------------------------------------------- */

static uint32_t load_u32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static uint64_t load_u64(const uint8_t *at) { return load_u32(at) | (uint64_t)load_u32(at + 4) << 32; }

static void store_u32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

static void store_u64(uint8_t *at, uint64_t value)
{
    store_u32(at, (uint32_t)value);
    store_u32(at + 4, (uint32_t)(value >> 32));
}

/* Bytes of the whole file; false: no file is so large. */
static bool file_bytes(const struct tr_prompt_cache *c, int64_t *bytes)
{
    int64_t rows, ids;
    return tr_mul_i64(c->tokens, c->columns, &rows) && tr_mul_i64(rows, 2 * (int64_t)c->layers, &rows) &&
           tr_mul_i64(rows, tr_dtype_bytes(c->dtype), &rows) && tr_mul_i64(c->tokens, 4, &ids) &&
           tr_add_i64(rows, ids, bytes) && tr_add_i64(*bytes, TR_PROMPT_CACHE_HEADER_BYTES + TR_SHA256_BYTES, bytes) &&
           *bytes <= TR_PROMPT_CACHE_BYTES_MAX;
}

static enum tr_status parse_header(const char *name, const uint8_t *at, size_t size, struct tr_prompt_cache *c,
                                   struct tr_err *err)
{
    if (size < TR_PROMPT_CACHE_HEADER_BYTES + TR_SHA256_BYTES || memcmp(at, magic, sizeof magic) != 0)
        return tr_fail(err, TR_BAD_INPUT, "%s: is no prompt cache (it does not begin with \"trine kv\")", name);
    if (load_u32(at + 8) != TR_PROMPT_CACHE_VERSION)
        return tr_fail(err, TR_BAD_INPUT, "%s: is a prompt cache of version %u; this program knows version %d", name,
                       load_u32(at + 8), TR_PROMPT_CACHE_VERSION);
    uint32_t dtype = load_u32(at + 12), form = load_u32(at + 16), layers = load_u32(at + 20);
    uint64_t columns = load_u64(at + 24), tokens = load_u64(at + 32);
    if (dtype > TR_BF16 || form >= TR_FORM_COUNT || layers < 1 || layers > TR_LAYERS_MAX || columns < 1 ||
        columns > (uint64_t)TR_HEADS_MAX * TR_HEAD_DIM_MAX || tokens < 1 || tokens > TR_POSITIONS_MAX)
        return tr_fail(err, TR_BAD_INPUT, "%s: the header says %u layers of %llu columns, %llu tokens, number type %u, form "
                       "%u: there is no such prompt cache", name, layers, (unsigned long long)columns,
                       (unsigned long long)tokens, dtype, form);
    *c = (struct tr_prompt_cache){.dtype = (enum tr_dtype)dtype, .form = (enum tr_weight_form)form,
                                  .layers = (int32_t)layers, .columns = (int64_t)columns, .tokens = (int64_t)tokens,
                                  .fingerprint = at + 40, .ids = at + TR_PROMPT_CACHE_HEADER_BYTES};
    return TR_OK;
}

enum tr_status tr_prompt_cache_parse(const char *name, const void *bytes, size_t size, struct tr_prompt_cache *out,
                                     struct tr_err *err)
{
    struct tr_prompt_cache c;
    uint8_t digest[TR_SHA256_BYTES];
    int64_t wanted;
    enum tr_status status = parse_header(name, bytes, size, &c, err);
    if (status != TR_OK)
        return status;
    if (!file_bytes(&c, &wanted) || (uint64_t)wanted != size)
        return tr_fail(err, TR_BAD_INPUT, "%s: has %zu bytes, and %lld tokens of %d layers take another number: it is cut off "
                       "or damaged; delete it", name, size, (long long)c.tokens, c.layers);
    if ((status = tr_sha256_of(bytes, size - TR_SHA256_BYTES, digest, err)) != TR_OK)
        return status;
    if (memcmp(digest, (const uint8_t *)bytes + size - TR_SHA256_BYTES, sizeof digest) != 0)
        return tr_fail(err, TR_BAD_INPUT, "%s: is damaged (its SHA-256 is not that of its contents); delete it", name);
    c.rows = c.ids + 4 * c.tokens;
    *out = c;
    return TR_OK;
}

/* ---- which model it is of ---------------------------------------------------------------------------------------- */

enum { LANES = 8, PIECE_BYTES = 1 << 20 };

/* Eight chains of steps that can be undone: no change of a single word is lost. Not against forgers, whom nothing here
 * stops, but at the speed of memory, and a model is read at each start. */
static void fold(const uint8_t *at, int64_t bytes, uint64_t lane[LANES])
{
    for (int64_t i = 0; i < bytes; i += 8 * LANES)
        for (int j = 0; j < LANES; j++) {
            uint64_t word = 0;
            int64_t left = bytes - i - 8 * j;
            memcpy(&word, at + i + 8 * j, (size_t)tr_max_i64(0, tr_min_i64(8, left)));
            lane[j] = (lane[j] ^ word) * UINT64_C(0x9e3779b97f4a7c15);
            lane[j] ^= lane[j] >> 29;
        }
}

static void add_weights(struct tr_sha256 *sum, const struct tr_exec *exec)
{
    const bool rows = exec->program->step.form == TR_FORM_ROWS && exec->program->step.dtype == TR_F32;
    const struct tr_slab *slab = &exec->slab[rows ? TR_REGION_WEIGHTS : TR_REGION_COPIES];
    for (int64_t at = 0; at < slab->bytes; at += PIECE_BYTES) {
        uint64_t lane[LANES] = {1, 2, 3, 4, 5, 6, 7, 8};
        fold((const uint8_t *)slab->at + at, tr_min_i64(PIECE_BYTES, slab->bytes - at), lane);
        tr_sha256_update(sum, lane, sizeof lane);
    }
}

enum tr_status tr_generator_fingerprint(const struct tr_generator *g, uint8_t digest[TR_SHA256_BYTES], struct tr_err *err)
{
    struct tr_text text = {0};
    struct tr_sha256 sum;
    struct tr_model_config model = g->model;
    model.name[0] = 0; /* it may have moved */
    tr_text_printf(&text, "trine-%d/%s %s tensor=%d ", TR_CONTRACT_VERSION, tr_dtype_name(g->dtype), tr_form_name(g->form),
                   g->widths.tensor);
    struct tr_json json = tr_json_start(&text, TR_JSON_LINE);
    tr_model_config_write(&model, &json);
    enum tr_status status = tr_text_failed(&text, err) ? TR_FAILED : tr_sha256_start(&sum, err);
    if (status == TR_OK) {
        tr_sha256_update(&sum, tr_text_str(&text), text.len);
        add_weights(&sum, &g->exec);
        tr_sha256_finish(&sum, digest);
    }
    tr_text_free(&text);
    return status;
}

/* ---- keys and values --------------------------------------------------------------------------------------------- */

/* Number `which` of the caches of all layers, keys before values. */
static uint8_t *cache_of(const struct tr_generator *g, int32_t which)
{
    const struct tr_program *p = &g->program;
    const struct tr_program_section *infer = &p->section[TR_SECTION_INFER];
    for (int32_t i = infer->first_op; i < infer->first_op + infer->op_count; i++)
        if (p->op[i].op.kind == TR_OP_ATTN && p->op[i].layer == which / 2)
            return tr_exec_buffer(&g->exec, p->op[i].buffer[which % 2 ? TR_ATTN_V : TR_ATTN_K]);
    TR_ASSERT(p->op_count < 0); /* a layer without attention */
    return NULL;
}

static struct tr_prompt_cache shape_of(const struct tr_generator *g)
{
    return (struct tr_prompt_cache){.dtype = g->dtype, .form = g->form, .layers = g->model.layers, .tokens = g->length,
                                    .columns = (int64_t)g->model.kv_heads * g->model.head_dim};
}

/* The row of kv head `head` of token t in such a cache, which lies by head (KV_APPEND). */
static uint8_t *cache_row(const struct tr_generator *g, uint8_t *cache, int64_t t, int64_t head)
{
    return cache + (head * g->capacity + t) * g->model.head_dim * tr_dtype_bytes(g->dtype);
}

/* A file that is being written, and the sum of what is in it. */
struct sink {
    struct tr_file_out file;
    struct tr_sha256 sum;
};

static enum tr_status put(struct sink *sink, const void *data, size_t bytes, struct tr_err *err)
{
    tr_sha256_update(&sink->sum, data, bytes);
    return tr_file_out_write(&sink->file, data, bytes, err);
}

static enum tr_status put_rows(struct sink *sink, const struct tr_generator *g, int32_t which, struct tr_err *err)
{
    uint8_t *cache = cache_of(g, which);
    const size_t bytes = (size_t)(g->model.head_dim * tr_dtype_bytes(g->dtype));
    enum tr_status status = TR_OK;
    for (int64_t t = 0; t < g->length; t++)
        for (int64_t head = 0; head < g->model.kv_heads && status == TR_OK; head++)
            status = put(sink, cache_row(g, cache, t, head), bytes, err);
    return status;
}

enum tr_status tr_prompt_cache_save(const struct tr_generator *g, const char *path, const uint8_t digest[TR_SHA256_BYTES],
                                    struct tr_err *err)
{
    const struct tr_prompt_cache c = shape_of(g);
    struct sink sink = {.sum = {0}};
    uint8_t header[TR_PROMPT_CACHE_HEADER_BYTES] = {0}, sum[TR_SHA256_BYTES];
    TR_ASSERT(c.tokens > 0);
    memcpy(header, magic, sizeof magic);
    store_u32(header + 8, TR_PROMPT_CACHE_VERSION);
    store_u32(header + 12, c.dtype);
    store_u32(header + 16, c.form);
    store_u32(header + 20, (uint32_t)c.layers);
    store_u64(header + 24, (uint64_t)c.columns);
    store_u64(header + 32, (uint64_t)c.tokens);
    memcpy(header + 40, digest, TR_SHA256_BYTES);
    enum tr_status status = tr_sha256_start(&sink.sum, err);
    if (status == TR_OK)
        status = tr_file_out_open(&sink.file, path, err);
    if (status == TR_OK)
        status = put(&sink, header, sizeof header, err);
    if (status == TR_OK)
        status = put(&sink, g->history, (size_t)c.tokens * sizeof *g->history, err);
    for (int32_t which = 0; which < 2 * c.layers && status == TR_OK; which++)
        status = put_rows(&sink, g, which, err);
    if (status == TR_OK) {
        tr_sha256_finish(&sink.sum, sum);
        status = tr_file_out_write(&sink.file, sum, sizeof sum, err);
    }
    tr_sha256_drop(&sink.sum);
    return status == TR_OK ? tr_file_out_commit(&sink.file, err) : status;
}

static enum tr_status check_same_model(const struct tr_generator *g, const struct tr_prompt_cache *c, const char *path,
                                       const uint8_t digest[TR_SHA256_BYTES], struct tr_err *err)
{
    const struct tr_prompt_cache own = shape_of(g);
    if (c->dtype != own.dtype || c->form != own.form)
        return tr_fail(err, TR_BAD_INPUT, "%s: was made with activations in %s and weights as %s; here they are %s and %s", path,
                       tr_dtype_name(c->dtype), tr_form_name(c->form), tr_dtype_name(own.dtype), tr_form_name(own.form));
    if (c->layers != own.layers || c->columns != own.columns || memcmp(digest, c->fingerprint, TR_SHA256_BYTES) != 0)
        return tr_fail(err, TR_BAD_INPUT, "%s: was made by another model than %s: name another file for its prompt cache", path,
                       g->model.name);
    return TR_OK;
}

/* The rows of the first `tokens` tokens, one after the other as in the file. */
static void take_rows(const struct tr_generator *g, int32_t which, const uint8_t *rows, int64_t tokens)
{
    uint8_t *cache = cache_of(g, which);
    const int64_t bytes = g->model.head_dim * tr_dtype_bytes(g->dtype);
    for (int64_t t = 0; t < tokens; t++)
        for (int64_t head = 0; head < g->model.kv_heads; head++, rows += bytes)
            memcpy(cache_row(g, cache, t, head), rows, (size_t)bytes);
}

/* Of a file of this model: what it has of `tokens` beyond the text that the generator holds. */
static void take_common(struct tr_generator *g, const struct tr_prompt_cache *c, const int32_t *tokens, int64_t count)
{
    const int64_t most = tr_min_i64(tr_min_i64(c->tokens, count - 1), g->capacity);
    const int64_t bytes = c->tokens * c->columns * tr_dtype_bytes(c->dtype);
    int64_t common = 0;
    while (common < most && (int32_t)load_u32(c->ids + 4 * common) == tokens[common])
        common++;
    if (common <= g->length)
        return;
    tr_generator_reset(g);
    for (int32_t which = 0; which < 2 * c->layers; which++)
        take_rows(g, which, c->rows + which * bytes, common);
    memcpy(g->history, tokens, (size_t)common * sizeof *tokens);
    g->length = common;
}

enum tr_status tr_prompt_cache_load(struct tr_generator *g, const char *path, const uint8_t digest[TR_SHA256_BYTES],
                                    const int32_t *tokens, int64_t count, struct tr_err *err)
{
    struct tr_prompt_cache c;
    struct tr_bytes bytes;
    enum tr_status status = tr_file_read(path, TR_PROMPT_CACHE_BYTES_MAX, &bytes, err);
    if (status != TR_OK)
        return status;
    status = tr_prompt_cache_parse(path, bytes.at, bytes.len, &c, err);
    if (status == TR_OK)
        status = check_same_model(g, &c, path, digest, err);
    if (status == TR_OK)
        take_common(g, &c, tokens, count);
    tr_bytes_free(&bytes);
    return status;
}
