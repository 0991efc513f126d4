/* The inside of a tokenizer: what the files of lab/token share. The manual is token.h. */
#ifndef TR_LAB_TOKEN_VOCAB_H
#define TR_LAB_TOKEN_VOCAB_H

#include "base/arena.h"
#include "lab/token/token.h"

/* ---- tables, open addressing, sizes are powers of two ------------------------------------------------------------ */

struct tr_merge_slot {
    uint32_t left, right, rank, made; /* rank TR_NO_RANK: empty */
};
#define TR_NO_RANK UINT32_MAX

/* Most pairs that are asked for do not merge, and a bit says so for nearly all of them: the bits are small enough for a near cache, the
 * slots are not. */
enum { TR_MERGE_BITS = 8 }; /* a slot */
struct tr_merge_table {
    struct tr_merge_slot *slot;
    uint64_t mask;
    uint64_t *may_merge; /* [TR_MERGE_BITS * (mask + 1)] bits, words of 64: some pair of this bit does */
};

struct tr_pair_merge {
    uint32_t rank, made; /* rank TR_NO_RANK: they do not merge */
};

struct tr_bytes_table {
    int32_t *id; /* -1: empty */
    uint64_t mask;
};

/* Contents of added tokens, byte by byte. Node 0 is the root. */
struct tr_trie_node {
    int32_t child, sibling; /* 0: none */
    int32_t added;          /* index of the token that ends here, -1: none */
    uint8_t byte;
};
struct tr_trie {
    struct tr_trie_node *node;
    int32_t count;
    bool starts[256]; /* a token begins with this byte */
};

struct tr_added {
    struct tr_string content;    /* as it stands in a text */
    struct tr_string normalized; /* as it is looked for */
    int32_t id;
    bool special, lstrip, rstrip, single_word, is_normalized;
};

/* ---- the tokenizer ----------------------------------------------------------------------------------------------- */

struct tr_token {
    struct tr_arena arena;
    int64_t vocab;             /* highest id + 1 */
    struct tr_string *bytes;   /* [vocab], of the vocabulary's tokens; at NULL: not in it */
    uint8_t *literal;          /* [vocab], true: not written in the byte-level alphabet, so no merge makes it */
    int32_t *added_of;         /* [vocab], 1 + index of the added token of this id; 0: none */
    struct tr_bytes_table by_bytes; /* the tokens that merges can make or begin from */
    int32_t byte_id[256];      /* -1: the vocabulary lacks it */
    int missing_bytes;
    int32_t (*merge)[2];       /* [merge_count], ids by rank, for writing */
    int64_t merge_count;
    struct tr_merge_table merges;
    struct tr_pair_merge *byte_pair; /* [256 * 256], of two bytes, with which every piece begins */
    struct tr_added *added;
    int64_t added_count;
    struct tr_trie raw, normalized; /* which of the added tokens are looked for where */
    bool cuts;                 /* tr_token_part may cut at all */
    enum tr_normalizer normalizer;
    enum tr_split splits[TR_TOKEN_SPLITS_MAX];
    int split_count;
    bool ignore_merges, fuse_unknown;
    int32_t unknown;           /* -1: none */
    int32_t before[TR_TOKEN_AROUND_MAX], after[TR_TOKEN_AROUND_MAX];
    int before_count, after_count;
    char sha256[TR_SHA256_HEX_BYTES];
};

/* A mixing of 64 bits in which each bit of the result depends on each of the argument. */
static inline uint64_t tr_mix64(uint64_t x)
{
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    return x ^ x >> 32;
}

uint64_t tr_hash_bytes(const void *bytes, size_t count);

/* The id of the vocabulary's token with these bytes, -1: none. */
int32_t tr_vocab_find(const struct tr_token *token, const void *bytes, size_t count);

static inline uint64_t tr_pair_hash(uint32_t left, uint32_t right) { return tr_mix64((uint64_t)left << 32 | right); }

/* The bit of a pair: of the upper half of its hash, as the slot is of the lower. */
static inline uint64_t *tr_merge_word(const struct tr_merge_table *table, uint64_t hash, uint64_t *bit)
{
    uint64_t at = hash >> 32 & (TR_MERGE_BITS * (table->mask + 1) - 1);
    *bit = UINT64_C(1) << (at & 63);
    return &table->may_merge[at >> 6];
}

/* The pair's slot, or the empty one where it belongs. */
static inline struct tr_merge_slot *tr_merge_find(const struct tr_merge_table *table, uint32_t left, uint32_t right, uint64_t hash)
{
    for (uint64_t at = hash;; at++) {
        struct tr_merge_slot *slot = &table->slot[at & table->mask];
        if (slot->rank == TR_NO_RANK || (slot->left == left && slot->right == right))
            return slot;
    }
}

/* What two symbols that stand side by side become; rank TR_NO_RANK: they stay. */
static inline struct tr_pair_merge tr_merge_of(const struct tr_merge_table *table, uint32_t left, uint32_t right)
{
    uint64_t bit, hash = tr_pair_hash(left, right);
    if (!(*tr_merge_word(table, hash, &bit) & bit))
        return (struct tr_pair_merge){TR_NO_RANK, 0};
    const struct tr_merge_slot *slot = tr_merge_find(table, left, right, hash);
    return (struct tr_pair_merge){slot->rank, slot->made};
}

/* ---- alphabet.c: GPT-2's spelling of bytes as printable characters ----------------------------------------------- */

/* Appends the letter of a byte. */
void tr_alphabet_append(struct tr_text *out, uint8_t byte);
/* The letter's code point, and the byte of a code point, -1 when it is no letter. */
int32_t tr_alphabet_letter(uint8_t byte);
int tr_alphabet_byte(int32_t c);
/* Writes the bytes that a spelling stands for, at most as many as it has; returns how many, -1 when it has a character
 * that is no letter. */
int64_t tr_alphabet_read(struct tr_string spelled, uint8_t *bytes);

/* ---- added.c: added tokens in a text ----------------------------------------------------------------------------- */

TR_MUST_CHECK enum tr_status tr_added_build(struct tr_token *token, const struct tr_token_spec *spec,
                                            struct tr_err *err);

struct tr_added_match {
    size_t begin, end; /* with the white space that it takes */
    size_t next;       /* where the search goes on */
    int32_t id;
};
/* How far a search is: all zero at the beginning of a text. */
struct tr_added_search {
    size_t from;       /* goes on here */
    size_t done;       /* the end of what the last token took */
    size_t spaces_end; /* what lies between the last match and here is white space */
};
/* The next added token; the caller sets from and done by it. */
bool tr_added_find(const struct tr_token *token, const struct tr_trie *trie, const char *text, size_t bytes,
                   struct tr_added_search *search, struct tr_added_match *out);

/* ---- split.c: pre-tokenizers ------------------------------------------------------------------------------------- */

/* The end of the piece that begins at `at` < end, when text[.., end) is split by `split` (any but PREFIX_SPACE). */
size_t tr_split_next(enum tr_split split, const uint8_t *text, size_t at, size_t end);

/* The regular expression that it does; NULL for those that have none. */
const char *tr_split_expression(enum tr_split split);

/* ---- bpe.c: merges ----------------------------------------------------------------------------------------------- */

struct tr_bpe_work { /* begins as zeros */
    uint32_t *at, *symbol; /* grown: windows; the symbols of a piece, where the vocabulary lacks bytes */
    size_t words, symbols;
};
/* Appends the tokens of one piece. */
TR_MUST_CHECK enum tr_status tr_bpe_piece(const struct tr_token *token, struct tr_bpe_work *work, const uint8_t *piece,
                                          size_t bytes, struct tr_ids *ids, struct tr_err *err);
void tr_bpe_work_free(struct tr_bpe_work *work);

#endif
