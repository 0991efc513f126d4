/* Building a tokenizer out of its description: tables, checks, and the sum over all that decides tokens. */
#include "lab/token/vocab.h"

#include "base/num.h"
#include "lab/token/unicode.h"

#include <stdlib.h>
#include <string.h>

#define ARENA_MAX_BYTES ((int64_t)2 << 30)

uint64_t tr_hash_bytes(const void *bytes, size_t count)
{
    const uint8_t *at = bytes;
    uint64_t sum = count, word;
    for (; count >= 8; at += 8, count -= 8) {
        memcpy(&word, at, 8);
        sum = (sum ^ word) * 0x9e3779b97f4a7c15u;
        sum ^= sum >> 29;
    }
    word = 0;
    memcpy(&word, at, count);
    return tr_mix64(sum ^ word);
}

int32_t tr_vocab_find(const struct tr_token *token, const void *bytes, size_t count)
{
    for (uint64_t at = tr_hash_bytes(bytes, count);; at++) {
        int32_t id = token->by_bytes.id[at & token->by_bytes.mask];
        if (id < 0)
            return -1;
        const struct tr_string *have = &token->bytes[id];
        if (have->bytes == (int64_t)count && memcmp(have->at, bytes, count) == 0)
            return id;
    }
}

static uint64_t table_size(int64_t count)
{
    uint64_t size = 16;
    while (size < 2 * (uint64_t)count)
        size *= 2;
    return size;
}

/* A token as a sentence shows it: not too long, without control characters. */
static const char *show(struct tr_string token, char out[80])
{
    int64_t bytes = tr_min_i64(token.bytes, 48);
    int at = 0;
    for (int64_t i = 0; i < bytes; i++)
        out[at++] = (uint8_t)token.at[i] < 0x20 || token.at[i] == 0x7F ? '?' : token.at[i];
    memcpy(out + at, bytes < token.bytes ? "..." : "", bytes < token.bytes ? 4 : 1);
    return out;
}

/* ---- the vocabulary ---------------------------------------------------------------------------------------------- */

static enum tr_status check_limits(const struct tr_token_spec *spec, struct tr_err *err)
{
    if (spec->vocab_count < 0 || spec->vocab_count > TR_TOKEN_VOCAB_MAX)
        return tr_fail(err, TR_BAD_INPUT, "%s: a vocabulary of %lld tokens; expected at most %d", spec->source,
                       (long long)spec->vocab_count, TR_TOKEN_VOCAB_MAX);
    if (spec->merge_count < 0 || spec->merge_count > TR_TOKEN_MERGES_MAX)
        return tr_fail(err, TR_BAD_INPUT, "%s: %lld merges; expected at most %d", spec->source,
                       (long long)spec->merge_count, TR_TOKEN_MERGES_MAX);
    if (spec->added_count < 0 || spec->added_count > TR_TOKEN_ADDED_MAX)
        return tr_fail(err, TR_BAD_INPUT, "%s: %lld added tokens; expected at most %d", spec->source,
                       (long long)spec->added_count, TR_TOKEN_ADDED_MAX);
    for (int64_t i = 0; i < spec->added_count; i++) {
        const struct tr_added_token *added = &spec->added[i];
        if (added->id < 0 || added->id >= TR_TOKEN_VOCAB_MAX)
            return tr_fail(err, TR_BAD_INPUT, "%s: added token %lld has id %lld; expected 0 to %d", spec->source,
                           (long long)i, (long long)added->id, TR_TOKEN_VOCAB_MAX - 1);
        if (added->content.bytes <= 0 || added->content.bytes > TR_TOKEN_ADDED_BYTES_MAX)
            return tr_fail(err, TR_BAD_INPUT, "%s: added token %lld has %lld bytes; expected 1 to %d", spec->source,
                           (long long)i, (long long)added->content.bytes, TR_TOKEN_ADDED_BYTES_MAX);
    }
    return TR_OK;
}

/* ByteLevel, which has the space before a part and GPT-2's expression, is the last step. */
static enum tr_status check_splits(const struct tr_token_spec *spec, struct tr_err *err)
{
    TR_ASSERT(spec->split_count >= 0 && spec->split_count <= TR_TOKEN_SPLITS_MAX);
    for (int i = 0; i < spec->split_count; i++) {
        int left = spec->split_count - 1 - i;
        if (spec->splits[i] == TR_SPLIT_PREFIX_SPACE && left > 0 && (left > 1 || spec->splits[i + 1] != TR_SPLIT_GPT2))
            return tr_fail(err, TR_BAD_INPUT, "%s: a space before each part comes last, or last but for GPT-2's "
                           "expression", spec->source);
    }
    return TR_OK;
}

static enum tr_status make_arrays(struct tr_token *token, const struct tr_token_spec *spec, struct tr_err *err)
{
    token->vocab = spec->vocab_count;
    while (token->vocab > 0 && !spec->vocab[token->vocab - 1].at)
        token->vocab--;
    for (int64_t i = 0; i < spec->added_count; i++)
        token->vocab = tr_max_i64(token->vocab, spec->added[i].id + 1);
    if (token->vocab == 0)
        return tr_fail(err, TR_BAD_INPUT, "%s: the vocabulary is empty", spec->source);
    uint64_t size = table_size(token->vocab);
    token->by_bytes.mask = size - 1;
    token->bytes = tr_arena_array(&token->arena, token->vocab, sizeof *token->bytes, err);
    token->literal = token->bytes ? tr_arena_array(&token->arena, token->vocab, sizeof *token->literal, err) : NULL;
    token->added_of = token->literal ? tr_arena_array(&token->arena, token->vocab, sizeof *token->added_of, err) : NULL;
    token->by_bytes.id =
        token->added_of ? tr_arena_array(&token->arena, (int64_t)size, sizeof *token->by_bytes.id, err) : NULL;
    if (!token->by_bytes.id)
        return TR_FAILED;
    memset(token->by_bytes.id, 0xFF, size * sizeof *token->by_bytes.id);
    return TR_OK;
}

static void enter(struct tr_token *token, int32_t id)
{
    uint64_t at = tr_hash_bytes(token->bytes[id].at, (size_t)token->bytes[id].bytes);
    while (token->by_bytes.id[at & token->by_bytes.mask] >= 0)
        at++;
    token->by_bytes.id[at & token->by_bytes.mask] = id;
}

/* A token that is not written in the alphabet can be made by no merge; it decodes to what is written. Its bytes go to
 * `pool`, which has room for the spelling of every token. */
static enum tr_status read_one(struct tr_token *token, const struct tr_token_spec *spec, int32_t id, char **pool,
                               struct tr_err *err)
{
    struct tr_string spelled = spec->vocab[id];
    char shown[80], *to = *pool;
    int64_t count = tr_alphabet_read(spelled, (uint8_t *)to);
    token->literal[id] = count < 0;
    if (count < 0) {
        count = spelled.bytes;
        memcpy(to, spelled.at, (size_t)count);
    }
    int32_t same = token->literal[id] ? -1 : tr_vocab_find(token, to, (size_t)count);
    if (same >= 0)
        return tr_fail(err, TR_BAD_INPUT, "%s: tokens %d and %d are both \"%s\"", spec->source, same, id,
                       show(spelled, shown));
    token->bytes[id] = (struct tr_string){to, count};
    *pool += count;
    if (!token->literal[id])
        enter(token, id);
    return TR_OK;
}

static enum tr_status measure_vocab(const struct tr_token_spec *spec, int64_t *bytes, struct tr_err *err)
{
    *bytes = 0;
    for (int64_t id = 0; id < spec->vocab_count; id++) {
        struct tr_string spelled = spec->vocab[id];
        if (!spelled.at)
            continue;
        if (spelled.bytes <= 0 || spelled.bytes > TR_TOKEN_BYTES_MAX)
            return tr_fail(err, TR_BAD_INPUT, "%s: token %lld has %lld bytes; expected 1 to %d", spec->source,
                           (long long)id, (long long)spelled.bytes, TR_TOKEN_BYTES_MAX);
        *bytes += spelled.bytes;
    }
    return TR_OK;
}

static enum tr_status read_vocab(struct tr_token *token, const struct tr_token_spec *spec, struct tr_err *err)
{
    int64_t bytes;
    enum tr_status status = measure_vocab(spec, &bytes, err);
    char *pool = status == TR_OK ? tr_arena_alloc(&token->arena, bytes, err) : NULL;
    if (!pool)
        return status == TR_OK ? TR_FAILED : status;
    for (int64_t id = 0; id < spec->vocab_count && status == TR_OK; id++)
        if (spec->vocab[id].at)
            status = read_one(token, spec, (int32_t)id, &pool, err);
    for (int i = 0; i < 256; i++) {
        uint8_t byte = (uint8_t)i;
        token->byte_id[i] = tr_vocab_find(token, &byte, 1);
        token->missing_bytes += token->byte_id[i] < 0;
    }
    return status;
}

/* ---- merges ------------------------------------------------------------------------------------------------------ */

static enum tr_status find_part(const struct tr_token *token, const struct tr_token_spec *spec, int64_t rank,
                                struct tr_string part, uint8_t *scratch, int64_t *bytes, int32_t *id,
                                struct tr_err *err)
{
    char shown[80];
    *bytes = part.bytes > 0 && part.bytes <= TR_TOKEN_BYTES_MAX ? tr_alphabet_read(part, scratch) : -1;
    *id = *bytes > 0 ? tr_vocab_find(token, scratch, (size_t)*bytes) : -1;
    if (*id < 0)
        return tr_fail(err, TR_BAD_INPUT, "%s: merge %lld: \"%s\" is not in the vocabulary", spec->source,
                       (long long)rank, show(part, shown));
    return TR_OK;
}

static enum tr_status read_merge(struct tr_token *token, const struct tr_token_spec *spec, int64_t rank,
                                 uint8_t *scratch, struct tr_err *err)
{
    const struct tr_merge *merge = &spec->merges[rank];
    int64_t left_bytes, right_bytes;
    int32_t left, right;
    char a[80], b[80];
    enum tr_status status = find_part(token, spec, rank, merge->left, scratch, &left_bytes, &left, err);
    if (status == TR_OK)
        status = find_part(token, spec, rank, merge->right, scratch + left_bytes, &right_bytes, &right, err);
    if (status != TR_OK)
        return status;
    int32_t made = tr_vocab_find(token, scratch, (size_t)(left_bytes + right_bytes));
    if (made < 0)
        return tr_fail(err, TR_BAD_INPUT, "%s: merge %lld makes a token that is not in the vocabulary: \"%s\" + \"%s\"",
                       spec->source, (long long)rank, show(merge->left, a), show(merge->right, b));
    uint64_t bit, hash = tr_pair_hash((uint32_t)left, (uint32_t)right);
    /* Of the same merge twice the later one counts, as in Hugging Face's reader. */
    *tr_merge_find(&token->merges, (uint32_t)left, (uint32_t)right, hash) =
        (struct tr_merge_slot){(uint32_t)left, (uint32_t)right, (uint32_t)rank, (uint32_t)made};
    *tr_merge_word(&token->merges, hash, &bit) |= bit;
    token->merge[rank][0] = left;
    token->merge[rank][1] = right;
    return TR_OK;
}

static enum tr_status make_byte_pairs(struct tr_token *token, struct tr_err *err)
{
    token->byte_pair = tr_arena_array(&token->arena, 256 * 256, sizeof *token->byte_pair, err);
    for (int i = 0; token->byte_pair && i < 256 * 256; i++) {
        int32_t left = token->byte_id[i >> 8], right = token->byte_id[i & 0xFF];
        token->byte_pair[i] = (struct tr_pair_merge){TR_NO_RANK, 0};
        if (left >= 0 && right >= 0)
            token->byte_pair[i] = tr_merge_of(&token->merges, (uint32_t)left, (uint32_t)right);
    }
    return token->byte_pair ? TR_OK : TR_FAILED;
}

static enum tr_status read_merges(struct tr_token *token, const struct tr_token_spec *spec, struct tr_err *err)
{
    uint64_t size = table_size(spec->merge_count);
    token->merge_count = spec->merge_count;
    token->merge = tr_arena_array(&token->arena, spec->merge_count, sizeof *token->merge, err);
    token->merges.slot =
        token->merge ? tr_arena_array(&token->arena, (int64_t)size, sizeof *token->merges.slot, err) : NULL;
    token->merges.may_merge = /* zeros */
        token->merges.slot ? tr_arena_array(&token->arena, (int64_t)size * TR_MERGE_BITS / 64, sizeof *token->merges.may_merge, err) : NULL;
    uint8_t *scratch = malloc(2 * TR_TOKEN_BYTES_MAX);
    enum tr_status status = TR_OK;
    if (!token->merges.may_merge || !scratch) {
        free(scratch);
        return tr_fail(err, TR_FAILED, "out of memory for %lld merges", (long long)spec->merge_count);
    }
    token->merges.mask = size - 1;
    for (uint64_t i = 0; i < size; i++)
        token->merges.slot[i].rank = TR_NO_RANK;
    for (int64_t rank = 0; rank < spec->merge_count && status == TR_OK; rank++)
        status = read_merge(token, spec, rank, scratch, err);
    free(scratch);
    return status == TR_OK ? make_byte_pairs(token, err) : status;
}

/* ---- added tokens, and ids that are named ------------------------------------------------------------------------ */

/* The id of the vocabulary's token that is written like this, -1: none. */
static int64_t find_spelled(const struct tr_token *token, struct tr_string spelled)
{
    uint8_t bytes[TR_TOKEN_ADDED_BYTES_MAX];
    int64_t count = tr_alphabet_read(spelled, bytes);
    return count >= 0 ? tr_vocab_find(token, bytes, (size_t)count) : -1;
}

static enum tr_status place_added(struct tr_token *token, const struct tr_token_spec *spec, struct tr_err *err)
{
    char a[80], b[80];
    enum tr_status status = tr_added_build(token, spec, err);
    for (int64_t i = 0; i < token->added_count && status == TR_OK; i++) {
        const struct tr_added *added = &token->added[i];
        struct tr_string want = added->content, have = {0};
        if (token->added_of[added->id])
            have = token->added[token->added_of[added->id] - 1].content;
        else if (added->id < spec->vocab_count)
            have = spec->vocab[added->id];
        if (have.at && (have.bytes != want.bytes || memcmp(have.at, want.at, (size_t)have.bytes) != 0))
            return tr_fail(err, TR_BAD_INPUT, "%s: id %d is the added token \"%s\" and also \"%s\"", spec->source,
                           added->id, show(want, a), show(have, b));
        int64_t other = find_spelled(token, want);
        if (other >= 0 && other != added->id)
            return tr_fail(err, TR_BAD_INPUT, "%s: the added token \"%s\" has id %d, and %lld in the vocabulary",
                           spec->source, show(want, a), added->id, (long long)other);
        token->added_of[added->id] = (int32_t)i + 1;
    }
    return status;
}

static enum tr_status check_id(const struct tr_token *token, const struct tr_token_spec *spec, int64_t id,
                               const char *what, struct tr_err *err)
{
    if (!tr_token_bytes(token, id).at)
        return tr_fail(err, TR_BAD_INPUT, "%s: %s is id %lld, which is no token (the vocabulary is 0 to %lld)",
                       spec->source, what, (long long)id, (long long)token->vocab - 1);
    return TR_OK;
}

static enum tr_status take_ids(struct tr_token *token, const struct tr_token_spec *spec, struct tr_err *err)
{
    enum tr_status status = TR_OK;
    TR_ASSERT(spec->before_count <= TR_TOKEN_AROUND_MAX && spec->after_count <= TR_TOKEN_AROUND_MAX);
    token->unknown = spec->has_unknown ? (int32_t)spec->unknown : -1;
    token->before_count = spec->before_count;
    token->after_count = spec->after_count;
    if (spec->has_unknown)
        status = check_id(token, spec, spec->unknown, "the unknown token", err);
    for (int i = 0; i < spec->before_count && status == TR_OK; i++) {
        token->before[i] = (int32_t)spec->before[i];
        status = check_id(token, spec, spec->before[i], "the token before a text", err);
    }
    for (int i = 0; i < spec->after_count && status == TR_OK; i++) {
        token->after[i] = (int32_t)spec->after[i];
        status = check_id(token, spec, spec->after[i], "the token behind a text", err);
    }
    return status;
}

/* ---- the sum ----------------------------------------------------------------------------------------------------- */

static void sum_int(struct tr_sha256 *sum, int64_t value)
{
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)((uint64_t)value >> (8 * i));
    tr_sha256_update(sum, bytes, sizeof bytes);
}

static void sum_string(struct tr_sha256 *sum, struct tr_string string)
{
    sum_int(sum, string.at ? string.bytes : -1);
    if (string.at)
        tr_sha256_update(sum, string.at, (size_t)string.bytes);
}

static enum tr_status sum_all(struct tr_token *token, struct tr_err *err)
{
    struct tr_sha256 sum;
    uint8_t digest[TR_SHA256_BYTES];
    enum tr_status status = tr_sha256_start(&sum, err);
    if (status != TR_OK)
        return status;
    sum_int(&sum, token->vocab);
    for (int64_t id = 0; id < token->vocab; id++) {
        sum_int(&sum, token->literal[id]);
        sum_string(&sum, token->bytes[id]);
    }
    sum_int(&sum, token->merge_count);
    for (int64_t i = 0; i < token->merge_count; i++)
        sum_int(&sum, (int64_t)token->merge[i][0] << 32 | token->merge[i][1]);
    sum_int(&sum, token->added_count);
    for (int64_t i = 0; i < token->added_count; i++) {
        const struct tr_added *a = &token->added[i];
        sum_string(&sum, a->content);
        sum_int(&sum, (int64_t)a->id << 8 | a->special << 4 | a->lstrip << 3 | a->rstrip << 2 | a->single_word << 1 |
                          a->is_normalized);
    }
    sum_int(&sum, token->normalizer);
    for (int i = 0; i < token->split_count; i++)
        sum_int(&sum, token->splits[i]);
    sum_int(&sum, token->ignore_merges << 1 | token->fuse_unknown);
    sum_int(&sum, token->unknown);
    tr_sha256_finish(&sum, digest);
    tr_sha256_hex(digest, token->sha256);
    return TR_OK;
}

/* ---- all of it --------------------------------------------------------------------------------------------------- */

static enum tr_status fill(struct tr_token *token, const struct tr_token_spec *spec, struct tr_err *err)
{
    enum tr_status status = check_limits(spec, err);
    if (status == TR_OK)
        status = check_splits(spec, err);
    token->normalizer = spec->normalizer;
    token->split_count = spec->split_count;
    memcpy(token->splits, spec->splits, sizeof token->splits);
    token->ignore_merges = spec->ignore_merges;
    token->fuse_unknown = spec->fuse_unknown;
    if (status == TR_OK)
        status = make_arrays(token, spec, err);
    if (status == TR_OK)
        status = read_vocab(token, spec, err);
    if (status == TR_OK)
        status = read_merges(token, spec, err);
    if (status == TR_OK)
        status = place_added(token, spec, err);
    if (status == TR_OK)
        status = take_ids(token, spec, err);
    return status == TR_OK ? sum_all(token, err) : status;
}

enum tr_status tr_token_make(const struct tr_token_spec *spec, struct tr_token **out, struct tr_err *err)
{
    struct tr_token *token = calloc(1, sizeof *token);
    if (!token)
        return tr_fail(err, TR_FAILED, "out of memory for a tokenizer");
    tr_arena_init(&token->arena, "tokenizer", ARENA_MAX_BYTES);
    enum tr_status status = fill(token, spec, err);
    if (status != TR_OK) {
        tr_token_free(token);
        return status;
    }
    *out = token;
    return TR_OK;
}

void tr_token_free(struct tr_token *token)
{
    if (!token)
        return;
    tr_arena_free(&token->arena);
    free(token);
}

/* ---- asking ------------------------------------------------------------------------------------------------------ */

int64_t tr_token_vocab(const struct tr_token *token) { return token->vocab; }
int64_t tr_token_merge_count(const struct tr_token *token) { return token->merge_count; }
int tr_token_missing_bytes(const struct tr_token *token) { return token->missing_bytes; }
const char *tr_token_sha256(const struct tr_token *token) { return token->sha256; }

struct tr_string tr_token_bytes(const struct tr_token *token, int64_t id)
{
    if (id < 0 || id >= token->vocab)
        return (struct tr_string){0};
    return token->added_of[id] ? token->added[token->added_of[id] - 1].content : token->bytes[id];
}

bool tr_token_is_added(const struct tr_token *token, int64_t id)
{
    return id >= 0 && id < token->vocab && token->added_of[id];
}

bool tr_token_is_special(const struct tr_token *token, int64_t id)
{
    return tr_token_is_added(token, id) && token->added[token->added_of[id] - 1].special;
}

void tr_token_merge(const struct tr_token *token, int64_t rank, int32_t ids[2])
{
    TR_ASSERT(rank >= 0 && rank < token->merge_count);
    ids[0] = token->merge[rank][0];
    ids[1] = token->merge[rank][1];
}

int tr_token_before(const struct tr_token *token, const int32_t **ids)
{
    *ids = token->before;
    return token->before_count;
}

int tr_token_after(const struct tr_token *token, const int32_t **ids)
{
    *ids = token->after;
    return token->after_count;
}

int64_t tr_token_find(const struct tr_token *token, const char *bytes, size_t count)
{
    for (int64_t i = 0; i < token->added_count; i++) {
        struct tr_string content = token->added[i].content;
        if (content.bytes == (int64_t)count && memcmp(content.at, bytes, count) == 0)
            return token->added[i].id;
    }
    return tr_vocab_find(token, bytes, count);
}

int64_t tr_token_end_id(const struct tr_token *token)
{
    static const char *const names[] = {"<|endoftext|>", "<|end_of_text|>", "<|eot_id|>", "</s>", "<|im_end|>",
                                        "<eos>"};
    for (size_t n = 0; n < sizeof names / sizeof *names; n++)
        for (int64_t i = 0; i < token->added_count; i++) {
            struct tr_string content = token->added[i].content;
            if (content.bytes == (int64_t)strlen(names[n]) && memcmp(content.at, names[n], strlen(names[n])) == 0)
                return token->added[i].id;
        }
    return -1;
}

/* ---- spec helpers ------------------------------------------------------------------------------------------------ */

enum tr_status tr_merge_from_line(struct tr_string line, struct tr_merge *out, struct tr_err *err)
{
    char shown[80];
    const char *space = line.bytes > 0 ? memchr(line.at, ' ', (size_t)line.bytes) : NULL;
    int64_t left = space ? space - line.at : 0, right = line.bytes - left - 1;
    if (!space || left == 0 || right == 0 || memchr(space + 1, ' ', (size_t)right))
        return tr_fail(err, TR_BAD_INPUT, "a merge is two tokens with one space between them, got \"%s\"",
                       show(line, shown));
    *out = (struct tr_merge){{line.at, left}, {space + 1, right}};
    return TR_OK;
}

static const struct {
    const char *name;
    enum tr_split splits[2];
    int count;
    enum tr_normalizer normalizer;
    bool ignore_merges;
} pre_names[] = {
    {"gpt-2", {TR_SPLIT_GPT2}, 1, TR_NORMALIZER_NONE, false},
    {"llama-bpe", {TR_SPLIT_LLAMA3}, 1, TR_NORMALIZER_NONE, true},
    {"llama3", {TR_SPLIT_LLAMA3}, 1, TR_NORMALIZER_NONE, true},
    {"qwen2", {TR_SPLIT_QWEN2}, 1, TR_NORMALIZER_NFC, false},
    {"smollm", {TR_SPLIT_DIGITS, TR_SPLIT_GPT2}, 2, TR_NORMALIZER_NONE, false},
    {"starcoder", {TR_SPLIT_DIGITS, TR_SPLIT_GPT2}, 2, TR_NORMALIZER_NONE, false},
    {"smaug-bpe", {TR_SPLIT_LLAMA3}, 1, TR_NORMALIZER_NONE, false},
};

enum { PRE_COUNT = sizeof pre_names / sizeof *pre_names };

enum tr_status tr_token_spec_pre(struct tr_token_spec *spec, const char *name, struct tr_err *err)
{
    struct tr_text list = {0};
    for (int i = 0; i < PRE_COUNT; i++) {
        if (strcmp(pre_names[i].name, name) == 0) {
            memcpy(spec->splits, pre_names[i].splits, sizeof pre_names[i].splits);
            spec->split_count = pre_names[i].count;
            spec->normalizer = pre_names[i].normalizer;
            spec->ignore_merges = pre_names[i].ignore_merges;
            tr_text_free(&list);
            return TR_OK;
        }
        tr_text_printf(&list, "%s%s", i ? ", " : "", pre_names[i].name);
    }
    enum tr_status status = tr_fail(err, TR_BAD_INPUT, "%s: the pre-tokenizer \"%.40s\" is not known; known are %s",
                                    spec->source, name, tr_text_str(&list));
    tr_text_free(&list);
    return status;
}

const char *tr_token_pre(const struct tr_token *token)
{
    const char *near = NULL;
    for (int i = 0; i < PRE_COUNT; i++) {
        bool same = token->split_count == pre_names[i].count && token->ignore_merges == pre_names[i].ignore_merges;
        for (int s = 0; same && s < token->split_count; s++)
            same = token->splits[s] == pre_names[i].splits[s];
        if (same && token->normalizer == pre_names[i].normalizer)
            return pre_names[i].name;
        if (same && !near)
            near = pre_names[i].name;
    }
    return near;
}

enum tr_status tr_token_make_bytes(struct tr_token **out, struct tr_err *err)
{
    struct tr_text letters = {0};
    struct tr_string vocab[256];
    size_t begin[257];
    for (int b = 0; b < 256; b++) {
        begin[b] = letters.len;
        tr_alphabet_append(&letters, (uint8_t)b);
    }
    begin[256] = letters.len;
    if (tr_text_failed(&letters, err))
        return TR_FAILED;
    for (int b = 0; b < 256; b++)
        vocab[b] = (struct tr_string){letters.at + begin[b], (int64_t)(begin[b + 1] - begin[b])};
    static const char end[] = "<|endoftext|>";
    const struct tr_added_token added = {.content = {end, sizeof end - 1}, .id = 256, .special = true};
    const struct tr_token_spec spec = {.source = "bytes", .vocab = vocab, .vocab_count = 256, .added = &added,
                                       .added_count = 1, .splits = {TR_SPLIT_GPT2}, .split_count = 1};
    enum tr_status status = tr_token_make(&spec, out, err);
    tr_text_free(&letters);
    return status;
}
