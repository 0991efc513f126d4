/* Generation: a model and its keys and values, from a prompt to the next token, one sequence.
 *
 * The forward pass is that of training: the same operations, cut into a program for the prompt and one for single
 * tokens that share weights and cache. A token's logits are therefore bit-equal to those that training would compute
 * for the same text (context width 1), however the text was split into calls; a test says so.
 */
#ifndef TR_LAB_SERVE_SERVE_H
#define TR_LAB_SERVE_SERVE_H

#include "lab/chat/chat.h"
#include "lab/model/exec.h"
#include "lab/serve/sample.h"
#include "lab/token/token.h"

struct tr_generator {
    struct tr_model_config model;
    struct tr_machine machine;
    enum tr_dtype dtype;
    struct tr_widths widths;
    int64_t capacity;             /* positions that the cache holds */
    int64_t length;               /* positions in it */
    enum tr_weight_form form;
    struct tr_program program;    /* one token at a time */
    struct tr_exec exec;
    struct tr_crowd crowd;        /* of exec and prompt, unless that of the exec whose weights are used */
    struct tr_program prompt_program; /* as many as a prompt is cut in */
    struct tr_exec prompt;        /* opened when it is needed first; lends WORK to shorter ones */
    int32_t *history;             /* [capacity] the tokens in the cache */
    struct tr_candidate *scratch; /* [vocab] */
    const float *logits;          /* [vocab] after the last token read, until the next; NULL before the first */
    const struct tr_token *token; /* how it writes text; NULL: bytes. Set by the caller; not owned */
    struct tr_stops stops;        /* tokens that end a text beside the tokenizer's end token; set by the caller */
    uint64_t drawn;               /* tokens drawn so far: the index of the next draw */
    const char *prompt_cache;     /* file of tr_generator_read_prompt; NULL: none. Set by the caller; not owned */
    int64_t prompt_tokens;        /* of the last tr_generator_read_prompt, whatever of it was kept */
    int64_t reused;               /* tokens of the last prompt that were not computed: in the cache already */
    float *kept_logits;           /* [vocab]; owned; those of a program that is closed */
};

/* Opens a generator for texts of up to `capacity` tokens. `weights` (NULL: none) is an exec of the same config whose
 * weights are used as they are, for samples during training; without it the generator has its own, which the caller
 * fills through tr_exec_weight(&generator->exec, index) and tr_exec_weights_written, once if `form` is not TR_FORM_ROWS; more
 * than the memory that is free is refused then. Close with tr_generator_close. */
TR_MUST_CHECK enum tr_status tr_generator_open(struct tr_generator *generator, const struct tr_model_config *model,
                                               enum tr_dtype dtype, enum tr_weight_form form,
                                               const struct tr_widths *widths, int64_t capacity,
                                               struct tr_machine machine,
                                               const struct tr_exec *weights, struct tr_err *err);
void tr_generator_close(struct tr_generator *generator);

/* Forgets the text (not the count of draws). */
void tr_generator_reset(struct tr_generator *generator);

/* Reads tokens: computes keys, values and the logits after the last one. When the cache is full, the oldest tokens are
 * given up: the newest half is read again from position 0 and the text goes on. A prompt that is longer costs no more
 * than a full cache, to the same bits as token by token. Token ids are checked; logits that are not finite are refused. */
TR_MUST_CHECK enum tr_status tr_generator_read(struct tr_generator *generator, const int32_t *tokens, int64_t count,
                                               struct tr_err *err);

/* Makes the text `tokens`, whatever it was before: what of it the generator, or its prompt_cache file, holds already is not
 * read again (but the last token, for its logits). A file that is not there, or has less of the prompt than the generator
 * then, is written. The bits are those of reading all of it. A prompt longer than the capacity is read as tr_generator_read
 * does, without the file. */
TR_MUST_CHECK enum tr_status tr_generator_read_prompt(struct tr_generator *generator, const int32_t *tokens,
                                                      int64_t count, struct tr_err *err);

/* Bytes that a token after `length` others needs of memory: matrices once, keys and values. What memory reads in a second
 * over this is the most tokens in a second, one text at a time. */
int64_t tr_generator_token_bytes(const struct tr_generator *generator, int64_t length);

/* Draws the next token from the logits; does not read it. */
int32_t tr_generator_draw(struct tr_generator *generator, const struct tr_sampling *sampling);

/* ---- text: by a tokenizer, or bytes (lab/data/data.h) where that is NULL ----------------------------------------- */

/* The tokens of a prompt, at least one, into *ids, which is empty; apart from reading them, because a generator's capacity
 * follows from their number. An empty text is what the tokenizer puts before a text, else a new line. TR_BAD_INPUT: the
 * vocabulary has none of its bytes. */
TR_MUST_CHECK enum tr_status tr_prompt_text(const struct tr_token *token, const char *text, int64_t bytes, struct tr_ids *ids,
                                            struct tr_err *err);

/* Messages as the template says them, up to where the assistant's reply begins. */
TR_MUST_CHECK enum tr_status tr_prompt_chat(const struct tr_token *token, const struct tr_chat *chat,
                                            const struct tr_message *messages, int64_t count, struct tr_ids *ids,
                                            struct tr_err *err);

/* Takes a piece of text, whole characters, perhaps none. Any status but TR_OK ends the text; TR_NO is not a failure. */
typedef enum tr_status tr_text_sink(void *context, const char *piece, size_t bytes, struct tr_err *err);

/* Draws up to `tokens` tokens, hands them to the sink as text, and reads all but the last; ends early at the end-of-text token
 * and at each of generator->stops. By generator->token. */
TR_MUST_CHECK enum tr_status tr_generator_write_text(struct tr_generator *generator, const struct tr_sampling *sampling,
                                                     int64_t tokens, tr_text_sink *sink, void *context,
                                                     struct tr_err *err);

#endif
