/* Added tokens: found wherever they stand, the longest at a place, before anything is split. A trie is walked from each
 * byte at which one may begin; no token is longer than TR_TOKEN_ADDED_BYTES_MAX, so the time is linear. */
#include "lab/token/unicode.h"
#include "lab/token/vocab.h"

#include <string.h>

/* ---- building ---------------------------------------------------------------------------------------------------- */

static int32_t child_of(const struct tr_trie *trie, int32_t node, uint8_t byte)
{
    int32_t child = trie->node[node].child;
    while (child && trie->node[child].byte != byte)
        child = trie->node[child].sibling;
    return child;
}

/* Of two tokens that are looked for as the same bytes the first one counts. */
static void insert(struct tr_trie *trie, struct tr_string content, int32_t index)
{
    int32_t node = 0;
    for (int64_t i = 0; i < content.bytes; i++) {
        uint8_t byte = (uint8_t)content.at[i];
        int32_t child = child_of(trie, node, byte);
        if (!child) {
            child = trie->count++;
            trie->node[child] = (struct tr_trie_node){.sibling = trie->node[node].child, .added = -1, .byte = byte};
            trie->node[node].child = child;
        }
        node = child;
    }
    trie->starts[(uint8_t)content.at[0]] = true;
    if (trie->node[node].added < 0)
        trie->node[node].added = index;
}

static enum tr_status build_trie(struct tr_token *token, struct tr_trie *trie, bool normalized, struct tr_err *err)
{
    int64_t nodes = 1;
    for (int64_t i = 0; i < token->added_count; i++)
        nodes += token->added[i].normalized.bytes;
    trie->node = tr_arena_array(&token->arena, nodes, sizeof *trie->node, err);
    if (!trie->node)
        return TR_FAILED;
    trie->node[0].added = -1;
    trie->count = 1;
    for (int special = 1; special >= 0; special--) /* Hugging Face looks for the special ones first */
        for (int64_t i = 0; i < token->added_count; i++) {
            const struct tr_added *added = &token->added[i];
            if (added->special == (special == 1) && added->is_normalized == normalized && added->normalized.bytes > 0)
                insert(trie, added->normalized, (int32_t)i);
        }
    return TR_OK;
}

static enum tr_status copy_one(struct tr_token *token, const struct tr_added_token *from, struct tr_added *to,
                               struct tr_err *err)
{
    struct tr_text normal = {0};
    *to = (struct tr_added){.id = (int32_t)from->id, .special = from->special, .lstrip = from->lstrip,
                            .rstrip = from->rstrip, .single_word = from->single_word,
                            .is_normalized = from->normalized && token->normalizer != TR_NORMALIZER_NONE};
    to->content = (struct tr_string){tr_arena_copy(&token->arena, from->content.at, from->content.bytes, err),
                                     from->content.bytes};
    to->normalized = to->content;
    enum tr_status status = to->content.at ? TR_OK : TR_FAILED;
    if (status == TR_OK && to->is_normalized)
        status = tr_nfc(from->content.at, (size_t)from->content.bytes, &normal, err);
    if (status == TR_OK && to->is_normalized) {
        char *copy = tr_arena_copy(&token->arena, tr_text_str(&normal), (int64_t)normal.len, err);
        to->normalized = (struct tr_string){copy, (int64_t)normal.len};
        status = to->normalized.at ? TR_OK : TR_FAILED;
    }
    tr_text_free(&normal);
    return status;
}

static bool is_ascii_letter(uint8_t byte) { return (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z'); }

/* A cut is between a letter and a space. A token that could reach over it, or look at it, forbids all cuts. */
static bool leaves_cuts_alone(const struct tr_added *added)
{
    const char *at = added->normalized.at;
    int64_t bytes = added->normalized.bytes;
    return !memchr(at, ' ', (size_t)bytes) && !(is_ascii_letter((uint8_t)at[bytes - 1]) && added->rstrip);
}

enum tr_status tr_added_build(struct tr_token *token, const struct tr_token_spec *spec, struct tr_err *err)
{
    token->added_count = spec->added_count;
    token->cuts = true;
    token->added = tr_arena_array(&token->arena, spec->added_count, sizeof *token->added, err);
    if (!token->added)
        return TR_FAILED;
    for (int64_t i = 0; i < spec->added_count; i++) {
        enum tr_status status = copy_one(token, &spec->added[i], &token->added[i], err);
        if (status != TR_OK)
            return status;
        token->cuts = token->cuts && leaves_cuts_alone(&token->added[i]);
    }
    enum tr_status status = build_trie(token, &token->raw, false, err);
    return status == TR_OK ? build_trie(token, &token->normalized, true, err) : status;
}

/* ---- finding ----------------------------------------------------------------------------------------------------- */

static int classes_before(const uint8_t *text, size_t at)
{
    int length;
    size_t begin = at;
    do
        begin--;
    while (begin > 0 && at - begin < 4 && (text[begin] & 0xC0) == 0x80);
    int32_t c = tr_utf8_next(text + begin, text + at, &length);
    return begin + (size_t)length == at ? tr_unicode_classes(c) : 0;
}

static int classes_behind(const uint8_t *text, size_t at, size_t bytes, size_t *next)
{
    int length;
    int32_t c = tr_utf8_next(text + at, text + bytes, &length);
    *next = at + (size_t)length;
    return tr_unicode_classes(c);
}

static bool stands_alone(const uint8_t *text, size_t begin, size_t end, size_t bytes)
{
    size_t next;
    return (begin == 0 || !(classes_before(text, begin) & TR_WORD)) &&
           (end == bytes || !(classes_behind(text, end, bytes, &next) & TR_WORD));
}

/* White space that was walked once is not walked again: tokens of white space could make that quadratic. */
static void take_spaces(const struct tr_added *added, const uint8_t *text, size_t bytes,
                        struct tr_added_search *search, struct tr_added_match *match)
{
    size_t next;
    while (added->lstrip && match->begin > search->done && (classes_before(text, match->begin) & TR_SPACE)) {
        do
            match->begin--;
        while ((text[match->begin] & 0xC0) == 0x80);
    }
    if (!added->rstrip)
        return;
    if (match->end < search->spaces_end)
        match->end = search->spaces_end;
    while (match->end < bytes && (classes_behind(text, match->end, bytes, &next) & TR_SPACE))
        match->end = next;
    search->spaces_end = match->end;
}

/* The longest token that begins at `at`, NULL when there is none. */
static const struct tr_added *longest_at(const struct tr_token *token, const struct tr_trie *trie, const uint8_t *text,
                                         size_t bytes, size_t at)
{
    const struct tr_added *found = NULL;
    for (int32_t node = 0; at < bytes && (node = child_of(trie, node, text[at])) != 0; at++)
        if (trie->node[node].added >= 0)
            found = &token->added[trie->node[node].added];
    return found;
}

bool tr_added_find(const struct tr_token *token, const struct tr_trie *trie, const char *text, size_t bytes,
                   struct tr_added_search *search, struct tr_added_match *out)
{
    const uint8_t *at = (const uint8_t *)text;
    size_t from = search->from;
    if (trie->count == 1)
        return false;
    while (from < bytes) {
        const struct tr_added *added = trie->starts[at[from]] ? longest_at(token, trie, at, bytes, from) : NULL;
        if (!added) {
            from++;
            continue;
        }
        struct tr_added_match match = {.begin = from, .end = from + (size_t)added->normalized.bytes, .id = added->id};
        match.next = match.end;
        if (!added->single_word || stands_alone(at, match.begin, match.end, bytes)) {
            take_spaces(added, at, bytes, search, &match);
            *out = match;
            return true;
        }
        from = match.next;
    }
    return false;
}
