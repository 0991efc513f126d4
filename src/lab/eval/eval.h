/* Evaluation: how well a model predicts a text, and how often it picks the right ending.
 *
 *     struct tr_evaluator e;
 *     tr_evaluator_open(&e, &model, TR_F32, &widths, seq_len, 0, false, machine, 0, err)
 *     then weights: tr_exec_weight(&e.exec, i), tr_exec_weights_written(&e.exec)
 *     tr_eval_windows(&e.exec, &data, watch, context, &sum, err)
 *     tr_eval_choices(&e, token, &choices, watch, context, scores, err)
 *     tr_evaluator_close(&e)
 *
 * The forward pass is the EVAL section of the step program, the same that validates during training. Losses are fp32
 * numbers of single tokens, which depend on nothing but weights and text; they are summed exactly (silicon/op/exact.h).
 * So no result depends on threads, instruction set, or how many sequences are computed at a time.
 *
 * WINDOWS  The validation windows of tr_data: each token but the first is predicted once, from what its window holds of
 *          the text before it.
 * CHOICES  A question is a context and two or more endings, one of them right. An ending's score is the sum of the log
 *          probabilities of its tokens after the context and one space. Two accuracies, as lm-evaluation-harness has them:
 *              acc       the ending with the highest score is the right one (of equal ones, the first)
 *              acc_norm  the same for score / bytes of the ending (UTF-8, without the space)
 *          each with the standard error of a mean, sqrt(p (1 - p) / (n - 1)). Its acc_norm divides by characters: the same
 *          for ASCII.
 *          Tokens: context and ending are encoded together, and those beyond the tokens of the context alone are the
 *          ending's; white space at the context's end counts as the ending's beginning. An empty context is the token that
 *          ends a text. What does not fit the model's positions is cut off in front.
 */
#ifndef TR_LAB_EVAL_EVAL_H
#define TR_LAB_EVAL_EVAL_H

#include "base/arena.h"
#include "lab/data/data.h"
#include "lab/model/exec.h"
#include "lab/token/token.h"

struct tr_evaluator {
    struct tr_model_config model;
    enum tr_dtype dtype;
    enum tr_weight_form form;
    struct tr_widths widths;
    struct tr_machine machine;
    struct tr_program program;
    struct tr_exec exec; /* holds the weights */
    struct tr_crowd crowd; /* of exec and of those that borrow from it */
    int64_t at_once;     /* tokens of a microbatch, about */
};

/* `seqs` sequences of `seq_len` tokens at a time (0: some four thousand tokens, one thousand with weights in panels). TR_BAD_INPUT: longer than the model's
 * positions, or more memory than this machine has; says how much. `apart`: documents in a window do not see each other,
 * as in the data that it will be given. `data_bytes`: taken by data beside it. */
TR_MUST_CHECK enum tr_status tr_evaluator_open(struct tr_evaluator *e, const struct tr_model_config *model,
                                               enum tr_dtype dtype, enum tr_weight_form form,
                                               const struct tr_widths *widths, int64_t seq_len, int64_t seqs, bool apart, struct tr_machine machine,
                                               int64_t data_bytes, struct tr_err *err);
void tr_evaluator_close(struct tr_evaluator *e); /* also right on a zeroed struct */

/* Asked after each microbatch with what is done so far; false: stop. */
typedef bool tr_eval_watch(void *context, int64_t done, double loss_so_far);

/* ---- windows ----------------------------------------------------------------------------------------------------- */

struct tr_eval_sum {
    int64_t windows, targets;
    int64_t bytes; /* of raw text that the targets stand for */
    double nats;   /* sum of losses, rounded once */
};

/* All validation windows of `data`, by the EVAL section of `exec`. TR_NO: `watch` (NULL: nobody) has stopped it. */
enum tr_status tr_eval_windows(struct tr_exec *exec, const struct tr_data *data, tr_eval_watch *watch, void *context,
                               struct tr_eval_sum *out);

/* Microbatches index, index + count, ... of these windows: what one of `count` ranks does. *nats is the sum over them, which
 * the caller merges; *out counts all windows, without their sum. */
struct tr_eval_share {
    int index, count;
};
enum tr_status tr_eval_share(struct tr_exec *exec, const struct tr_data *data, struct tr_eval_share share, tr_eval_watch *watch,
                             void *context, struct tr_exact *nats, struct tr_eval_sum *out);

/* ---- choices ----------------------------------------------------------------------------------------------------- */

enum {
    TR_CHOICES_MAX_BYTES = 1 << 28,     /* of a file */
    TR_CHOICES_MAX_QUESTIONS = 1000000,
    TR_CHOICES_MAX_ENDINGS = 64,        /* of a question */
    TR_CHOICES_MAX_TOKENS = 1 << 28     /* of all rows */
};

struct tr_choice_question {
    struct tr_string context;
    const struct tr_string *ending; /* [ending_count] */
    int32_t ending_count, label;
    int64_t first_row;              /* of its endings among those of all questions */
};

struct tr_choices {
    struct tr_choice_question *question;
    int64_t count, row_count;
    struct tr_arena arena;
};

/* A JSONL file, one question a line, as HellaSwag's and as lm-evaluation-harness makes of it:
 *     {"ctx": "A man sits on a roof. He", "endings": [" ...", ...], "label": 3}
 *     {"query": "...", "choices": ["...", ...], "gold": 3}             (goes before the above where a line has both)
 * The label counts from 0 and may be a string of digits. Other keys are passed over, empty lines too. TR_BAD_INPUT with
 * path:line. Free with tr_choices_free in any case. */
TR_MUST_CHECK enum tr_status tr_choices_read(const char *path, struct tr_choices *out, struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_choices_parse(const char *source, const char *text, size_t bytes,
                                              struct tr_choices *out, struct tr_err *err);
void tr_choices_free(struct tr_choices *choices);

struct tr_choice_score {
    double log_prob;
    int64_t tokens; /* of the ending */
    int64_t cut;    /* tokens of the context that were cut off in front */
};

/* Fills score[row] for every ending of every question. `token` NULL: bytes. TR_NO: `watch` has stopped it (done counts
 * rows). TR_BAD_INPUT: an ending that has no token, or does not fit the model's positions. */
TR_MUST_CHECK enum tr_status tr_eval_choices(struct tr_evaluator *e, const struct tr_token *token,
                                             const struct tr_choices *choices, tr_eval_watch *watch, void *context,
                                             struct tr_choice_score *score, struct tr_err *err);

/* Which ending the scores pick; normed: per byte. */
int32_t tr_choice_picked(const struct tr_choice_question *question, const struct tr_choice_score *score, bool normed);

struct tr_accuracy {
    int64_t right, count;
    double share, error; /* right / count, and its standard error (NaN for one question) */
};

/* `score` is that of all rows. */
struct tr_accuracy tr_choice_accuracy(const struct tr_choices *choices, const struct tr_choice_score *score,
                                      bool normed);

#endif
