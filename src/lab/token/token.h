/* Tokenizers: byte-level BPE as Hugging Face's tokenizer.json describes it, token for token the same.
 *
 *     struct tr_token *token;
 *     tr_token_read("tokenizer.json", &token, err)                 (or tr_token_make, from memory)
 *     struct tr_encoder *encoder;                                  (one a thread; the tokenizer is shared, read-only)
 *     tr_encoder_make(token, &encoder, err)
 *     struct tr_ids ids = {0};
 *     tr_encode(encoder, text, bytes, 0, &ids, err)                (appends)
 *     ...
 *     tr_ids_free(&ids); tr_encoder_free(encoder); tr_token_free(token);
 *
 * TEXT     Any bytes. Bytes that are no UTF-8 are kept: the pre-tokenizer sees each maximal beginning of a character as
 *          one U+FFFD (so the pieces are those of Hugging Face's, which gets such text with U+FFFD in their place), the
 *          merges see the bytes themselves. With a vocabulary that has all 256 bytes, and no normaliser,
 *          decode(encode(x)) == x for any x; with NFC it is NFC(x).
 * BYTES    A byte that the vocabulary lacks becomes the unknown token, where there is one; else it is left out, as
 *          Hugging Face does. tr_token_missing_bytes counts them.
 * STEPS    added tokens are found (longest first); the rest is normalised, searched for added tokens of the normalised
 *          kind, split by the pre-tokenizer, and each piece merged by rank, lowest first, then leftmost.
 * TIME     linear in the text, also in a piece without a border (n log n at worst, bpe.c): no regular expressions are run.
 * LIMITS   below; the sentence of a refusal names them. */
#ifndef TR_LAB_TOKEN_TOKEN_H
#define TR_LAB_TOKEN_TOKEN_H

#include "base/err.h"
#include "base/sha256.h"
#include "base/text.h"
#include "lab/token/utf8_stream.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TR_TOKEN_VOCAB_MAX = 1 << 20,
    TR_TOKEN_MERGES_MAX = 1 << 22,
    TR_TOKEN_BYTES_MAX = 1 << 16,       /* of one token */
    TR_TOKEN_ADDED_MAX = 1 << 16,       /* added tokens */
    TR_TOKEN_ADDED_BYTES_MAX = 1024,    /* of one of them: the search takes at most so many steps a byte */
    TR_TOKEN_SPLITS_MAX = 8,
    TR_TOKEN_AROUND_MAX = 8,            /* tokens put before or behind a text */
    TR_TOKEN_TEXT_MAX_BYTES = 1 << 28   /* of one tr_encode; longer texts: tr_token_part */
};

struct tr_token;
struct tr_encoder;

/* ---- from memory ------------------------------------------------------------------------------------------------- */

struct tr_string {
    const char *at; /* not owned, need not end with 0 */
    int64_t bytes;
};

/* Steps of a pre-tokenizer, in the order in which they are applied. */
enum tr_split {
    TR_SPLIT_PREFIX_SPACE, /* ByteLevel's add_prefix_space: each part begins with a space */
    TR_SPLIT_GPT2,         /* ByteLevel's own expression */
    TR_SPLIT_LLAMA3,       /* three digits at a time; 's and its like in any case; line ends go with what is before */
    TR_SPLIT_QWEN2,        /* the same with one digit at a time */
    TR_SPLIT_DIGITS,       /* each digit alone */
    TR_SPLIT_DIGIT_RUNS    /* digits apart from the rest */
};

enum tr_normalizer { TR_NORMALIZER_NONE, TR_NORMALIZER_NFC };

struct tr_added_token {
    struct tr_string content; /* literally */
    int64_t id;
    bool special;             /* left out by decoding where that is asked for */
    bool lstrip, rstrip;      /* takes the white space before, behind it */
    bool single_word;         /* only where no word character touches it */
    bool normalized;          /* looked for in the normalised text */
};

struct tr_merge {
    struct tr_string left, right;
};

/* What a tokenizer is. Nothing is kept of it: all is copied. */
struct tr_token_spec {
    const char *source;             /* what sentences call it: a path */
    const struct tr_string *vocab;  /* by id, written in the byte-level alphabet (a space is U+0120, and so on);
                                       at == NULL: there is no such token. Holes may be filled by added tokens. */
    int64_t vocab_count;
    const struct tr_merge *merges;  /* by rank, in the same alphabet */
    int64_t merge_count;
    const struct tr_added_token *added; /* their ids: of the same content in vocab, or free ones */
    int64_t added_count;
    enum tr_normalizer normalizer;
    enum tr_split splits[TR_TOKEN_SPLITS_MAX];
    int split_count;
    bool ignore_merges;             /* a piece that is a token is that token, whatever the merges say */
    bool has_unknown;               /* bytes that are not in the vocabulary become `unknown` */
    bool fuse_unknown;              /* of those in a row, only the first */
    int64_t unknown;
    int64_t before[TR_TOKEN_AROUND_MAX], after[TR_TOKEN_AROUND_MAX]; /* put around a text by TR_ENCODE_BEFORE and _AFTER */
    int before_count, after_count;
};

/* Checks and builds. TR_BAD_INPUT: a limit, an id twice, a merge of tokens that are not in the vocabulary or make none.
 * Free with tr_token_free. */
TR_MUST_CHECK enum tr_status tr_token_make(const struct tr_token_spec *spec, struct tr_token **out,
                                           struct tr_err *err);

/* "a b" as in older files and in GGUF: TR_BAD_INPUT unless there is exactly one space, not at an end. */
TR_MUST_CHECK enum tr_status tr_merge_from_line(struct tr_string line, struct tr_merge *out, struct tr_err *err);

/* Sets splits, normalizer and ignore_merges by the name that GGUF's tokenizer.ggml.pre has: gpt-2, llama-bpe, qwen2,
 * smollm, smaug-bpe and others of the same kind. Unknown: TR_BAD_INPUT, listing them. */
TR_MUST_CHECK enum tr_status tr_token_spec_pre(struct tr_token_spec *spec, const char *name, struct tr_err *err);

/* The tokenizer of models that read bytes without one (lab/data/data.h): token b is byte b, 256 ends a text. */
TR_MUST_CHECK enum tr_status tr_token_make_bytes(struct tr_token **out, struct tr_err *err);

void tr_token_free(struct tr_token *token); /* NULL is fine */

/* ---- tokenizer.json ---------------------------------------------------------------------------------------------- */

/* Reads what Hugging Face's tokenizers writes: a model BPE (merges as "a b" or ["a", "b"], ignore_merges), normalizer
 * NFC or none, pre-tokenizers ByteLevel, Split (with the expressions of GPT-2, Llama 3 and Qwen 2), Digits and
 * Sequence, any added tokens, post-processors that put tokens around a text. TR_BAD_INPUT with path and key: not such a
 * file, or a feature that trine does not have (dropout, another normalizer, another expression ...). Truncation and
 * padding are passed over: texts are never cut. */
TR_MUST_CHECK enum tr_status tr_token_read(const char *path, struct tr_token **out, struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_token_parse(const char *source, const char *json, size_t bytes, struct tr_token **out,
                                            struct tr_err *err);

/* Appends a tokenizer.json that reads back as the same tokenizer (the same tr_token_sha256), here and there. */
TR_MUST_CHECK enum tr_status tr_token_json(const struct tr_token *token, struct tr_text *out, struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_token_write(const struct tr_token *token, const char *path, struct tr_err *err);

/* For writers of other files. A vocabulary's token as such files spell it, an added one literally; appends nothing for
 * an id without a token. */
void tr_token_spell(const struct tr_token *token, int64_t id, struct tr_text *out);
/* The two tokens that merge `rank` joins. */
void tr_token_merge(const struct tr_token *token, int64_t rank, int32_t ids[2]);
/* The tokens that TR_ENCODE_BEFORE and _AFTER put around a text; returns how many. */
int tr_token_before(const struct tr_token *token, const int32_t **ids);
int tr_token_after(const struct tr_token *token, const int32_t **ids);
/* The name (of tr_token_spec_pre) under which GGUF knows these splits and ignore_merges, NULL: none. Of two, the one with
 * this normaliser; else one without regard to it, as llama.cpp has none. */
const char *tr_token_pre(const struct tr_token *token);

/* ---- what it holds ----------------------------------------------------------------------------------------------- */

int64_t tr_token_vocab(const struct tr_token *token);       /* highest id + 1 */
int64_t tr_token_merge_count(const struct tr_token *token);
int tr_token_missing_bytes(const struct tr_token *token);   /* of the 256, how many the vocabulary lacks */
/* The bytes that an id stands for, as decoding gives them; at == NULL for an id without a token. */
struct tr_string tr_token_bytes(const struct tr_token *token, int64_t id);
bool tr_token_is_special(const struct tr_token *token, int64_t id);
bool tr_token_is_added(const struct tr_token *token, int64_t id);
/* The id of the added token, or else of the vocabulary's token, with these bytes; -1: none. */
int64_t tr_token_find(const struct tr_token *token, const char *bytes, size_t count);
/* The token that ends a text, by the names that are in use (<|endoftext|>, <|end_of_text|>, </s>, ...), the first of
 * them that is an added token; -1: none. */
int64_t tr_token_end_id(const struct tr_token *token);

/* The tokens that end a text for a model, where it says more than its tokenizer's names do. */
enum { TR_STOPS_MAX = 16 }; /* that its files may name */
struct tr_stops {
    int32_t id[TR_STOPS_MAX + 1]; /* and the end of a turn */
    int count;
};

/* Over all that decides tokens (vocabulary, merges, splits, normaliser, added tokens); two tokenizers with the same sum
 * encode alike. */
const char *tr_token_sha256(const struct tr_token *token);

/* ---- encoding ---------------------------------------------------------------------------------------------------- */

struct tr_ids {
    int32_t *at; /* owned, malloc */
    int64_t count, room;
};
void tr_ids_free(struct tr_ids *ids);
TR_MUST_CHECK enum tr_status tr_ids_add(struct tr_ids *ids, int32_t id, struct tr_err *err);

enum {
    TR_ENCODE_BEFORE = 1, /* with the tokens that the post-processor puts before a text */
    TR_ENCODE_AFTER = 2,  /* and behind it */
    TR_ENCODE_AROUND = TR_ENCODE_BEFORE | TR_ENCODE_AFTER,
    TR_ENCODE_PLAIN = 4   /* added tokens in the text are text like any other */
};

TR_MUST_CHECK enum tr_status tr_encoder_make(const struct tr_token *token, struct tr_encoder **out,
                                             struct tr_err *err);
void tr_encoder_free(struct tr_encoder *encoder); /* NULL is fine */

/* Appends the tokens of `text` to *ids; on failure *ids is as it was. TR_BAD_INPUT: more than TR_TOKEN_TEXT_MAX_BYTES.
 * The same tokens whichever encoder, and whatever it encoded before. */
TR_MUST_CHECK enum tr_status tr_encode(struct tr_encoder *encoder, const char *text, size_t bytes, int flags,
                                       struct tr_ids *ids, struct tr_err *err);

/* Hands over each piece of the text that merges are applied to, as tr_encode would: for training a vocabulary. */
typedef enum tr_status tr_piece_sink(void *context, const char *piece, size_t bytes, struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_encoder_pieces(struct tr_encoder *encoder, const char *text, size_t bytes,
                                               tr_piece_sink *sink, void *context, struct tr_err *err);

/* A long text is encoded in parts: how many of its first bytes are the next one, about `wanted`, so that the parts give
 * the same tokens as the whole. All of them when there is no such place, as with added tokens that reach over spaces. */
size_t tr_token_part(const struct tr_token *token, const char *text, size_t bytes, size_t wanted);

/* ---- decoding ---------------------------------------------------------------------------------------------------- */

enum { TR_DECODE_NO_SPECIAL = 1 };

/* Appends the bytes of the tokens. TR_BAD_INPUT names the first id that has no token. */
TR_MUST_CHECK enum tr_status tr_decode(const struct tr_token *token, const int32_t *ids, int64_t count, int flags,
                                       struct tr_text *out, struct tr_err *err);

/* Token by token, as a model writes them: appends whole characters only, valid UTF-8 always (utf8_stream.h). An id
 * without a token adds nothing. */
struct tr_decoder {
    const struct tr_token *token; /* NULL: ids are bytes */
    struct tr_utf8_stream stream;
};
void tr_decoder_push(struct tr_decoder *decoder, int32_t id, struct tr_text *out);
void tr_decoder_end(struct tr_decoder *decoder, struct tr_text *out);

#endif
