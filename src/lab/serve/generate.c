#include "lab/serve/serve.h"

#include "base/num.h"
#include "base/os.h"
#include "lab/serve/prompt_cache.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PROMPT_CHUNK = 256 }; /* tokens of a prompt at a time: bounds the memory of its activations */

enum tr_status tr_generator_open(struct tr_generator *generator, const struct tr_model_config *model,
                                 enum tr_dtype dtype, enum tr_weight_form form, const struct tr_widths *widths,
                                 int64_t capacity, struct tr_machine machine, const struct tr_exec *weights, struct tr_err *err)
{
    struct tr_generator g = {.model = *model, .machine = machine, .dtype = dtype, .form = form, .widths = *widths,
                             .capacity = capacity};
    enum tr_status status = tr_program_infer(&g.program, model, dtype, form, widths, 1, 1, capacity, machine, err);
    if (status != TR_OK)
        return status;
    g.history = calloc((size_t)capacity, sizeof *g.history);
    g.scratch = calloc((size_t)model->vocab, sizeof *g.scratch);
    g.kept_logits = calloc((size_t)model->vocab, sizeof *g.kept_logits);
    *generator = g; /* the exec keeps the address of its program */
    if (g.history == NULL || g.scratch == NULL || g.kept_logits == NULL)
        status = tr_fail(err, TR_FAILED, "out of memory for a text of %lld tokens", (long long)capacity);
    if (status == TR_OK && !weights)
        status = tr_program_check_memory(&generator->program, 0, "writing with", "try a shorter text, or a smaller model", err);
    if (status == TR_OK)
        status = tr_exec_open(&generator->exec, &generator->program, machine, weights, err);
    if (status == TR_OK && generator->exec.crowd == NULL)
        generator->exec.crowd = &generator->crowd;
    if (status != TR_OK)
        tr_generator_close(generator);
    return status;
}

void tr_generator_close(struct tr_generator *generator)
{
    if (generator->prompt.program != NULL)
        tr_exec_close(&generator->prompt);
    tr_program_free(&generator->prompt_program);
    if (generator->exec.program != NULL)
        tr_exec_close(&generator->exec);
    tr_program_free(&generator->program);
    free(generator->history);
    free(generator->scratch);
    free(generator->kept_logits);
    memset(generator, 0, sizeof *generator);
}

void tr_generator_reset(struct tr_generator *generator)
{
    generator->length = 0;
    generator->logits = NULL;
}

/* Opens a program for `count` tokens at once, which borrows weights, cache and, if `share` has some to lend, WORK. */
static enum tr_status open_chunk(const struct tr_generator *g, int64_t count, const struct tr_exec *share,
                                 struct tr_program *program, struct tr_exec *exec, struct tr_err *err)
{
    enum tr_status status =
        tr_program_infer(program, &g->model, g->dtype, g->form, &g->widths, 1, count, g->capacity, g->machine, err);
    if (status != TR_OK)
        return status;
    status = tr_exec_open(exec, program, g->machine, share, err);
    if (status != TR_OK)
        tr_program_free(program);
    return status;
}

static enum tr_status read_tokens(struct tr_generator *g, const int32_t *tokens, int64_t count, struct tr_err *err)
{
    struct tr_program program;
    struct tr_exec exec;
    const int64_t most = tr_min_i64(PROMPT_CHUNK, g->capacity);
    if (count == 1) {
        g->logits = tr_exec_infer(&g->exec, tokens, g->length);
        return TR_OK;
    }
    if (g->prompt.program == NULL) {
        enum tr_status status = open_chunk(g, most, &g->exec, &g->prompt_program, &g->prompt, err);
        if (status != TR_OK)
            return status;
        g->prompt.lends_work = true;
    }
    if (count == most) {
        g->logits = tr_exec_infer(&g->prompt, tokens, g->length);
        return TR_OK;
    }
    enum tr_status status = open_chunk(g, count, &g->prompt, &program, &exec, err);
    if (status != TR_OK)
        return status;
    memcpy(g->kept_logits, tr_exec_infer(&exec, tokens, g->length), (size_t)g->model.vocab * sizeof(float));
    g->logits = g->kept_logits;
    tr_exec_close(&exec);
    tr_program_free(&program);
    return TR_OK;
}

static bool all_finite(const float *x, int64_t count)
{
    int64_t bad = 0;
    for (int64_t i = 0; i < count; i++)
        bad += !isfinite(x[i]);
    return bad == 0;
}

static enum tr_status read_fitting(struct tr_generator *g, const int32_t *tokens, int64_t count, struct tr_err *err)
{
    while (count > 0) {
        int64_t chunk = tr_min_i64(count, PROMPT_CHUNK);
        enum tr_status status = read_tokens(g, tokens, chunk, err);
        if (status != TR_OK)
            return status;
        memmove(g->history + g->length, tokens, (size_t)chunk * sizeof *tokens);
        g->length += chunk;
        tokens += chunk;
        count -= chunk;
        if (!all_finite(g->logits, g->model.vocab))
            return tr_fail(err, TR_BAD_INPUT,
                           "%s: after token %lld its logits are not all finite: weights that hold NaN or infinity, or grew "
                           "too large",
                           g->model.name, (long long)g->length);
    }
    return TR_OK;
}

/* How many of the oldest of `all` tokens are given up: as many as when they came one by one, and each time that the
 * cache was full its newest half was read again. */
static int64_t given_up(const struct tr_generator *g, int64_t all)
{
    int64_t each = g->capacity - g->capacity / 2;
    return all <= g->capacity ? 0 : tr_ceil_div(all - g->capacity, each) * each;
}

/* Makes room in the cache: gives up its `count` oldest tokens. */
static enum tr_status slide(struct tr_generator *g, int64_t count, struct tr_err *err)
{
    int64_t keep = g->length - count;
    tr_generator_reset(g);
    return read_fitting(g, g->history + count, keep, err);
}

enum tr_status tr_generator_read(struct tr_generator *g, const int32_t *tokens, int64_t count, struct tr_err *err)
{
    for (int64_t i = 0; i < count; i++)
        if (tokens[i] < 0 || tokens[i] >= g->model.vocab)
            return tr_fail(err, TR_BAD_INPUT, "token %d at position %lld: the vocabulary of %s is 0 to %lld", tokens[i],
                           (long long)i, g->model.name, (long long)g->model.vocab - 1);
    enum tr_status status = TR_OK;
    int64_t drop = given_up(g, g->length + count);
    if (drop >= g->length) { /* a long prompt: what would be given up again is not read */
        tokens += drop - g->length;
        count -= drop - g->length;
        tr_generator_reset(g);
    } else if (drop > 0) {
        status = slide(g, drop, err);
    }
    return status == TR_OK ? read_fitting(g, tokens, count, err) : status;
}

/* Forgets all of the text but what it has in common with the beginning of `tokens` without the last. */
static void keep_common(struct tr_generator *g, const int32_t *tokens, int64_t count)
{
    const int64_t most = tr_min_i64(g->length, count - 1);
    int64_t common = 0;
    while (common < most && g->history[common] == tokens[common])
        common++;
    g->length = common;
    g->logits = NULL;
}

enum tr_status tr_generator_read_prompt(struct tr_generator *g, const int32_t *tokens, int64_t count, struct tr_err *err)
{
    enum tr_status status = TR_OK;
    const bool fits = count >= 1 && count <= g->capacity, has_file = g->prompt_cache && fits;
    uint8_t digest[TR_SHA256_BYTES];
    g->prompt_tokens = count;
    g->reused = 0;
    if (!fits) {
        tr_generator_reset(g);
        return tr_generator_read(g, tokens, count, err);
    }
    keep_common(g, tokens, count);
    if (has_file)
        status = tr_generator_fingerprint(g, digest, err);
    if (status == TR_OK && has_file && tr_file_exists(g->prompt_cache))
        status = tr_prompt_cache_load(g, g->prompt_cache, digest, tokens, count, err);
    g->reused = g->length;
    if (status == TR_OK)
        status = tr_generator_read(g, tokens + g->length, count - g->length, err);
    if (status == TR_OK && has_file && g->reused < count - 1)
        status = tr_prompt_cache_save(g, g->prompt_cache, digest, err);
    return status;
}

int64_t tr_generator_token_bytes(const struct tr_generator *g, int64_t length)
{
    const struct tr_program *p = &g->program;
    const struct tr_program_section *infer = &p->section[TR_SECTION_INFER];
    int64_t bytes = 0;
    for (int32_t i = infer->first_op; i < infer->first_op + infer->op_count; i++) {
        const struct tr_op *op = &p->op[i].op;
        bool product = op->kind == TR_OP_LINEAR || op->kind == TR_OP_LINEAR_PACKED;
        for (int k = TR_LINEAR_W; product && k < TR_LINEAR_B; k++)
            bytes += p->op[i].buffer[k] >= 0 ? tr_op_operand_bytes(op, k) : 0;
        if (op->kind == TR_OP_ATTN)
            bytes += 2 * length * op->kv_heads * op->head_dim * tr_dtype_bytes(op->act);
    }
    return bytes;
}

int32_t tr_generator_draw(struct tr_generator *g, const struct tr_sampling *sampling)
{
    TR_ASSERT(g->logits != NULL); /* a prompt of at least one token comes first */
    return tr_sample(sampling, g->logits, g->model.vocab, g->drawn++, g->scratch);
}
