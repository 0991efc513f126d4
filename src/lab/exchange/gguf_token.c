/* The tokenizer inside a GGUF file: keys tokenizer.ggml.*, as llama.cpp reads and llama.cpp's converters write them. */
#include "lab/exchange/gguf_model.h"

#include "base/num.h"

#include <stdio.h>
#include <string.h>

#define ARENA_MAX_BYTES ((int64_t)1 << 30)

/* llama.cpp's kinds of tokens. */
enum token_kind { NORMAL = 1, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE, KINDS_END };

/* ---- reading ----------------------------------------------------------------------------------------------------- */

struct reader {
    const struct tr_gguf *file;
    struct tr_token_spec spec;
    struct tr_arena arena;
    struct tr_err *err;
};

static bool is(struct tr_string string, const char *word)
{
    return string.bytes == (int64_t)strlen(word) && memcmp(string.at, word, (size_t)string.bytes) == 0;
}

static enum tr_status read_kinds(struct reader *r, const struct tr_gguf_value **kinds)
{
    *kinds = NULL;
    enum tr_status status = tr_gguf_int_array(r->file, "tokenizer.ggml.token_type", TR_OPTIONAL, kinds, r->err);
    if (status == TR_OK && *kinds && (*kinds)->count != r->spec.vocab_count)
        return tr_fail(r->err, TR_BAD_INPUT, "%s: tokenizer.ggml.token_type has %lld items, tokenizer.ggml.tokens %lld",
                       r->file->source, (long long)(*kinds)->count, (long long)r->spec.vocab_count);
    return status;
}

/* Tokens that stand in a text as they are (control and user-defined ones) are added tokens; unused ones are none. */
static enum tr_status read_vocab(struct reader *r)
{
    const struct tr_string *tokens;
    const struct tr_gguf_value *kinds;
    enum tr_status status = tr_gguf_strings(r->file, "tokenizer.ggml.tokens", TR_REQUIRED, &r->arena, &tokens,
                                            &r->spec.vocab_count, r->err);
    if (status == TR_OK)
        status = read_kinds(r, &kinds);
    if (status != TR_OK)
        return status;
    struct tr_string *vocab = tr_arena_array(&r->arena, r->spec.vocab_count, sizeof *vocab, r->err);
    struct tr_added_token *added = vocab ? tr_arena_array(&r->arena, r->spec.vocab_count, sizeof *added, r->err) : NULL;
    if (!added)
        return TR_FAILED;
    for (int64_t id = 0; id < r->spec.vocab_count; id++) {
        int64_t kind = kinds ? tr_gguf_item_int(kinds, id) : NORMAL;
        if (kind == CONTROL || kind == USER_DEFINED)
            added[r->spec.added_count++] =
                (struct tr_added_token){.content = tokens[id], .id = id, .special = kind == CONTROL};
        if (kind != UNUSED && tokens[id].bytes > 0)
            vocab[id] = tokens[id];
    }
    r->spec.vocab = vocab;
    r->spec.added = added;
    return TR_OK;
}

static enum tr_status read_merges(struct reader *r)
{
    const struct tr_string *lines = NULL;
    int64_t count = 0;
    enum tr_status status =
        tr_gguf_strings(r->file, "tokenizer.ggml.merges", TR_REQUIRED, &r->arena, &lines, &count, r->err);
    struct tr_merge *merges = status == TR_OK ? tr_arena_array(&r->arena, count, sizeof *merges, r->err) : NULL;
    if (!merges)
        return status == TR_OK ? TR_FAILED : status;
    for (int64_t i = 0; i < count && status == TR_OK; i++) {
        status = tr_merge_from_line(lines[i], &merges[i], r->err);
        if (status != TR_OK)
            tr_err_prefix(r->err, "%s: tokenizer.ggml.merges: %lld", r->file->source, (long long)i);
    }
    r->spec.merges = merges;
    r->spec.merge_count = count;
    return status;
}

static enum tr_status read_pre(struct reader *r)
{
    struct tr_string pre = {0};
    enum tr_status status = tr_gguf_string(r->file, "tokenizer.ggml.pre", TR_OPTIONAL, &pre, r->err);
    if (status != TR_OK)
        return status;
    if (!pre.at)
        return tr_fail(r->err, TR_BAD_INPUT, "%s: has a tokenizer without tokenizer.ggml.pre, so nothing says how it "
                       "splits a text: give its tokenizer.json (--tokenizer)", r->file->source);
    const char *name = tr_arena_copy(&r->arena, pre.at, pre.bytes, r->err);
    return name ? tr_token_spec_pre(&r->spec, name, r->err) : TR_FAILED;
}

/* One token before or behind a text, as llama.cpp puts it there. */
static enum tr_status read_around(struct reader *r, const char *add_key, bool add, const char *id_key, int64_t *ids,
                                  int *count)
{
    enum tr_status status = tr_gguf_bool(r->file, add_key, TR_OPTIONAL, &add, r->err);
    if (status == TR_OK && add)
        status = tr_gguf_int(r->file, id_key, TR_REQUIRED, 0, TR_TOKEN_VOCAB_MAX - 1, &ids[0], r->err);
    *count = status == TR_OK && add;
    return status;
}

static enum tr_status read_all(struct reader *r)
{
    bool adds_first = false;
    enum tr_status status = read_pre(r);
    if (status == TR_OK)
        status = read_vocab(r);
    if (status == TR_OK)
        status = read_merges(r);
    adds_first = r->spec.ignore_merges; /* llama.cpp's default for llama-bpe */
    if (status == TR_OK)
        status = read_around(r, "tokenizer.ggml.add_bos_token", adds_first, "tokenizer.ggml.bos_token_id",
                             r->spec.before, &r->spec.before_count);
    if (status == TR_OK)
        status = read_around(r, "tokenizer.ggml.add_eos_token", false, "tokenizer.ggml.eos_token_id", r->spec.after,
                             &r->spec.after_count);
    return status;
}

bool tr_gguf_has_token(const struct tr_gguf *file)
{
    struct tr_string model = {0};
    struct tr_err ignored;
    if (tr_gguf_string(file, "tokenizer.ggml.model", TR_OPTIONAL, &model, &ignored) != TR_OK)
        return true; /* whoever reads it says what is wrong */
    return model.at && !is(model, "no_vocab");
}

enum tr_status tr_gguf_token(const struct tr_gguf *file, struct tr_token **out, struct tr_err *err)
{
    struct tr_string model = {0};
    struct tr_token *token = NULL;
    enum tr_status status = tr_gguf_string(file, "tokenizer.ggml.model", TR_OPTIONAL, &model, err);
    if (status != TR_OK)
        return status;
    if (!tr_gguf_has_token(file)) {
        *out = NULL;
        return TR_OK;
    }
    if (!is(model, "gpt2"))
        return tr_fail(err, TR_BAD_INPUT, "%s: the tokenizer \"%.*s\" is not supported; supported is gpt2, byte-level BPE",
                       file->source, (int)tr_min_i64(model.bytes, 40), model.at);
    struct reader r = {.file = file, .spec = {.source = file->source}, .err = err};
    tr_arena_init(&r.arena, "reading of a tokenizer", ARENA_MAX_BYTES);
    status = read_all(&r);
    if (status == TR_OK)
        status = tr_token_make(&r.spec, &token, err);
    tr_arena_free(&r.arena);
    if (status == TR_OK)
        *out = token;
    return status;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static void put_tokens(const struct tr_token *token, int64_t vocab, struct tr_text *out)
{
    struct tr_text text = {0};
    tr_gguf_put_array(out, "tokenizer.ggml.tokens", TR_GGUF_STRING, vocab);
    for (int64_t id = 0; id < vocab; id++) {
        tr_text_clear(&text);
        tr_token_spell(token, id, &text);
        if (text.len == 0)
            tr_text_printf(&text, "<|unused_%lld|>", (long long)id);
        tr_gguf_put_item_string(out, tr_text_str(&text), text.len);
    }
    tr_text_free(&text);
    tr_gguf_put_array(out, "tokenizer.ggml.token_type", TR_GGUF_I32, vocab);
    for (int64_t id = 0; id < vocab; id++)
        tr_gguf_put_item_i32(out, tr_token_is_special(token, id)  ? CONTROL
                                  : tr_token_is_added(token, id)  ? USER_DEFINED
                                  : tr_token_bytes(token, id).at ? NORMAL
                                                                  : UNUSED);
}

static void put_merges(const struct tr_token *token, struct tr_text *out)
{
    struct tr_text line = {0};
    int64_t count = tr_token_merge_count(token);
    tr_gguf_put_array(out, "tokenizer.ggml.merges", TR_GGUF_STRING, count);
    for (int64_t i = 0; i < count; i++) {
        int32_t ids[2];
        tr_token_merge(token, i, ids);
        tr_text_clear(&line);
        tr_token_spell(token, ids[0], &line);
        tr_text_char(&line, ' ');
        tr_token_spell(token, ids[1], &line);
        tr_gguf_put_item_string(out, tr_text_str(&line), line.len);
    }
    tr_text_free(&line);
}

/* Without an id of its own llama.cpp ends a text at token 11. */
static void put_ids(const struct tr_token *token, const struct tr_stops *stops, struct tr_text *out)
{
    const int32_t *before, *after;
    int before_count = tr_token_before(token, &before), after_count = tr_token_after(token, &after);
    int64_t end = after_count ? after[0] : stops && stops->count ? stops->id[0] : tr_token_end_id(token);
    if (before_count || end >= 0)
        tr_gguf_put_u32(out, "tokenizer.ggml.bos_token_id", (uint32_t)(before_count ? before[0] : end));
    if (end >= 0)
        tr_gguf_put_u32(out, "tokenizer.ggml.eos_token_id", (uint32_t)end);
    tr_gguf_put_bool(out, "tokenizer.ggml.add_bos_token", before_count > 0);
    tr_gguf_put_bool(out, "tokenizer.ggml.add_eos_token", after_count > 0);
}

enum tr_status tr_gguf_put_token(const struct tr_token *token, const struct tr_stops *stops, int64_t vocab,
                                 struct tr_text *out, struct tr_err *err)
{
    const int32_t *ids;
    if (!token) {
        tr_gguf_put_string(out, "tokenizer.ggml.model", "no_vocab", 8);
        return TR_OK;
    }
    TR_ASSERT(tr_token_vocab(token) <= vocab);
    const char *pre = tr_token_pre(token);
    if (!pre)
        return tr_fail(err, TR_BAD_INPUT, "the tokenizer splits a text in a way for which GGUF has no name (known are "
                       "those of gpt-2, llama-bpe, qwen2, smollm and smaug-bpe)");
    if (tr_token_before(token, &ids) > 1 || tr_token_after(token, &ids) > 1)
        return tr_fail(err, TR_BAD_INPUT, "the tokenizer puts more than one token before or behind a text, which GGUF "
                       "cannot say");
    tr_gguf_put_string(out, "tokenizer.ggml.model", "gpt2", 4);
    tr_gguf_put_string(out, "tokenizer.ggml.pre", pre, strlen(pre));
    put_tokens(token, vocab, out);
    put_merges(token, out);
    put_ids(token, stops, out);
    return TR_OK;
}
