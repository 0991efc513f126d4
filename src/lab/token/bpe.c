/* The merges of one piece: again and again the pair of lowest rank, of these the leftmost. Short pieces are scanned; longer ones are
 * merged window by window, so that their time is linear and what they work on stays in the cache.
 *
 * Why windows may be joined. Let t1 ... tn be tokens that join to the piece, each two neighbours of which stand side by side in what some
 * window was merged to. Then the whole piece is merged to t1 ... tn: take the first merge of the whole that crosses a border, say the one
 * between ti and ti+1. Up to it the merges inside ti ti+1 were those, in that order, which ti ti+1 has by itself, for each was the lowest
 * among all and so the lowest there; so ti ti+1 by itself, and with it their window, would have had the merge too. So a window begins where
 * a token of the one before begins, and where its first token is that token again, the two are joined behind it. Nothing is asked of the
 * merges: not that they can all be reached, not that a token is made before it is used. */
#include "lab/token/vocab.h"

#include <stdlib.h>

/* ---- what is merged ---------------------------------------------------------------------------------------------- */

/* The symbols that a piece begins as: those of its bytes; or a list, where the vocabulary lacks a byte. */
struct source {
    const struct tr_token *token;
    const uint8_t *byte;    /* NULL: symbol */
    const uint32_t *symbol;
    size_t count;
};

/* Symbols from `begin` on, merged. */
struct window {
    size_t begin, width, count; /* width symbols have become count tokens */
    uint32_t *id, *length;      /* [width] in symbols; of which count are used */
};

static void read_symbols(const struct source *from, struct window *w)
{
    for (size_t i = 0; i < w->width; i++)
        w->id[i] = from->byte ? (uint32_t)from->token->byte_id[from->byte[w->begin + i]] : from->symbol[w->begin + i];
}

/* ---- few symbols: scanned ---------------------------------------------------------------------------------------- */

/* A symbol stays at its place; a bit a place says where symbols begin. A key is rank and place in one, so the least is the next merge; it is
 * looked for among the least of each group, and only groups in which a key has changed are looked at again. (Vectors would wait for the keys
 * that were written one by one just before.) */
enum { FEW = 64, FEW_BITS = 6, GROUP = 8, GROUPS = FEW / GROUP, KEY_NONE = INT32_MAX };
_Static_assert(TR_TOKEN_MERGES_MAX <= (KEY_NONE >> FEW_BITS) && 1 << FEW_BITS == FEW, "a rank and a place fit into a key");

struct few {
    uint32_t *symbol;
    size_t count, groups;
    uint64_t begins;
    int32_t key[FEW];      /* of the pair that begins here; KEY_NONE: none, also up to the end of the last group */
    int32_t least[GROUPS]; /* of the keys of a group */
    uint32_t made[FEW];    /* by the pair */
};

static void set_pair(struct few *few, size_t place, struct tr_pair_merge merge)
{
    few->key[place] = merge.rank == TR_NO_RANK ? KEY_NONE : (int32_t)(merge.rank << FEW_BITS | (uint32_t)place);
    few->made[place] = merge.made;
}

static void look_up_pair(const struct tr_token *token, struct few *few, size_t left, size_t right)
{
    set_pair(few, left, tr_merge_of(&token->merges, few->symbol[left], few->symbol[right]));
}

static int32_t lesser(int32_t a, int32_t b) { return a < b ? a : b; }

static void look_at_group(struct few *few, size_t group)
{
    const int32_t *key = few->key + GROUP * group;
    few->least[group] = lesser(lesser(lesser(key[0], key[1]), lesser(key[2], key[3])), lesser(lesser(key[4], key[5]), lesser(key[6], key[7])));
}

static void first_pairs(const struct source *from, const struct window *w, struct few *few)
{
    for (size_t i = 0; i + 1 < few->count; i++)
        if (from->byte)
            set_pair(few, i, from->token->byte_pair[from->byte[w->begin + i] << 8 | from->byte[w->begin + i + 1]]);
        else
            look_up_pair(from->token, few, i, i + 1);
    for (size_t i = few->count - 1; i < GROUP * few->groups; i++)
        few->key[i] = KEY_NONE;
    for (size_t group = 0; group < few->groups; group++)
        look_at_group(few, group);
}

static int32_t least_key(const struct few *few)
{
    int32_t least = few->least[0];
    for (size_t group = 1; group < few->groups; group++)
        least = lesser(least, few->least[group]);
    return least;
}

static size_t symbol_after(const struct few *few, size_t place)
{
    uint64_t later = few->begins >> place >> 1;
    return later ? place + 1 + (size_t)__builtin_ctzll(later) : few->count;
}

/* The one that begins before the one at `place`; itself when that is the first. */
static size_t symbol_before(const struct few *few, size_t place)
{
    uint64_t earlier = few->begins & ((UINT64_C(1) << place) - 1);
    return earlier ? FEW - 1 - (size_t)__builtin_clzll(earlier) : place;
}

static void merge_pair(const struct tr_token *token, struct few *few, size_t place)
{
    const size_t right = symbol_after(few, place), before = symbol_before(few, place);
    few->symbol[place] = few->made[place];
    few->key[right] = KEY_NONE;
    few->begins &= ~(UINT64_C(1) << right);
    const size_t after = symbol_after(few, place);
    if (after < few->count)
        look_up_pair(token, few, place, after);
    else
        few->key[place] = KEY_NONE;
    if (before < place)
        look_up_pair(token, few, before, place);
    look_at_group(few, place / GROUP);
    if (right / GROUP != place / GROUP)
        look_at_group(few, right / GROUP);
    if (before / GROUP != place / GROUP)
        look_at_group(few, before / GROUP);
}

static void merge_few(const struct source *from, struct window *w)
{
    struct few few; /* whose arrays need no zeros */
    few.symbol = w->id;
    few.count = w->width;
    few.groups = (w->width + GROUP - 1) / GROUP;
    few.begins = UINT64_MAX >> (FEW - w->width);
    first_pairs(from, w, &few);
    for (int32_t key; (key = least_key(&few)) != KEY_NONE;)
        merge_pair(from->token, &few, (size_t)key % FEW);
    w->count = 0;
    for (size_t place = 0, next; place < few.count; place = next) {
        next = symbol_after(&few, place);
        w->id[w->count] = w->id[place];
        w->length[w->count++] = (uint32_t)(next - place);
    }
}

/* ---- many: a heap of pairs and a list of symbols ----------------------------------------------------------------- */

/* A symbol that was taken by its left neighbour has no id. The neighbour of the last one is `count`. */
#define TAKEN UINT32_MAX

struct heap {
    uint64_t *item; /* rank << 32 | place of the left symbol; the smallest first */
    size_t count;
};

static void heap_push(struct heap *heap, uint64_t item)
{
    size_t at = heap->count++;
    while (at > 0 && heap->item[(at - 1) / 2] > item) {
        heap->item[at] = heap->item[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap->item[at] = item;
}

static uint64_t heap_pop(struct heap *heap)
{
    uint64_t first = heap->item[0], item = heap->item[--heap->count];
    size_t at = 0, child;
    while ((child = 2 * at + 1) < heap->count) {
        if (child + 1 < heap->count && heap->item[child + 1] < heap->item[child])
            child++;
        if (item <= heap->item[child])
            break;
        heap->item[at] = heap->item[child];
        at = child;
    }
    heap->item[at] = item;
    return first;
}

static void push_pair(const struct tr_token *token, struct heap *heap, const uint32_t *symbol, uint32_t left, uint32_t right)
{
    uint32_t rank = tr_merge_of(&token->merges, symbol[left], symbol[right]).rank;
    if (rank != TR_NO_RANK)
        heap_push(heap, (uint64_t)rank << 32 | left);
}

/* Each merge takes an item off the heap and puts at most two on it, so it never holds more than 2 width. */
static void merge_many(const struct tr_token *token, struct window *w, uint32_t *links, uint64_t *items)
{
    uint32_t count = (uint32_t)w->width, *symbol = w->id, *before = links, *after = links + count;
    struct heap heap = {items, 0};
    for (uint32_t i = 0; i < count; i++) {
        before[i] = i - 1;
        after[i] = i + 1;
    }
    for (uint32_t i = 0; i + 1 < count; i++)
        push_pair(token, &heap, symbol, i, i + 1);
    while (heap.count > 0) {
        uint64_t item = heap_pop(&heap);
        uint32_t left = (uint32_t)item, right = after[left];
        if (symbol[left] == TAKEN || right == count)
            continue;
        struct tr_pair_merge merge = tr_merge_of(&token->merges, symbol[left], symbol[right]);
        if (merge.rank != (uint32_t)(item >> 32)) /* the pair that stood here has changed */
            continue;
        symbol[left] = merge.made;
        symbol[right] = TAKEN;
        after[left] = after[right];
        if (after[left] < count) {
            before[after[left]] = left;
            push_pair(token, &heap, symbol, left, after[left]);
        }
        if (left > 0)
            push_pair(token, &heap, symbol, before[left], left);
    }
    w->count = 0;
    for (uint32_t i = 0; i < count; i = after[i]) {
        symbol[w->count] = symbol[i];
        w->length[w->count++] = after[i] - i;
    }
}

/* ---- windows ----------------------------------------------------------------------------------------------------- */

/* Two windows, and what merging many symbols needs. */
struct windows {
    struct window now, next;
    size_t width;
    uint32_t *links;
    uint64_t *items;
};

static uint32_t *grow(uint32_t **at, size_t *words, size_t wanted, size_t bytes, struct tr_err *err)
{
    if (*words >= wanted)
        return *at;
    free(*at);
    *at = aligned_alloc(64, (wanted * sizeof **at + 63) / 64 * 64);
    *words = *at ? wanted : 0;
    if (!*at)
        (void)tr_fail(err, TR_FAILED, "out of memory for a piece of %zu bytes without a border", bytes);
    return *at;
}

/* Ids and lengths of two windows, two links and two items of two words a symbol. */
static enum tr_status make_windows(struct windows *ws, struct tr_bpe_work *work, size_t width, struct tr_err *err)
{
    uint32_t *at = grow(&work->at, &work->words, 10 * width, width, err);
    if (!at)
        return TR_FAILED;
    *ws = (struct windows){.width = width, .links = at + 4 * width, .items = (uint64_t *)(at + 6 * width)};
    ws->now = (struct window){.id = at, .length = at + width};
    ws->next = (struct window){.id = at + 2 * width, .length = at + 3 * width};
    return TR_OK;
}

static void merge_window(const struct source *from, const struct windows *ws, struct window *w, size_t begin)
{
    w->begin = begin;
    w->width = ws->width < from->count - begin ? ws->width : from->count - begin;
    read_symbols(from, w);
    if (w->width <= FEW)
        merge_few(from, w);
    else
        merge_many(from->token, w, ws->links, ws->items);
}

/* The last token of a window that begins at least `overlap` symbols before its end, and where that is. */
static size_t token_before(const struct window *w, size_t overlap, size_t *begin)
{
    size_t end = w->begin + w->width, i = w->count;
    for (*begin = end; *begin > end - overlap;)
        *begin -= w->length[--i];
    return i;
}

/* Merges a window that may be joined to ws->now behind `*tokens` of its tokens. */
static bool find_next(const struct source *from, struct windows *ws, size_t *tokens)
{
    for (size_t overlap = FEW / 4; overlap <= ws->width / 2; overlap *= 2) {
        size_t begin;
        *tokens = token_before(&ws->now, overlap, &begin);
        if (*tokens == 0)
            return false;
        merge_window(from, ws, &ws->next, begin);
        if (ws->next.id[0] == ws->now.id[*tokens] && ws->next.length[0] == ws->now.length[*tokens])
            return true;
    }
    return false;
}

static enum tr_status add_tokens(struct tr_ids *ids, const struct window *w, size_t count, struct tr_err *err)
{
    enum tr_status status = TR_OK;
    for (size_t i = 0; i < count && status == TR_OK; i++)
        status = tr_ids_add(ids, (int32_t)w->id[i], err);
    return status;
}

/* Where nothing can be joined windows are twice as wide from there on; one as wide as what is left needs none. */
static enum tr_status merge_piece(const struct source *from, struct tr_bpe_work *work, struct tr_ids *ids, struct tr_err *err)
{
    struct windows ws = {.width = 0};
    enum tr_status status = TR_OK;
    size_t begin = 0, tokens;
    for (size_t width = FEW;; width *= 2) {
        status = make_windows(&ws, work, width, err);
        if (status != TR_OK)
            return status;
        merge_window(from, &ws, &ws.now, begin);
        while (ws.now.begin + ws.now.width < from->count && find_next(from, &ws, &tokens)) {
            status = add_tokens(ids, &ws.now, tokens, err);
            if (status != TR_OK)
                return status;
            struct window done = ws.now;
            ws.now = ws.next;
            ws.next = done;
        }
        begin = ws.now.begin;
        if (begin + ws.now.width == from->count)
            return add_tokens(ids, &ws.now, ws.now.count, err);
    }
}

/* ---- a piece ----------------------------------------------------------------------------------------------------- */

/* Where bytes are missing in the vocabulary: each becomes the unknown token, or several in a row become one, or none. */
static size_t known_symbols(const struct tr_token *token, const uint8_t *piece, size_t bytes, uint32_t *symbol)
{
    size_t count = 0;
    bool unknown_before = false;
    for (size_t i = 0; i < bytes; i++) {
        int32_t id = token->byte_id[piece[i]];
        bool unknown = id < 0;
        if (unknown)
            id = unknown_before && token->fuse_unknown ? -1 : token->unknown;
        if (id >= 0)
            symbol[count++] = (uint32_t)id;
        unknown_before = unknown;
    }
    return count;
}

enum tr_status tr_bpe_piece(const struct tr_token *token, struct tr_bpe_work *work, const uint8_t *piece, size_t bytes,
                            struct tr_ids *ids, struct tr_err *err)
{
    struct source from = {.token = token, .byte = piece, .count = bytes};
    if (token->ignore_merges) {
        int32_t whole = tr_vocab_find(token, piece, bytes);
        if (whole >= 0)
            return tr_ids_add(ids, whole, err);
    }
    if (token->missing_bytes > 0) {
        uint32_t *symbol = grow(&work->symbol, &work->symbols, bytes, bytes, err);
        if (!symbol)
            return TR_FAILED;
        from = (struct source){.token = token, .symbol = symbol, .count = known_symbols(token, piece, bytes, symbol)};
    }
    return from.count == 0 ? TR_OK : merge_piece(&from, work, ids, err);
}

void tr_bpe_work_free(struct tr_bpe_work *work)
{
    free(work->at);
    free(work->symbol);
    *work = (struct tr_bpe_work){0};
}
