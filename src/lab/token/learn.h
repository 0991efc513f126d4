/* Training a vocabulary: which pairs of a text are worth a token of their own.
 *
 *     struct tr_learn_config config = {.vocab = 8192, .form = &spec, .special = special, .special_count = 1};
 *     struct tr_learner *learner;
 *     tr_learner_make(&config, &learner, err)
 *     tr_learner_add(learner, text, bytes, err)             (as often as there are texts; each is a whole)
 *     tr_learner_finish(learner, &bar, &token, err)
 *     tr_learner_free(learner);
 *
 * RULE     The text is normalised and split as the tokenizer will do it; added tokens are text like any other here. Ids:
 *          the special tokens, the 256 bytes in the order of their letters in GPT-2's alphabet, then merges. Again and
 *          again the pair of neighbours that occurs most often becomes a token; of pairs as frequent, the one whose left
 *          id is smaller, then whose right id is. Overlapping pairs (aaa) count each; they are merged from the left.
 *          Counts are 64 bits. A pair that would make a token of more than TR_LEARN_TOKEN_BYTES_MAX bytes is passed over.
 *          So the result is a function of the multiset of pieces: the order of texts, threads and machines change nothing.
 * PEER     The same vocabulary and merges as Hugging Face's BpeTrainer with initial_alphabet = ByteLevel.alphabet(), when
 *          it is given the same texts as wholes. (It counts differently in one case: when a token can be made in two ways
 *          and one of its pairs comes up anew after it was merged; and it knows no longest token.)
 * MEMORY   Distinct pieces are kept with their counts: at most max_pieces, and max_piece_bytes in all. When they are too
 *          many, all pieces that occurred once are dropped, then those that occurred twice, and so on, until half are
 *          left; tr_learner_dropped counts them. Merging takes about 24 bytes for each byte of these pieces, and 32 for
 *          each distinct pair. */
#ifndef TR_LAB_TOKEN_LEARN_H
#define TR_LAB_TOKEN_LEARN_H

#include "base/progress.h"
#include "lab/token/token.h"

/* Bytes of a token: tokenizer.json spells a byte with up to two, and a token is at most TR_TOKEN_BYTES_MAX there. */
enum { TR_LEARN_TOKEN_BYTES_MAX = TR_TOKEN_BYTES_MAX / 2 };
enum { TR_LEARN_PIECES_DEFAULT = 16 << 20, TR_LEARN_SPECIAL_MAX = 1024 };
#define TR_LEARN_BYTES_DEFAULT ((int64_t)256 << 20)
#define TR_LEARN_BYTES_MAX ((int64_t)1 << 31)

struct tr_learn_config {
    int64_t vocab;                    /* wanted size, all told: 256 + special_count .. TR_TOKEN_VOCAB_MAX */
    int64_t min_count;                /* pairs that occur less often become no token; 0: all may */
    const struct tr_token_spec *form; /* its splits, normalizer and source are used */
    const char *const *special;       /* contents, distinct, by id from 0 */
    int special_count;
    int64_t max_pieces;               /* 0: TR_LEARN_PIECES_DEFAULT */
    int64_t max_piece_bytes;          /* 0: TR_LEARN_BYTES_DEFAULT; at most TR_LEARN_BYTES_MAX */
};

struct tr_learner;

TR_MUST_CHECK enum tr_status tr_learner_make(const struct tr_learn_config *config, struct tr_learner **out,
                                             struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_learner_add(struct tr_learner *learner, const char *text, size_t bytes,
                                            struct tr_err *err);

/* Merges until the size is reached or no pair is left that occurs often enough (then the vocabulary is smaller). `bar`
 * was started with the wanted size as its total; NULL: silent. Once for each learner. */
TR_MUST_CHECK enum tr_status tr_learner_finish(struct tr_learner *learner, struct tr_progress *bar,
                                               struct tr_token **out, struct tr_err *err);
void tr_learner_free(struct tr_learner *learner); /* NULL is fine */

int64_t tr_learner_pieces(const struct tr_learner *learner);  /* distinct ones, kept */
int64_t tr_learner_dropped(const struct tr_learner *learner); /* occurrences of pieces that were dropped */
/* A tokenizer of the same form that splits as the learner does: for tr_token_part. */
const struct tr_token *tr_learner_form(const struct tr_learner *learner);

#endif
