/* Text to tokens: added tokens, normal form, pieces, merges; and a cache of pieces, as a few thousand words are most of
 * any text. */
#include "lab/token/unicode.h"
#include "lab/token/vocab.h"

#include "base/arena.h"

#include <stdlib.h>
#include <string.h>

enum { CACHE_COUNT = 1 << 15, CACHE_BYTES = 30, CACHE_IDS = 8 };

/* One line of the processor's cache; bytes 0: empty. */
struct cached {
    uint8_t bytes, count;
    uint8_t piece[CACHE_BYTES];
    int32_t id[CACHE_IDS];
};

struct tr_encoder {
    const struct tr_token *token;
    struct cached *cache; /* [CACHE_COUNT] */
    struct tr_bpe_work work;
    struct tr_text normal;   /* a part in normal form C */
    struct tr_text prefixed; /* a part with a space before it */
};

/* What one call works on. */
struct job {
    struct tr_encoder *encoder;
    struct tr_ids *ids;
    tr_piece_sink *sink; /* instead of merging */
    void *context;
    bool plain;
    struct tr_err *err;
};

/* ---- lists of tokens --------------------------------------------------------------------------------------------- */

static enum tr_status grow(struct tr_ids *ids, int64_t count, struct tr_err *err)
{
    int64_t room = ids->room ? ids->room : 256;
    while (room < ids->count + count)
        room *= 2;
    int32_t *at = realloc(ids->at, (size_t)room * sizeof *at);
    if (!at)
        return tr_fail(err, TR_FAILED, "out of memory for %lld tokens", (long long)room);
    tr_memory_wish_huge(at, room * (int64_t)sizeof *at);
    ids->at = at;
    ids->room = room;
    return TR_OK;
}

enum tr_status tr_ids_add(struct tr_ids *ids, int32_t id, struct tr_err *err)
{
    if (ids->count == ids->room) {
        enum tr_status status = grow(ids, 1, err);
        if (status != TR_OK)
            return status;
    }
    ids->at[ids->count++] = id;
    return TR_OK;
}

void tr_ids_free(struct tr_ids *ids)
{
    free(ids->at);
    *ids = (struct tr_ids){0};
}

/* ---- pieces ------------------------------------------------------------------------------------------------------ */

static enum tr_status merge_and_keep(struct job *job, const uint8_t *piece, size_t bytes, struct cached *cached)
{
    int64_t before = job->ids->count;
    enum tr_status status = tr_bpe_piece(job->encoder->token, &job->encoder->work, piece, bytes, job->ids, job->err);
    int64_t count = job->ids->count - before;
    if (status != TR_OK || count > CACHE_IDS)
        return status;
    cached->bytes = (uint8_t)bytes;
    cached->count = (uint8_t)count;
    memcpy(cached->piece, piece, bytes);
    if (count > 0)
        memcpy(cached->id, job->ids->at + before, (size_t)count * sizeof *cached->id);
    return TR_OK;
}

/* A piece of the text, and its place in the cache; NULL: it has none. */
struct piece {
    const uint8_t *at;
    size_t bytes;
    struct cached *cached;
};

static struct piece find_piece(const struct job *job, const uint8_t *at, size_t bytes)
{
    struct piece piece = {at, bytes, NULL};
    if (!job->sink && bytes <= CACHE_BYTES) {
        piece.cached = &job->encoder->cache[tr_hash_bytes(at, bytes) % CACHE_COUNT];
        __builtin_prefetch(piece.cached);
    }
    return piece;
}

static enum tr_status do_piece(struct job *job, const struct piece *piece)
{
    struct tr_ids *ids = job->ids;
    struct cached *cached = piece->cached;
    if (job->sink)
        return job->sink(job->context, (const char *)piece->at, piece->bytes, job->err);
    if (!cached)
        return tr_bpe_piece(job->encoder->token, &job->encoder->work, piece->at, piece->bytes, ids, job->err);
    if (cached->bytes != piece->bytes || memcmp(cached->piece, piece->at, piece->bytes) != 0)
        return merge_and_keep(job, piece->at, piece->bytes, cached);
    if (ids->room - ids->count < CACHE_IDS) {
        enum tr_status status = grow(ids, CACHE_IDS, job->err);
        if (status != TR_OK)
            return status;
    }
    memcpy(ids->at + ids->count, cached->id, sizeof cached->id);
    ids->count += cached->count;
    return TR_OK;
}

/* The last step of splitting. Each piece is found one ahead, so that its place in the cache is there when its turn comes. */
static enum tr_status do_pieces(struct job *job, enum tr_split split, const uint8_t *text, size_t begin, size_t end)
{
    enum tr_status status = TR_OK;
    struct piece piece = {.bytes = 0}, next;
    for (; status == TR_OK && (begin < end || piece.bytes > 0); piece = next) {
        next = (struct piece){.bytes = 0};
        if (begin < end) {
            size_t after = tr_split_next(split, text, begin, end);
            next = find_piece(job, text + begin, after - begin);
            begin = after;
        }
        if (piece.bytes > 0)
            status = do_piece(job, &piece);
    }
    return status;
}

/* Splits text[begin, end) by the steps from `step` on. Each step sees the parts of the one before as whole texts. */
static enum tr_status split_part(struct job *job, int step, const uint8_t *text, size_t begin, size_t end)
{
    const struct tr_token *token = job->encoder->token;
    if (step == token->split_count) {
        struct piece all = find_piece(job, text + begin, end - begin);
        return do_piece(job, &all);
    }
    enum tr_split split = token->splits[step];
    if (split == TR_SPLIT_PREFIX_SPACE) {
        struct tr_text *prefixed = &job->encoder->prefixed;
        if (text[begin] == ' ')
            return split_part(job, step + 1, text, begin, end);
        tr_text_clear(prefixed);
        tr_text_char(prefixed, ' ');
        tr_text_append_bytes(prefixed, text + begin, end - begin);
        if (tr_text_failed(prefixed, job->err))
            return TR_FAILED;
        return split_part(job, step + 1, (const uint8_t *)prefixed->at, 0, prefixed->len);
    }
    if (step + 1 == token->split_count)
        return do_pieces(job, split, text, begin, end);
    enum tr_status status = TR_OK;
    while (begin < end && status == TR_OK) {
        size_t next = tr_split_next(split, text, begin, end);
        status = split_part(job, step + 1, text, begin, next);
        begin = next;
    }
    return status;
}

/* ---- added tokens ------------------------------------------------------------------------------------------------ */

typedef enum tr_status part_fn(struct job *job, const char *text, size_t bytes);

/* The parts between added tokens go to `part`, the tokens to the list. A token that takes white space may take what an
 * earlier one took already, as in Hugging Face's tokenizers. */
static enum tr_status around_added(struct job *job, const struct tr_trie *trie, const char *text, size_t bytes,
                                   part_fn *part)
{
    const struct tr_token *token = job->encoder->token;
    struct tr_added_search search = {0};
    struct tr_added_match match;
    enum tr_status status = TR_OK;
    while (!job->plain && status == TR_OK && tr_added_find(token, trie, text, bytes, &search, &match)) {
        if (search.done < match.begin)
            status = part(job, text + search.done, match.begin - search.done);
        if (status == TR_OK)
            status = tr_ids_add(job->ids, match.id, job->err);
        search.done = match.end;
        search.from = match.next;
    }
    if (status == TR_OK && search.done < bytes)
        status = part(job, text + search.done, bytes - search.done);
    return status;
}

static enum tr_status split_text(struct job *job, const char *text, size_t bytes)
{
    return split_part(job, 0, (const uint8_t *)text, 0, bytes);
}

static enum tr_status normalize(struct job *job, const char *text, size_t bytes)
{
    struct tr_encoder *encoder = job->encoder;
    if (encoder->token->normalizer == TR_NORMALIZER_NFC && !tr_nfc_is_quick(text, bytes)) {
        tr_text_clear(&encoder->normal);
        enum tr_status status = tr_nfc(text, bytes, &encoder->normal, job->err);
        if (status != TR_OK)
            return status;
        text = tr_text_str(&encoder->normal);
        bytes = encoder->normal.len;
    }
    return around_added(job, &encoder->token->normalized, text, bytes, split_text);
}

/* ---- front ------------------------------------------------------------------------------------------------------- */

static enum tr_status add_all(struct tr_ids *ids, const int32_t *id, int count, struct tr_err *err)
{
    enum tr_status status = TR_OK;
    for (int i = 0; i < count && status == TR_OK; i++)
        status = tr_ids_add(ids, id[i], err);
    return status;
}

static enum tr_status check_size(size_t bytes, struct tr_err *err)
{
    if (bytes > TR_TOKEN_TEXT_MAX_BYTES)
        return tr_fail(err, TR_BAD_INPUT, "a text of %zu bytes; at most %d are encoded at once", bytes,
                       TR_TOKEN_TEXT_MAX_BYTES);
    return TR_OK;
}

enum tr_status tr_encode(struct tr_encoder *encoder, const char *text, size_t bytes, int flags, struct tr_ids *ids,
                         struct tr_err *err)
{
    const struct tr_token *token = encoder->token;
    struct job job = {.encoder = encoder, .ids = ids, .plain = flags & TR_ENCODE_PLAIN, .err = err};
    int64_t before = ids->count;
    enum tr_status status = check_size(bytes, err);
    if (status == TR_OK && (flags & TR_ENCODE_BEFORE))
        status = add_all(ids, token->before, token->before_count, err);
    if (status == TR_OK)
        status = around_added(&job, &token->raw, text, bytes, normalize);
    if (status == TR_OK && (flags & TR_ENCODE_AFTER))
        status = add_all(ids, token->after, token->after_count, err);
    if (status != TR_OK)
        ids->count = before;
    return status;
}

enum tr_status tr_encoder_pieces(struct tr_encoder *encoder, const char *text, size_t bytes, tr_piece_sink *sink,
                                 void *context, struct tr_err *err)
{
    struct job job = {.encoder = encoder, .sink = sink, .context = context, .plain = true, .err = err};
    enum tr_status status = check_size(bytes, err);
    return status == TR_OK && bytes > 0 ? normalize(&job, text, bytes) : status;
}

enum tr_status tr_encoder_make(const struct tr_token *token, struct tr_encoder **out, struct tr_err *err)
{
    struct tr_encoder *encoder = calloc(1, sizeof *encoder);
    struct cached *cache = encoder ? aligned_alloc(64, CACHE_COUNT * sizeof *cache) : NULL;
    if (!cache) {
        free(encoder);
        return tr_fail(err, TR_FAILED, "out of memory for an encoder");
    }
    memset(cache, 0, CACHE_COUNT * sizeof *cache);
    encoder->token = token;
    encoder->cache = cache;
    *out = encoder;
    return TR_OK;
}

void tr_encoder_free(struct tr_encoder *encoder)
{
    if (!encoder)
        return;
    free(encoder->cache);
    tr_bpe_work_free(&encoder->work);
    tr_text_free(&encoder->normal);
    tr_text_free(&encoder->prefixed);
    free(encoder);
}

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

size_t tr_token_part(const struct tr_token *token, const char *text, size_t bytes, size_t wanted)
{
    /* Every pre-tokenizer splits between a letter and a space, and what it does behind depends on nothing before. */
    bool splits = false;
    for (int i = 0; i < token->split_count; i++)
        splits = splits || token->splits[i] == TR_SPLIT_GPT2 || token->splits[i] == TR_SPLIT_LLAMA3 ||
                 token->splits[i] == TR_SPLIT_QWEN2;
    if (bytes <= wanted || !token->cuts || !splits)
        return bytes;
    for (size_t at = wanted > 1 ? wanted - 1 : 0; at > 0; at--)
        if (text[at] == ' ' && is_letter(text[at - 1]) && is_letter(text[at + 1]))
            return at;
    return bytes;
}
