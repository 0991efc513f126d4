/* Scoring endings: each ending is a row of tokens; rows of like length are computed together. */
#include "base/num.h"
#include "lab/eval/eval.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH_STEP = 64 }; /* rows are padded to a multiple of it: as many programs as there are lengths */

struct row {
    int64_t first;   /* of its tokens in ids; inputs are tokens [0, count - 1), targets [1, count) */
    int64_t count;
    int64_t ending;  /* of these the last so many are the ending's */
    int64_t index;   /* among all rows */
    int64_t length;  /* padded, of inputs */
};

struct scorer {
    struct tr_evaluator *e;
    const struct tr_token *token;
    struct tr_encoder *encoder; /* NULL: bytes */
    struct tr_ids ids;          /* of all rows */
    struct tr_ids context, both;
    char *text;                 /* context, a space, ending */
    int64_t text_room;
    struct row *row;
    int64_t row_count;
    int64_t done;
};

/* ---- tokens ------------------------------------------------------------------------------------------------------ */

static enum tr_status encode(struct scorer *s, int64_t bytes, struct tr_ids *ids, struct tr_err *err)
{
    ids->count = 0;
    if (s->encoder)
        return tr_encode(s->encoder, s->text, (size_t)bytes, TR_ENCODE_BEFORE, ids, err);
    enum tr_status status = TR_OK;
    for (int64_t i = 0; i < bytes && status == TR_OK; i++)
        status = tr_ids_add(ids, (uint8_t)s->text[i], err);
    return status;
}

/* What an empty context is: the model has to begin somewhere. */
static enum tr_status add_start(struct scorer *s, struct tr_ids *ids, struct tr_err *err)
{
    int64_t end = s->token ? tr_token_end_id(s->token) : TR_TOKEN_END;
    if (end < 0)
        return tr_fail(err, TR_BAD_INPUT, "a question has an empty context, and the tokenizer has no token that ends a "
                       "text to begin with");
    return tr_ids_add(ids, (int32_t)end, err);
}

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static enum tr_status join_text(struct scorer *s, const struct tr_choice_question *question, int32_t ending,
                                int64_t *context_bytes, int64_t *all_bytes, struct tr_err *err)
{
    const struct tr_string *tail = &question->ending[ending];
    int64_t context = question->context.bytes, all = context + 1 + tail->bytes;
    if (all > s->text_room) {
        char *text = realloc(s->text, (size_t)(2 * all));
        if (!text)
            return tr_fail(err, TR_FAILED, "out of memory for a question of %lld bytes", (long long)all);
        s->text = text;
        s->text_room = 2 * all;
    }
    memcpy(s->text, question->context.at, (size_t)context);
    s->text[context] = ' ';
    memcpy(s->text + context + 1, tail->at, (size_t)tail->bytes);
    while (context > 0 && is_space(s->text[context - 1]))
        context--;
    *context_bytes = context;
    *all_bytes = all;
    return TR_OK;
}

static enum tr_status refuse_row(const struct scorer *s, int64_t question, int32_t ending, int64_t tokens,
                                 struct tr_err *err)
{
    if (tokens == 0)
        return tr_fail(err, TR_BAD_INPUT, "question %lld: ending %d adds no token to its context",
                       (long long)question + 1, ending);
    return tr_fail(err, TR_BAD_INPUT, "question %lld: ending %d has %lld tokens, the model has positions for %lld",
                   (long long)question + 1, ending, (long long)tokens, (long long)s->e->model.positions);
}

static enum tr_status add_row(struct scorer *s, const struct tr_choices *choices, int64_t index, int32_t ending,
                              struct tr_choice_score *score, struct tr_err *err)
{
    int64_t context_bytes = 0, all_bytes = 0;
    enum tr_status status = join_text(s, &choices->question[index], ending, &context_bytes, &all_bytes, err);
    if (status == TR_OK)
        status = encode(s, context_bytes, &s->context, err);
    if (status == TR_OK)
        status = encode(s, all_bytes, &s->both, err);
    if (status != TR_OK)
        return status;
    bool bare = s->context.count == 0; /* no context, and nothing that the tokenizer puts before a text */
    int64_t tail = s->both.count - s->context.count, all = s->both.count + bare;
    int64_t cut = tr_max_i64(0, all - 1 - s->e->model.positions);
    if (tail <= 0 || tail > s->e->model.positions)
        return refuse_row(s, index, ending, tr_max_i64(0, tail), err);
    if (s->ids.count + all > TR_CHOICES_MAX_TOKENS)
        return tr_fail(err, TR_BAD_INPUT, "the questions have more than %d tokens in all: evaluate a part of them",
                       TR_CHOICES_MAX_TOKENS);
    struct row *row = &s->row[s->row_count];
    *row = (struct row){.first = s->ids.count, .count = all - cut, .ending = tail, .index = s->row_count};
    row->length = tr_min_i64(tr_round_up(row->count - 1, LENGTH_STEP), s->e->model.positions);
    score[s->row_count++] = (struct tr_choice_score){.tokens = tail, .cut = cut};
    if (bare && cut == 0)
        status = add_start(s, &s->ids, err);
    for (int64_t i = tr_max_i64(0, cut - bare); i < s->both.count && status == TR_OK; i++)
        status = tr_ids_add(&s->ids, s->both.at[i], err);
    return status;
}

static enum tr_status add_rows(struct scorer *s, const struct tr_choices *choices, struct tr_choice_score *score,
                               struct tr_err *err)
{
    enum tr_status status = TR_OK;
    for (int64_t q = 0; q < choices->count; q++)
        for (int32_t ending = 0; ending < choices->question[q].ending_count && status == TR_OK; ending++)
            status = add_row(s, choices, q, ending, score, err);
    return status;
}

/* ---- log probabilities ------------------------------------------------------------------------------------------- */

static void put_row(const struct scorer *s, const struct row *row, int32_t *tokens, int32_t *targets)
{
    const int32_t *ids = s->ids.at + row->first;
    for (int64_t t = 0; t < row->length; t++) {
        bool inside = t + 1 < row->count;
        tokens[t] = inside ? ids[t] : 0;
        targets[t] = inside && t + 1 >= row->count - row->ending ? ids[t + 1] : -1;
    }
}

static void take_score(const struct row *row, const float *loss, struct tr_choice_score *score)
{
    double sum = 0;
    for (int64_t t = row->count - 1 - row->ending; t < row->count - 1; t++)
        sum -= (double)loss[t];
    score[row->index].log_prob = sum;
}

/* Rows [first, end), all of one length. */
static enum tr_status score_length(struct scorer *s, int64_t first, int64_t end, tr_eval_watch *watch, void *context,
                                   struct tr_choice_score *score, struct tr_err *err)
{
    struct tr_program program;
    struct tr_exec exec;
    const struct tr_widths widths = {1, 1, s->e->widths.tensor, s->e->widths.vocab};
    int64_t length = s->row[first].length;
    int64_t seqs = tr_min_i64(end - first, tr_max_i64(1, s->e->at_once / length));
    enum tr_status status =
        tr_program_eval(&program, &s->e->model, s->e->dtype, s->e->form, &widths, seqs, length, false, s->e->machine, err);
    if (status != TR_OK)
        return status;
    if ((status = tr_exec_open(&exec, &program, s->e->machine, &s->e->exec, err)) != TR_OK)
        goto free_program;
    int32_t *tokens = tr_exec_buffer(&exec, program.tokens), *targets = tr_exec_buffer(&exec, program.targets);
    const float *loss = tr_exec_buffer(&exec, program.loss);
    for (int64_t at = first; at < end && status == TR_OK; at += seqs) {
        for (int64_t i = 0; i < seqs; i++) /* the last microbatch is filled up with its first row */
            put_row(s, &s->row[at + i < end ? at + i : at], tokens + i * length, targets + i * length);
        tr_exec_evaluate(&exec);
        for (int64_t i = 0; i < seqs && at + i < end; i++)
            take_score(&s->row[at + i], loss + i * length, score);
        s->done += tr_min_i64(seqs, end - at);
        if (watch && !watch(context, s->done, NAN))
            status = TR_NO;
    }
    tr_exec_close(&exec);
free_program:
    tr_program_free(&program);
    return status;
}

static int by_length(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    if (x->length != y->length)
        return x->length < y->length ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

enum tr_status tr_eval_choices(struct tr_evaluator *e, const struct tr_token *token, const struct tr_choices *choices,
                               tr_eval_watch *watch, void *context, struct tr_choice_score *score, struct tr_err *err)
{
    struct scorer s = {.e = e, .token = token, .row = calloc((size_t)choices->row_count, sizeof *s.row)};
    enum tr_status status = TR_OK;
    if (!s.row)
        status = tr_fail(err, TR_FAILED, "out of memory for %lld endings", (long long)choices->row_count);
    if (status == TR_OK && token)
        status = tr_encoder_make(token, &s.encoder, err);
    if (status == TR_OK)
        status = add_rows(&s, choices, score, err);
    if (status == TR_OK)
        qsort(s.row, (size_t)s.row_count, sizeof *s.row, by_length);
    for (int64_t first = 0, end; first < s.row_count && status == TR_OK; first = end) {
        for (end = first; end < s.row_count && s.row[end].length == s.row[first].length;)
            end++;
        status = score_length(&s, first, end, watch, context, score, err);
    }
    tr_encoder_free(s.encoder);
    tr_ids_free(&s.ids);
    tr_ids_free(&s.context);
    tr_ids_free(&s.both);
    free(s.text);
    free(s.row);
    return status;
}

/* ---- accuracy ---------------------------------------------------------------------------------------------------- */

int32_t tr_choice_picked(const struct tr_choice_question *question, const struct tr_choice_score *score, bool normed)
{
    int32_t best = 0;
    double most = -INFINITY;
    for (int32_t i = 0; i < question->ending_count; i++) {
        double value = score[question->first_row + i].log_prob;
        value = normed ? value / (double)question->ending[i].bytes : value;
        if (value > most) {
            most = value;
            best = i;
        }
    }
    return best;
}

struct tr_accuracy tr_choice_accuracy(const struct tr_choices *choices, const struct tr_choice_score *score, bool normed)
{
    struct tr_accuracy a = {.count = choices->count, .error = NAN};
    for (int64_t i = 0; i < choices->count; i++)
        a.right += tr_choice_picked(&choices->question[i], score, normed) == choices->question[i].label;
    a.share = (double)a.right / (double)a.count;
    if (a.count > 1)
        a.error = sqrt(a.share * (1 - a.share) / (double)(a.count - 1));
    return a;
}
