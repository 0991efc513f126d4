#include "lab/token/learn.h"

#include "base/num.h"
#include "base/quantity.h"
#include "lab/token/pairs.h"
#include "lab/token/pieces.h"
#include "lab/token/vocab.h"

#include <stdlib.h>
#include <string.h>

#define ARENA_MAX_BYTES ((int64_t)4 << 30)
#define TAKEN UINT32_MAX

struct tr_learner {
    struct tr_learn_config config;
    struct tr_token *form; /* the 256 bytes, split and normalised as wanted */
    struct tr_encoder *encoder;
    struct tr_pieces pieces;

    /* Merging. A place is a byte of the distinct pieces; a symbol stands at its first byte. */
    uint32_t *symbol, *before, *behind, *piece_of;
    struct tr_pairs pairs;
    uint32_t *places; /* of the pair that is merged now */
    int64_t place_room;

    /* The vocabulary so far. */
    struct tr_arena arena;
    struct tr_string *bytes; /* by id */
    int64_t count;
    int64_t special_count;
    uint32_t (*merge)[2];
    int64_t merge_count, merge_room;
    int32_t *by_bytes; /* open addressing, -1: empty */
    uint64_t mask;
};

/* ---- pieces ------------------------------------------------------------------------------------------------------ */

static enum tr_status check_config(const struct tr_learn_config *config, struct tr_err *err)
{
    if (config->special_count > TR_LEARN_SPECIAL_MAX)
        return tr_fail(err, TR_BAD_INPUT, "%d special tokens; expected at most %d", config->special_count,
                       TR_LEARN_SPECIAL_MAX);
    if (config->vocab < 256 + config->special_count || config->vocab > TR_TOKEN_VOCAB_MAX)
        return tr_fail(err, TR_BAD_INPUT,
                       "a vocabulary of %lld tokens; expected %d (256 bytes and the special tokens) to %d",
                       (long long)config->vocab, 256 + config->special_count, TR_TOKEN_VOCAB_MAX);
    for (int i = 0; i < config->special_count; i++)
        for (int k = 0; k < i; k++)
            if (strcmp(config->special[i], config->special[k]) == 0)
                return tr_fail(err, TR_BAD_INPUT, "the special token \"%.40s\" is given twice", config->special[i]);
    TR_ASSERT(config->max_piece_bytes <= TR_LEARN_BYTES_MAX);
    return TR_OK;
}

/* A tokenizer without merges, to split by. */
static enum tr_status make_form(const struct tr_token_spec *form, struct tr_token **out, struct tr_err *err)
{
    struct tr_string vocab[256];
    struct tr_text letters = {0};
    size_t end[256];
    for (int i = 0; i < 256; i++) {
        tr_alphabet_append(&letters, (uint8_t)i);
        end[i] = letters.len;
    }
    enum tr_status status = tr_text_failed(&letters, err) ? TR_FAILED : TR_OK;
    for (int i = 0; i < 256; i++) {
        size_t begin = i ? end[i - 1] : 0;
        vocab[i] = (struct tr_string){letters.at + begin, (int64_t)(end[i] - begin)};
    }
    struct tr_token_spec spec = *form;
    spec.vocab = vocab;
    spec.vocab_count = 256;
    spec.merge_count = spec.added_count = spec.before_count = spec.after_count = 0;
    spec.has_unknown = false;
    if (status == TR_OK)
        status = tr_token_make(&spec, out, err);
    tr_text_free(&letters);
    return status;
}

enum tr_status tr_learner_make(const struct tr_learn_config *config, struct tr_learner **out, struct tr_err *err)
{
    enum tr_status status = check_config(config, err);
    struct tr_learner *l = status == TR_OK ? calloc(1, sizeof *l) : NULL;
    if (!l)
        return status == TR_OK ? tr_fail(err, TR_FAILED, "out of memory for training a vocabulary") : status;
    l->config = *config;
    l->pieces.max_count = config->max_pieces ? config->max_pieces : TR_LEARN_PIECES_DEFAULT;
    l->pieces.max_bytes = config->max_piece_bytes ? config->max_piece_bytes : TR_LEARN_BYTES_DEFAULT;
    tr_arena_init(&l->arena, "trained vocabulary", ARENA_MAX_BYTES);
    status = make_form(config->form, &l->form, err);
    if (status == TR_OK)
        status = tr_encoder_make(l->form, &l->encoder, err);
    if (status != TR_OK) {
        tr_learner_free(l);
        return status;
    }
    *out = l;
    return TR_OK;
}

static enum tr_status add_piece(void *context, const char *piece, size_t bytes, struct tr_err *err)
{
    return tr_pieces_add(context, piece, bytes, err);
}

enum tr_status tr_learner_add(struct tr_learner *l, const char *text, size_t bytes, struct tr_err *err)
{
    return tr_encoder_pieces(l->encoder, text, bytes, add_piece, &l->pieces, err);
}

int64_t tr_learner_pieces(const struct tr_learner *l) { return l->pieces.count; }
int64_t tr_learner_dropped(const struct tr_learner *l) { return l->pieces.dropped; }
const struct tr_token *tr_learner_form(const struct tr_learner *l) { return l->form; }

/* ---- the vocabulary ---------------------------------------------------------------------------------------------- */

static int32_t *find(const struct tr_learner *l, const char *bytes, int64_t count)
{
    for (uint64_t at = tr_hash_bytes(bytes, (size_t)count);; at++) {
        int32_t *slot = &l->by_bytes[at & l->mask];
        if (*slot < 0)
            return slot;
        const struct tr_string *have = &l->bytes[*slot];
        if (have->bytes == count && memcmp(have->at, bytes, (size_t)count) == 0)
            return slot;
    }
}

static enum tr_status add_token(struct tr_learner *l, const char *bytes, int64_t count, struct tr_err *err)
{
    char *copy = tr_arena_copy(&l->arena, bytes, count, err);
    if (!copy)
        return TR_FAILED;
    *find(l, bytes, count) = (int32_t)l->count;
    l->bytes[l->count++] = (struct tr_string){copy, count};
    return TR_OK;
}

static int by_letter(const void *a, const void *b)
{
    return tr_alphabet_letter(*(const uint8_t *)a) - tr_alphabet_letter(*(const uint8_t *)b);
}

static enum tr_status start_vocab(struct tr_learner *l, struct tr_err *err)
{
    uint8_t byte[256];
    uint64_t size = 1024;
    while (size < 2 * (uint64_t)l->config.vocab)
        size *= 2;
    l->mask = size - 1;
    l->bytes = tr_arena_array(&l->arena, l->config.vocab, sizeof *l->bytes, err);
    l->by_bytes = l->bytes ? tr_arena_array(&l->arena, (int64_t)size, sizeof *l->by_bytes, err) : NULL;
    if (!l->by_bytes)
        return TR_FAILED;
    memset(l->by_bytes, 0xFF, size * sizeof *l->by_bytes);
    enum tr_status status = TR_OK;
    for (int i = 0; i < l->config.special_count && status == TR_OK; i++)
        status = add_token(l, l->config.special[i], (int64_t)strlen(l->config.special[i]), err);
    l->special_count = l->count;
    for (int i = 0; i < 256; i++)
        byte[i] = (uint8_t)i;
    qsort(byte, 256, 1, by_letter);
    for (int i = 0; i < 256 && status == TR_OK; i++)
        if (*find(l, (const char *)&byte[i], 1) < 0) /* a special token may be one letter */
            status = add_token(l, (const char *)&byte[i], 1, err);
    return status;
}

/* ---- places ------------------------------------------------------------------------------------------------------ */

static enum tr_status start_places(struct tr_learner *l, struct tr_err *err)
{
    size_t places = (size_t)l->pieces.pool_bytes + 1;
    l->symbol = malloc(places * sizeof *l->symbol);
    l->before = malloc(places * sizeof *l->before);
    l->behind = malloc(places * sizeof *l->behind);
    l->piece_of = malloc(places * sizeof *l->piece_of);
    enum tr_status status = tr_pairs_make(&l->pairs, l->pieces.pool_bytes, err);
    if (status == TR_OK && (!l->symbol || !l->before || !l->behind || !l->piece_of))
        status = tr_fail(err, TR_FAILED, "out of memory for %zu bytes of distinct pieces", places);
    for (int64_t i = 0; i < l->pieces.count && status == TR_OK; i++) {
        const struct tr_piece *piece = &l->pieces.piece[i];
        for (int64_t k = 0; k < piece->bytes; k++) {
            uint32_t at = (uint32_t)(piece->begin + k);
            l->symbol[at] = (uint32_t)*find(l, l->pieces.pool + at, 1);
            l->before[at] = k > 0 ? at - 1 : TR_NOWHERE;
            l->behind[at] = k + 1 < piece->bytes ? at + 1 : TR_NOWHERE;
            l->piece_of[at] = (uint32_t)i;
        }
        for (int64_t k = 0; k + 1 < piece->bytes && status == TR_OK; k++) {
            uint32_t at = (uint32_t)(piece->begin + k);
            status = tr_pairs_add(&l->pairs, l->symbol[at], l->symbol[at + 1], at, piece->count, err);
        }
    }
    return status == TR_OK ? tr_pairs_settle(&l->pairs, err) : status;
}

static void remove_pair(struct tr_learner *l, uint32_t place)
{
    int64_t count = l->pieces.piece[l->piece_of[place]].count;
    tr_pairs_remove(&l->pairs, l->symbol[place], l->symbol[l->behind[place]], place, count);
}

static enum tr_status add_pair(struct tr_learner *l, uint32_t place, struct tr_err *err)
{
    int64_t count = l->pieces.piece[l->piece_of[place]].count;
    return tr_pairs_add(&l->pairs, l->symbol[place], l->symbol[l->behind[place]], place, count, err);
}

static enum tr_status merge_at(struct tr_learner *l, uint32_t place, uint32_t made, struct tr_err *err)
{
    uint32_t right = l->behind[place], before = l->before[place], behind = l->behind[right];
    remove_pair(l, place);
    if (before != TR_NOWHERE)
        remove_pair(l, before);
    if (behind != TR_NOWHERE)
        remove_pair(l, right);
    l->symbol[place] = made;
    l->symbol[right] = TAKEN;
    l->behind[place] = behind;
    enum tr_status status = TR_OK;
    if (behind != TR_NOWHERE) {
        l->before[behind] = place;
        status = add_pair(l, place, err);
    }
    if (status == TR_OK && before != TR_NOWHERE)
        status = add_pair(l, before, err);
    return status;
}

static int by_place(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* The places of a pair from the left: of overlapping ones (aaa) the first is merged. */
static enum tr_status list_places(struct tr_learner *l, const struct tr_pair *pair, int64_t *count, struct tr_err *err)
{
    int64_t found = 0;
    for (uint32_t at = pair->head; at != TR_NOWHERE; at = l->pairs.later[at]) {
        if (found == l->place_room) {
            int64_t room = l->place_room ? 2 * l->place_room : 1024;
            uint32_t *places = realloc(l->places, (size_t)room * sizeof *places);
            if (!places)
                return tr_fail(err, TR_FAILED, "out of memory for %lld places of a pair", (long long)room);
            l->places = places;
            l->place_room = room;
        }
        l->places[found++] = at;
    }
    if (pair->left == pair->right)
        qsort(l->places, (size_t)found, sizeof *l->places, by_place);
    *count = found;
    return TR_OK;
}

static enum tr_status note_merge(struct tr_learner *l, uint32_t left, uint32_t right, struct tr_err *err)
{
    if (l->merge_count == TR_TOKEN_MERGES_MAX)
        return tr_fail(err, TR_FAILED, "more than %d merges", TR_TOKEN_MERGES_MAX);
    if (l->merge_count == l->merge_room) {
        int64_t room = l->merge_room ? 2 * l->merge_room : 1024;
        uint32_t(*merge)[2] = realloc(l->merge, (size_t)room * sizeof *merge);
        if (!merge)
            return tr_fail(err, TR_FAILED, "out of memory for %lld merges", (long long)room);
        l->merge = merge;
        l->merge_room = room;
    }
    l->merge[l->merge_count][0] = left;
    l->merge[l->merge_count++][1] = right;
    return TR_OK;
}

/* A pair becomes a token, or, when another pair has made the same bytes before, is one. */
static enum tr_status merge_pair(struct tr_learner *l, const struct tr_pair *best, struct tr_err *err)
{
    uint32_t left = best->left, right = best->right;
    struct tr_string a = l->bytes[left], b = l->bytes[right];
    int64_t places = 0;
    if (a.bytes + b.bytes > TR_LEARN_TOKEN_BYTES_MAX) /* off the heap, it does not come back */
        return TR_OK;
    char both[TR_LEARN_TOKEN_BYTES_MAX];
    memcpy(both, a.at, (size_t)a.bytes);
    memcpy(both + a.bytes, b.at, (size_t)b.bytes);
    int32_t made = *find(l, both, a.bytes + b.bytes);
    enum tr_status status = list_places(l, best, &places, err);
    if (status == TR_OK && made < 0) {
        made = (int32_t)l->count;
        status = add_token(l, both, a.bytes + b.bytes, err);
    }
    if (status == TR_OK)
        status = note_merge(l, left, right, err);
    for (int64_t i = 0; i < places && status == TR_OK; i++) {
        uint32_t at = l->places[i], behind = l->behind[at];
        if (l->symbol[at] == left && behind != TR_NOWHERE && l->symbol[behind] == right)
            status = merge_at(l, at, (uint32_t)made, err);
    }
    return status == TR_OK ? tr_pairs_settle(&l->pairs, err) : status;
}

static enum tr_status merge_all(struct tr_learner *l, struct tr_progress *bar, struct tr_err *err)
{
    int64_t least = tr_max_i64(1, l->config.min_count);
    enum tr_status status = TR_OK;
    while (l->count < l->config.vocab && status == TR_OK) {
        const struct tr_pair *best = tr_pairs_best(&l->pairs);
        if (!best || best->count < least)
            break;
        status = merge_pair(l, best, err);
        if (bar)
            tr_progress_update(bar, l->count, "%lld merges", (long long)l->merge_count);
    }
    return status;
}

/* ---- the tokenizer ----------------------------------------------------------------------------------------------- */

static enum tr_status spell(struct tr_learner *l, int64_t id, struct tr_string *out, struct tr_err *err)
{
    struct tr_text text = {0};
    struct tr_string bytes = l->bytes[id];
    for (int64_t i = 0; i < bytes.bytes && id >= l->special_count; i++)
        tr_alphabet_append(&text, (uint8_t)bytes.at[i]);
    if (id < l->special_count)
        tr_text_append_bytes(&text, bytes.at, (size_t)bytes.bytes);
    char *copy = tr_text_failed(&text, err) ? NULL : tr_arena_copy(&l->arena, text.at, (int64_t)text.len, err);
    *out = (struct tr_string){copy, (int64_t)text.len};
    tr_text_free(&text);
    return copy ? TR_OK : TR_FAILED;
}

static enum tr_status make_token(struct tr_learner *l, struct tr_token **out, struct tr_err *err)
{
    struct tr_string *vocab = tr_arena_array(&l->arena, l->count, sizeof *vocab, err);
    struct tr_merge *merges = vocab ? tr_arena_array(&l->arena, l->merge_count, sizeof *merges, err) : NULL;
    struct tr_added_token *added = merges ? tr_arena_array(&l->arena, l->special_count, sizeof *added, err) : NULL;
    enum tr_status status = added ? TR_OK : TR_FAILED;
    for (int64_t id = 0; id < l->count && status == TR_OK; id++)
        status = spell(l, id, &vocab[id], err);
    if (status != TR_OK)
        return status;
    for (int64_t i = 0; i < l->merge_count; i++)
        merges[i] = (struct tr_merge){vocab[l->merge[i][0]], vocab[l->merge[i][1]]};
    for (int64_t i = 0; i < l->special_count; i++)
        added[i] = (struct tr_added_token){.content = l->bytes[i], .id = i, .special = true};
    struct tr_token_spec spec = *l->config.form;
    spec.vocab = vocab;
    spec.vocab_count = l->count;
    spec.merges = merges;
    spec.merge_count = l->merge_count;
    spec.added = added;
    spec.added_count = l->special_count;
    return tr_token_make(&spec, out, err);
}

enum tr_status tr_learner_finish(struct tr_learner *l, struct tr_progress *bar, struct tr_token **out,
                                 struct tr_err *err)
{
    TR_ASSERT(!l->bytes);
    if (l->pieces.count == 0)
        return tr_fail(err, TR_BAD_INPUT, "there is no text to train a vocabulary on");
    enum tr_status status = start_vocab(l, err);
    if (status == TR_OK)
        status = start_places(l, err);
    if (status == TR_OK)
        status = merge_all(l, bar, err);
    return status == TR_OK ? make_token(l, out, err) : status;
}

void tr_learner_free(struct tr_learner *l)
{
    if (!l)
        return;
    tr_encoder_free(l->encoder);
    tr_token_free(l->form);
    tr_pieces_free(&l->pieces);
    tr_pairs_free(&l->pairs);
    free(l->symbol);
    free(l->before);
    free(l->behind);
    free(l->piece_of);
    free(l->places);
    free(l->merge);
    tr_arena_free(&l->arena);
    free(l);
}
