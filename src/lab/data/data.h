/* Training data: text becomes tokens, tokens become batches that any rank can compute for any step.
 *
 *     struct tr_data data;
 *     struct tr_data_config config = {.path = "kjv.txt", .seq_len = 256, .batch = 32, .seed = 1, .val_fraction = 0.1};
 *     tr_data_open(&data, &config, err)
 *     tr_data_batch(&data, step, 0, 32, tokens, targets);
 *     tr_data_close(&data);
 *
 * SOURCE   A file, or a folder: all its regular files, recursively, sorted by path as bytes; names that begin with a
 *          point are skipped, empty texts too (an empty shard is refused), links to folders are not followed. Each file is a
 *          document; of a file named *.jsonl each line is one, {"text": "..."}, and gives what a folder of such files would.
 *          All of it is read once into memory (a mapped file that somebody truncates would kill the run), and the SHA-256 of
 *          the documents is kept, so that a resumed run can tell that its data are the same.
 *          Text is UTF-8 without bytes 0, or refused with the place: what is not is in another encoding, cut off, or no text
 *          (a folder of checkpoints, say). With TR_ENCODING_BYTES any bytes are taken as they are.
 * TOKENS   Without a tokenizer, bytes: 256 of them and TR_TOKEN_END between documents, 257 in all. With one, its tokens:
 *          of each document what it puts before a text and the text's, and its end token between documents; or shards,
 *          which hold the same (shard.h, also those of llm.c and Megatron; a file, or a folder that holds them beside tokenizer.json
 *          and nothing else).
 * SPLIT    By position: the last val_fraction of the tokens is for validation; the cut moves back to the nearest line
 *          end, when there is one within TR_DATA_CUT_SEARCH_BYTES.
 * ORDER    A window is seq_len + 1 tokens: seq_len inputs and, one later, their targets. Windows of an epoch do not
 *          overlap (but for the one token that is target here and input there). An epoch has `train_windows`, begins at
 *          a shift drawn for it and leaves out fewer than 2 seq_len tokens; its order is a seeded permutation. The
 *          window of row r of step s is a pure function of (seed, s * batch + r): nothing has to be replayed or saved.
 *
 * With a tokenizer, a token's bytes are those that it stands for, so bits per byte count the text itself (after NFC, where
 * the tokenizer normalises).
 *
 * DOCUMENTS Joined, attention sees across the border of documents inside a window. Apart, each position of a window also
 *          gets the place where its document begins in it (a document that goes over from the window before begins at 0),
 *          and the end token has no target: what follows it is the beginning of another document. Everything up to an end
 *          token is one document, wherever it comes from: a file, a shard, or a text that has the token in it.
 *
 * CONVERSATIONS (lab/chat/chat.h) *.jsonl whose lines have "messages": rendered by the model's chat template, encoded as one
 *          text each; targets are the tokens of the assistant's replies alone. A row holds whole conversations, which do
 *          not see each other, and what is left of it is filled with tokens of which nothing is learned; a conversation
 *          longer than a row is cut at its end. Rows are windows: no shift. The last val_fraction of the conversations
 *          is for validation.
 */
#ifndef TR_LAB_DATA_DATA_H
#define TR_LAB_DATA_DATA_H

#include "base/arena.h"
#include "base/err.h"
#include "base/os.h"
#include "base/sha256.h"
#include "lab/chat/chat.h"
#include "lab/data/source.h"
#include "lab/token/token.h"

#include <stdbool.h>
#include <stdint.h>

enum { TR_TOKEN_END = 256, TR_BYTE_VOCAB = 257 };

enum {
    TR_DATA_MAX_FILES = 1000000,
    TR_DATA_MAX_DEPTH = 64,
    TR_DATA_CUT_SEARCH_BYTES = 65536
};
#define TR_DATA_MAX_BYTES ((int64_t)1 << 40)

struct tr_data_config {
    const char *path;
    enum tr_encoding encoding;
    int64_t seq_len;
    int64_t batch;        /* sequences a step, over all ranks */
    uint64_t seed;
    double val_fraction;  /* 0 (no validation) .. 0.9 */
    int64_t val_windows;  /* at most so many, spread evenly over the validation part; 0: all */
    bool only_val;        /* all of it is for validation, val_fraction does not matter: there is nothing to train on */
    int64_t val_stride;   /* a validation window begins so many tokens after the one before; what that has predicted
                             already has no target. 1 .. seq_len; 0: seq_len, they do not overlap */
    bool apart;           /* documents do not see each other; conversations always are so */
    const struct tr_chat *chat;   /* the data are conversations, said by this template; NULL: text or shards */
    const struct tr_token *token; /* NULL: bytes; else it must outlive this call only */
};

enum { TR_MARK_LEARNED = 1, TR_MARK_BEGIN = 2 }; /* of a token: is a target; begins a document */

struct tr_data_token {
    uint16_t bytes;  /* of raw text that it stands for; 0 of special tokens */
    bool ends_line;
};

struct tr_data {
    int64_t seq_len, batch;
    uint64_t seed;
    bool apart;

    struct tr_slab slab;         /* the documents' bytes, or tokens, one behind the other */
    const uint8_t *bytes;        /* NULL: tokens */
    int64_t byte_count;          /* of the text */
    int64_t document_count;
    int64_t *document_end;       /* in bytes, one per document; of bytes only */

    const void *tokens;          /* of `width` bytes each; NULL: bytes */
    int width;
    int64_t end;                 /* the token between documents; -1: none */
    const struct tr_data_token *about; /* by id; of tokens only */

    const uint8_t *marks;        /* [token_count] TR_MARK_..., of conversations; else NULL */
    int64_t talk_tokens;         /* of conversations: their tokens, without the rest of rows */
    int64_t learned_count;       /* those that are learned */
    int64_t cut_count;           /* conversations that were longer than a row */

    int64_t token_count;         /* of bytes: byte_count + document_count - 1 */
    int64_t train_tokens;        /* [0, train_tokens) */
    int64_t train_windows;       /* in an epoch */
    int64_t val_tokens;          /* [train_tokens, token_count) */
    int64_t val_windows;         /* that an evaluation uses; 0: no validation */
    int64_t val_windows_all;
    int64_t val_stride;
    /* Over, for each file: its length (8 bytes, little-endian) and its bytes; then the tokenizer's sum, if there is one. */
    char sha256[TR_SHA256_HEX_BYTES];

    struct tr_arena arena;
};

/* TR_BAD_INPUT: missing, unreadable, empty, a device, a folder without files, too small for one window (says how much
 * it needs). TR_NO: more bytes than this machine's memory. TR_FAILED: I/O error. Free with tr_data_close. */
TR_MUST_CHECK enum tr_status tr_data_open(struct tr_data *data, const struct tr_data_config *config,
                                          struct tr_err *err);
void tr_data_close(struct tr_data *data); /* also right on a zeroed struct */

/* Where the tokenizer.json of these data is: `given` if that is not empty, beside the shards if `path` is shards, else ""
 * (bytes). TR_BAD_INPUT: shards without one. */
TR_MUST_CHECK enum tr_status tr_data_find_tokenizer(const char *path, const char *given, char out[TR_PATH_BYTES],
                                                    struct tr_err *err);

/* Bytes on disk that tr_data_open would read, without reading them: for the memory check before anything is mapped. */
TR_MUST_CHECK enum tr_status tr_data_measure(const char *path, int64_t *bytes, struct tr_err *err);

/* Rows [first, first + count) of the batch of step `step` (counted from 0): tokens and targets [count, seq_len], and
 * where each token's document begins in its row, starts [count, seq_len], if documents are apart (NULL otherwise).
 * Returns the number of targets that are not -1. Allocates nothing; from any thread. */
int64_t tr_data_batch(const struct tr_data *data, int64_t step, int64_t first, int64_t count, int32_t *tokens,
                      int32_t *targets, int32_t *starts);

/* Where the window of row `row` of step `step` begins, in tokens. tr_data_batch copies from there. */
int64_t tr_data_window(const struct tr_data *data, int64_t step, int64_t row);

/* Tokens [first, first + count) of the whole stream. */
void tr_data_tokens(const struct tr_data *data, int64_t first, int64_t count, int32_t *tokens);

struct tr_val_count {
    int64_t targets; /* not -1 */
    int64_t bytes;   /* of raw text that these targets stand for: what bits per byte divides by */
};

/* Validation windows [first, first + count), always the same ones in the same order. What lies beyond the last window,
 * or beyond the end of the text in it, has token 0 and target -1, and is a document of its own. `starts` as above. */
struct tr_val_count tr_data_val_batch(const struct tr_data *data, int64_t first, int64_t count, int32_t *tokens,
                                      int32_t *targets, int32_t *starts);

/* Sum of losses in nats over `bytes` bytes of raw text. */
double tr_bits_per_byte(double nats, int64_t bytes);

/* Whether the data are conversations, by the first line: *.jsonl whose lines have "messages". */
TR_MUST_CHECK enum tr_status tr_data_is_chat(const char *path, bool *out, struct tr_err *err);

#endif
