/* lab/eval: the numbers are those of the trainer's validation and of plain double arithmetic, the rules for choices are
 * those of lm-evaluation-harness, and nothing physical changes a bit. */
#include "../model/fixture.h"

#include "base/num.h"
#include "lab/eval/eval.h"
#include "lab/serve/serve.h"
#include "lab/train/origin.h"
#include "lib/model64.h"
#include "lib/scratch.h"
#include "lib/tiny_run.h"

#include <math.h>
#include <stdlib.h>

static const struct tr_widths one = {1, 1, 1, 1};

static struct tr_model_config byte_model(bool llama)
{
    struct tr_model_config model = llama ? fixture_llama() : fixture_gpt2();
    model.vocab = TR_BYTE_VOCAB;
    return model;
}

static void open_evaluator(struct tr_evaluator *e, const struct tr_model_config *model, int64_t seq_len, int64_t seqs,
                           enum tr_isa isa, int threads)
{
    struct tr_err err = {{0}};
    if (tr_evaluator_open(e, model, TR_F32, TR_FORM_ROWS, &one, seq_len, seqs, false, fixture_machine(isa, threads), 0, &err) != TR_OK)
        fail_msg("%s", err.text);
    tr_exec_init(&e->exec, 42);
}

static struct tr_data open_data(const char *path, int64_t seq_len, int64_t stride)
{
    struct tr_data data;
    struct tr_err err = {{0}};
    struct tr_data_config config = {.path = path, .seq_len = seq_len, .batch = 1, .only_val = true, .val_stride = stride};
    if (tr_data_open(&data, &config, &err) != TR_OK)
        fail_msg("%s", err.text);
    return data;
}

static struct tr_choices parse(const char *text)
{
    struct tr_choices choices;
    struct tr_err err = {{0}};
    if (tr_choices_parse("q.jsonl", text, strlen(text), &choices, &err) != TR_OK)
        fail_msg("%s", err.text);
    return choices;
}

/* ---- the trainer's validation ------------------------------------------------------------------------------------ */

struct validation {
    double loss, bpb;
    char folder[TR_PATH_BYTES];
};

static struct validation train(const char *out, const char *change, const char *other)
{
    struct validation v;
    struct tr_err err = {{0}};
    struct tr_train_result *result = calloc(1, sizeof *result);
    struct tr_train_options options = tr_tiny_options();
    struct tr_run_config config = tr_tiny_config(out, "eval.every=6", "eval.windows=7", "train.steps=6", change, other, NULL);
    assert_non_null(result);
    if (tr_train(&config, &options, result, &err) != TR_OK)
        fail_msg("%s", err.text);
    v.loss = result->state.val_loss;
    v.bpb = result->state.val_bpb;
    strcpy(v.folder, config.out);
    tr_text_free(&result->last_sample);
    free(result);
    return v;
}

/* The losses of the second document, from a window that also holds the first and the third. */
static void losses_among(const char *first, const char *third, float losses[], int64_t at, int64_t count)
{
    struct tr_evaluator e;
    struct tr_data data;
    struct tr_err err = {{0}};
    struct tr_model_config model = byte_model(true);
    tr_scratch_put_text("among/1", first);
    tr_scratch_put_text("among/2", "what stands here is the same");
    tr_scratch_put_text("among/3", third);
    struct tr_data_config config = {.path = tr_scratch("among"), .seq_len = 64, .batch = 1, .only_val = true,
                                    .apart = true};
    if (tr_data_open(&data, &config, &err) != TR_OK ||
        tr_evaluator_open(&e, &model, TR_F32, TR_FORM_ROWS, &one, 64, 1, true, fixture_machine(fixture_best_isa(), 2), 0, &err) != TR_OK)
        fail_msg("%s", err.text);
    tr_exec_init(&e.exec, 42);
    const struct tr_program *p = &e.program;
    tr_data_val_batch(&data, 0, 1, tr_exec_buffer(&e.exec, p->tokens), tr_exec_buffer(&e.exec, p->targets),
                      tr_exec_buffer(&e.exec, p->starts));
    tr_exec_evaluate(&e.exec);
    memcpy(losses, (float *)tr_exec_buffer(&e.exec, p->loss) + at, (size_t)count * sizeof *losses);
    tr_evaluator_close(&e);
    tr_data_close(&data);
}

static void another_document_changes_no_bit_of_the_losses_of_a_document(void **state)
{
    (void)state;
    enum { AT = 13, COUNT = 28 }; /* the last one predicts the end */
    float a[COUNT], b[COUNT];
    losses_among("twelve bytes", "and a third document", a, AT, COUNT);
    losses_among("other twelve", "something else", b, AT, COUNT);
    assert_memory_equal(a, b, sizeof a);
    for (int i = 0; i < COUNT; i++)
        assert_true(a[i] > 0);
}

static void an_evaluation_of_a_checkpoint_gives_the_number_that_the_trainer_gave(void **state)
{
    (void)state;
    static char documents[TR_PATH_BYTES];
    static const char *const changes[][2] = {{NULL, NULL}, {"layout.tensor=1", "layout.vocab=3"},
                                             {"data.seq_len=128", "layout.context=2"},
                                             {documents, "data.documents=apart"}};
    tr_scratch_put_text("documents/a", "the first of them is short.");
    for (int k = 0; k < 40; k++) {
        char name[32], text[64];
        snprintf(name, sizeof name, "documents/b%02d", k);
        snprintf(text, sizeof text, "%d bottles of %.*s", k, k, "water and of something that is no water at all");
        tr_scratch_put_text(name, text);
    }
    snprintf(documents, sizeof documents, "data.path=%s", tr_scratch("documents"));
    for (int i = 0; i < 4; i++) {
        char name[16];
        struct tr_err err = {{0}};
        struct tr_origin o;
        struct tr_evaluator e;
        struct tr_data data;
        struct tr_eval_sum sum;
        snprintf(name, sizeof name, "same%d", i);
        struct validation v = train(name, changes[i][0], changes[i][1]);
        if (tr_origin_find(&o, v.folder, &err) != TR_OK)
            fail_msg("%s", err.text);
        struct tr_data_config config = {.path = o.data, .seq_len = o.seq_len, .batch = 1, .val_windows = o.val_windows,
                                        .val_fraction = o.val_fraction, .apart = o.apart};
        if (tr_data_open(&data, &config, &err) != TR_OK ||
            tr_evaluator_open(&e, &o.model, o.dtype, TR_FORM_ROWS, &o.widths, o.seq_len, 3, o.apart, fixture_machine(fixture_best_isa(), 2), 0,
                              &err) != TR_OK ||
            tr_origin_load(&o, &e.exec, &err) != TR_OK)
            fail_msg("%s", err.text);
        assert_string_equal(data.sha256, o.data_sha256);
        assert_int_equal(tr_eval_windows(&e.exec, &data, NULL, NULL, &sum), TR_OK);
        assert_int_equal(sum.windows, tr_min_i64(7, data.val_windows_all));
        assert_true(sum.nats / (double)sum.targets == v.loss);
        assert_true(tr_bits_per_byte(sum.nats, sum.bytes) == v.bpb);
        tr_evaluator_close(&e);
        tr_data_close(&data);
    }
}

/* ---- the truth --------------------------------------------------------------------------------------------------- */

static double **double_weights(const struct tr_exec *exec)
{
    const struct tr_weights *weights = &exec->program->weights;
    double **w = model64_new(weights);
    for (int32_t i = 0; i < weights->count; i++)
        for (int64_t k = 0; k < weights->weight[i].count; k++)
            w[i][k] = (double)tr_exec_weight(exec, i)[k];
    return w;
}

/* Sum of -log p of tokens [from, count) each after those before it, by plain doubles. */
static double true_nats(const struct tr_exec *exec, double *const *w, const int32_t *tokens, int count, int from)
{
    int32_t *targets = malloc((size_t)count * sizeof *targets);
    assert_non_null(targets);
    for (int t = 0; t + 1 < count; t++)
        targets[t] = t + 1 >= from ? tokens[t + 1] : -1;
    double mean = model64_loss(&exec->program->model, &exec->program->weights, w, 1, count - 1, tokens, targets, NULL);
    free(targets);
    return mean * (double)(count - from);
}

static void the_loss_of_a_text_is_that_of_double_arithmetic(void **state)
{
    (void)state;
    char text[400];
    struct tr_bytes all = tr_scratch_read(tr_tiny_text());
    memcpy(text, all.at, sizeof text);
    tr_bytes_free(&all);
    tr_scratch_put("short.txt", text, sizeof text);
    for (int llama = 0; llama < 2; llama++) {
        struct tr_model_config model = byte_model(llama);
        struct tr_evaluator e;
        struct tr_eval_sum sum;
        open_evaluator(&e, &model, 48, 3, fixture_best_isa(), 2);
        double **w = double_weights(&e.exec);
        for (int64_t stride = 48; stride > 0; stride -= 31) {
            struct tr_data data = open_data(tr_scratch("short.txt"), 48, stride);
            assert_int_equal(tr_eval_windows(&e.exec, &data, NULL, NULL, &sum), TR_OK);
            assert_int_equal(sum.targets, 399);
            assert_int_equal(sum.bytes, 399);
            double truth = 0;
            int32_t tokens[49];
            for (int begin = 0, done = 1; done < 400; begin += (int)stride) {
                int count = begin + 49 < 400 ? 49 : 400 - begin;
                for (int i = 0; i < count; i++)
                    tokens[i] = (uint8_t)text[begin + i];
                truth += true_nats(&e.exec, w, tokens, count, done - begin);
                done = begin + count;
            }
            if (!(fabs(sum.nats - truth) <= 2e-6 * truth))
                fail_msg("stride %lld: %.12g, the truth is %.12g", (long long)stride, sum.nats, truth);
            tr_data_close(&data);
        }
        model64_free(&e.program.weights, w);
        tr_evaluator_close(&e);
    }
}

static const char questions[] =
    "{\"ctx\": \"the sea and the\", \"endings\": [\"light\", \"stone of night\", \"over it all went a long grey cloud and "
    "then another, and nobody on the shore could say where one of them ended\"], \"label\": 2}\n"
    "\n"
    "{\"ctx\": \"a light  \", \"endings\": [\"went\", \"x\"], \"label\": \"1\", \"split\": \"val\"}\r\n"
    "{\"query\": \"\", \"choices\": [\"n\\u00e4chtlich\", \"night\", \"stone\", \"sea\"], \"gold\": 0, \"ctx\": 1}\n"
    "{\"ctx\": \"of the night over the stone and of the light over the sea\", \"endings\": [\"a\", \"bb\"], \"label\": 0}";

/* The rule, written down once more: the tokens of context (its end without white space) and of all. */
static double true_score(const struct tr_evaluator *e, double *const *w, const struct tr_choice_question *q, int ending)
{
    int32_t tokens[512];
    int count = 0, from;
    if (q->context.bytes == 0)
        tokens[count++] = TR_TOKEN_END;
    for (int64_t i = 0; i < q->context.bytes; i++)
        tokens[count++] = (uint8_t)q->context.at[i];
    for (from = count; from > 0 && tokens[from - 1] == ' ';)
        from--;
    tokens[count++] = ' ';
    for (int64_t i = 0; i < q->ending[ending].bytes; i++)
        tokens[count++] = (uint8_t)q->ending[ending].at[i];
    int first = count - 1 > (int)e->model.positions ? count - 1 - (int)e->model.positions : 0;
    return -true_nats(&e->exec, w, tokens + first, count - first, from - first);
}

static void choices_are_scored_and_picked_as_by_double_arithmetic(void **state)
{
    (void)state;
    struct tr_choices choices = parse(questions);
    assert_int_equal(choices.count, 4);
    assert_int_equal(choices.row_count, 11);
    for (int llama = 0; llama < 2; llama++) {
        struct tr_model_config model = byte_model(llama);
        struct tr_evaluator e;
        struct tr_choice_score score[11];
        struct tr_err err = {{0}};
        model.positions = 120; /* the long ending's context is cut off in front */
        open_evaluator(&e, &model, 64, 2, fixture_best_isa(), 2);
        if (tr_eval_choices(&e, NULL, &choices, NULL, NULL, score, &err) != TR_OK)
            fail_msg("%s", err.text);
        double **w = double_weights(&e.exec);
        int right[2] = {0};
        for (int q = 0; q < 4; q++) {
            const struct tr_choice_question *question = &choices.question[q];
            int best[2] = {0};
            double most[2] = {-INFINITY, -INFINITY};
            for (int i = 0; i < question->ending_count; i++) {
                double truth = true_score(&e, w, question, i), got = score[question->first_row + i].log_prob;
                if (!(fabs(got - truth) <= 2e-6 * fabs(truth)))
                    fail_msg("question %d, ending %d: %.12g, the truth is %.12g", q, i, got, truth);
                double each[2] = {truth, truth / (double)question->ending[i].bytes};
                for (int n = 0; n < 2; n++)
                    if (each[n] > most[n]) {
                        most[n] = each[n];
                        best[n] = i;
                    }
            }
            for (int n = 0; n < 2; n++) {
                assert_int_equal(tr_choice_picked(question, score, n == 1), best[n]);
                right[n] += best[n] == question->label;
            }
        }
        for (int n = 0; n < 2; n++) {
            struct tr_accuracy a = tr_choice_accuracy(&choices, score, n == 1);
            assert_int_equal(a.right, right[n]);
            assert_true(a.count == 4 && a.share == right[n] / 4.0);
        }
        assert_true(score[2].cut > 0 && score[0].cut == 0);
        assert_int_equal(score[5].tokens, 1 + (int)strlen("n\xc3\xa4""chtlich"));
        assert_int_equal(score[3].tokens, 3 + 4); /* the two spaces behind "a light" belong to the ending */
        model64_free(&e.program.weights, w);
        tr_evaluator_close(&e);
    }
    tr_choices_free(&choices);
}

static void the_standard_error_is_that_of_a_mean(void **state)
{
    (void)state;
    struct tr_choices choices = parse("{\"ctx\":\"\",\"endings\":[\"a\",\"b\"],\"label\":0}\n"
                                      "{\"ctx\":\"\",\"endings\":[\"a\",\"b\"],\"label\":0}\n"
                                      "{\"ctx\":\"\",\"endings\":[\"a\",\"bbbb\"],\"label\":1}\n"
                                      "{\"ctx\":\"\",\"endings\":[\"a\",\"b\"],\"label\":1}\n");
    struct tr_choice_score score[8] = {{.log_prob = -1}, {.log_prob = -2}, {.log_prob = -3}, {.log_prob = -3},
                                       {.log_prob = -5}, {.log_prob = -6}, {.log_prob = -1}, {.log_prob = -2}};
    struct tr_accuracy acc = tr_choice_accuracy(&choices, score, false);
    struct tr_accuracy norm = tr_choice_accuracy(&choices, score, true);
    assert_int_equal(acc.right, 2);  /* of equal scores the first is picked */
    assert_int_equal(norm.right, 3); /* -6 / 4 is more than -5 / 1 */
    /* The sample {1,1,0,0} has the standard deviation sqrt(1/3), the error of its mean is half of it. */
    assert_true(fabs(acc.error - sqrt(1.0 / 3) / 2) < 1e-15);
    assert_true(fabs(norm.error - sqrt(0.25) / 2) < 1e-15);
    choices.count = 1;
    assert_true(isnan(tr_choice_accuracy(&choices, score, false).error));
    tr_choices_free(&choices);
}

/* ---- bits -------------------------------------------------------------------------------------------------------- */

/* Logits far apart, and a text of which the half is what the model itself would write: losses are then from 1e-7 to 50,
 * and their sum has more digits than a double, so that a sum which is rounded batch by batch would show. */
static void make_bold(const struct tr_exec *exec)
{
    int32_t head = tr_weight_find(&exec->program->weights, TR_W_HEAD, -1);
    for (int64_t i = 0; i < exec->program->weights.weight[head].count; i++)
        tr_exec_weight(exec, head)[i] *= 40;
}

static enum tr_status add_to_text(void *context, const char *piece, size_t bytes, struct tr_err *err)
{
    (void)err;
    tr_text_append_bytes(context, piece, bytes);
    return TR_OK;
}

static const char *bold_text(const struct tr_model_config *model)
{
    const struct tr_sampling greedy = {.top_p = 1};
    struct tr_evaluator e;
    struct tr_generator g;
    struct tr_text text = {0};
    struct tr_err err = {{0}};
    struct tr_bytes words = tr_scratch_read(tr_tiny_text());
    open_evaluator(&e, model, 64, 1, fixture_best_isa(), 1);
    make_bold(&e.exec);
    if (tr_generator_open(&g, model, TR_F32, TR_FORM_ROWS, &one, 64, e.machine, &e.exec, &err) != TR_OK)
        fail_msg("%s", err.text);
    for (char letter = 'a'; letter <= 'z'; letter++) {
        tr_text_append_bytes(&text, words.at + 40 * (letter - 'a'), 40);
        tr_generator_reset(&g);
        struct tr_ids ids = {0};
        assert_int_equal(tr_prompt_text(NULL, tr_text_str(&text) + text.len - 20, 20, &ids, &err), TR_OK);
        assert_int_equal(tr_generator_read_prompt(&g, ids.at, ids.count, &err), TR_OK);
        tr_ids_free(&ids);
        assert_int_equal(tr_generator_write_text(&g, &greedy, 40, add_to_text, &text, &err), TR_OK);
    }
    tr_scratch_put("bold.txt", tr_text_str(&text), text.len);
    tr_text_free(&text);
    tr_bytes_free(&words);
    tr_generator_close(&g);
    tr_evaluator_close(&e);
    return tr_scratch("bold.txt");
}

static void threads_instruction_set_and_batch_change_no_bit(void **state)
{
    (void)state;
    struct tr_choices choices = parse(questions);
    struct tr_model_config model = byte_model(true);
    struct tr_data data = open_data(bold_text(&model), 64, 40);
    struct tr_eval_sum first, sum;
    struct tr_choice_score first_score[11], score[11];
    struct tr_err err = {{0}};
    const struct {
        enum tr_isa isa;
        int threads;
        int64_t seqs;
    } how[] = {{fixture_best_isa(), 2, 0}, {TR_ISA_REF, 2, 5}, {fixture_best_isa(), 1, 1}, {fixture_best_isa(), 3, 7}};
    for (int i = 0; i < 4; i++) {
        struct tr_evaluator e;
        memset(score, 0, sizeof score); /* padding too: compared as bytes */
        open_evaluator(&e, &model, 64, how[i].seqs, how[i].isa, how[i].threads);
        make_bold(&e.exec);
        assert_int_equal(tr_eval_windows(&e.exec, &data, NULL, NULL, &sum), TR_OK);
        if (tr_eval_choices(&e, NULL, &choices, NULL, NULL, score, &err) != TR_OK)
            fail_msg("%s", err.text);
        if (i == 0) {
            first = sum;
            memcpy(first_score, score, sizeof score);
        }
        assert_memory_equal(&sum, &first, sizeof sum);
        assert_memory_equal(score, first_score, sizeof score);
        tr_evaluator_close(&e);
    }
    tr_data_close(&data);
    tr_choices_free(&choices);
}

static void a_tokenizer_decides_where_an_ending_begins(void **state)
{
    (void)state;
    char path[TR_PATH_BYTES];
    struct tr_err err = {{0}};
    struct tr_token *token;
    struct tr_encoder *encoder = NULL;
    snprintf(path, sizeof path, "%s/tests/lab/token/golden/gpt2.tokenizer.json", getenv("TRINE_SOURCE_DIR"));
    if (tr_token_read(path, &token, &err) != TR_OK || tr_encoder_make(token, &encoder, &err) != TR_OK)
        fail_msg("%s", err.text);
    struct tr_choices choices = parse("{\"ctx\": \"The night went \", \"endings\": [\"over the stone\", \"out\"], \"label\": 0}");
    struct tr_model_config model = fixture_gpt2();
    struct tr_evaluator e;
    struct tr_choice_score score[2];
    model.vocab = tr_token_vocab(token);
    open_evaluator(&e, &model, 16, 0, fixture_best_isa(), 1);
    if (tr_eval_choices(&e, token, &choices, NULL, NULL, score, &err) != TR_OK)
        fail_msg("%s", err.text);
    double **w = double_weights(&e.exec);
    static const char *const whole[] = {"The night went  over the stone", "The night went  out"};
    struct tr_ids context = {0}, all = {0};
    assert_int_equal(tr_encode(encoder, "The night went", 14, TR_ENCODE_BEFORE, &context, &err), TR_OK);
    for (int i = 0; i < 2; i++) {
        all.count = 0;
        assert_int_equal(tr_encode(encoder, whole[i], strlen(whole[i]), TR_ENCODE_BEFORE, &all, &err), TR_OK);
        assert_int_equal(score[i].tokens, all.count - context.count);
        double truth = -true_nats(&e.exec, w, all.at, (int)all.count, (int)context.count);
        assert_true(fabs(score[i].log_prob - truth) <= 2e-6 * fabs(truth));
    }
    tr_ids_free(&context);
    tr_ids_free(&all);
    model64_free(&e.program.weights, w);
    tr_evaluator_close(&e);
    tr_choices_free(&choices);
    tr_encoder_free(encoder);
    tr_token_free(token);
}

/* ---- what cannot be ---------------------------------------------------------------------------------------------- */

static void refuse(const char *text, const char *says)
{
    struct tr_choices choices;
    struct tr_err err = {{0}};
    assert_int_equal(tr_choices_parse("q.jsonl", text, strlen(text), &choices, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, says);
    tr_choices_free(&choices);
}

static void bad_questions_are_refused_with_file_line_and_reason(void **state)
{
    (void)state;
    refuse("", "q.jsonl: holds no question");
    refuse("\n \t\r\n", "q.jsonl: holds no question");
    refuse("{\"ctx\":\"a\",\"endings\":[\"b\",\"c\"],\"label\":0}\n{\"ctx\":\"a\"", "q.jsonl:2");
    refuse("[1]", "q.jsonl:1: expected an object");
    refuse("{\"endings\":[\"b\",\"c\"],\"label\":0}", "q.jsonl:1: has no key \"ctx\" (or \"query\")");
    refuse("{\"ctx\":\"a\",\"label\":0}", "has no key \"endings\" (or \"choices\")");
    refuse("{\"ctx\":\"a\",\"endings\":[\"b\",\"c\"]}", "has no key \"label\" (or \"gold\")");
    refuse("{\"ctx\":\"a\",\"endings\":[\"b\"],\"label\":0}", "q.jsonl:1: endings: expected a list of 2 to 64 endings");
    refuse("{\"ctx\":\"a\",\"endings\":{\"b\":1},\"label\":0}", "endings: expected a list");
    refuse("{\"ctx\":\"a\",\"endings\":[\"b\",\"\"],\"label\":0}", "endings[1]: is empty");
    refuse("{\"ctx\":\"a\",\"endings\":[\"b\",7],\"label\":0}", "endings[1]: expected a text");
    refuse("{\"ctx\":\"a\",\"endings\":[\"b\",\"c\"],\"label\":2}", "label: expected a whole number from 0 to 1, got 2");
    refuse("{\"ctx\":\"a\",\"endings\":[\"b\",\"c\"],\"label\":-1}", "label: expected a whole number from 0 to 1");
    refuse("{\"ctx\":\"a\",\"endings\":[\"b\",\"c\"],\"label\":\"2\"}", "label: expected the number of the right ending");
    refuse("{\"ctx\":\"a\",\"endings\":[\"b\",\"c\"],\"label\":\"-1\"}", "label: expected the number of the right ending");
    refuse("{\"ctx\":\"a\",\"endings\":[\"b\",\"c\"],\"label\":\"99999999999999999999\"}", "label: expected the number");
    struct tr_choices choices;
    struct tr_err err = {{0}};
    assert_int_equal(tr_choices_read(tr_scratch("nowhere.jsonl"), &choices, &err), TR_BAD_INPUT);
    tr_choices_free(&choices);
}

static void an_ending_that_does_not_fit_is_refused_by_its_number(void **state)
{
    (void)state;
    struct tr_choices choices = parse("{\"ctx\": \"a\", \"endings\": [\"b\", \"0123456789012345678901234567890\"], \"label\": 0}");
    struct tr_model_config model = byte_model(false);
    struct tr_evaluator e;
    struct tr_choice_score score[2];
    struct tr_err err = {{0}};
    model.positions = 16;
    open_evaluator(&e, &model, 16, 0, fixture_best_isa(), 1);
    assert_int_equal(tr_eval_choices(&e, NULL, &choices, NULL, NULL, score, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "question 1: ending 1 has 32 tokens, the model has positions for 16");
    tr_evaluator_close(&e);
    tr_choices_free(&choices);
    assert_int_equal(tr_evaluator_open(&e, &model, TR_F32, TR_FORM_ROWS, &one, 17, 0, false, fixture_machine(TR_ISA_REF, 1), 0, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "seq_len 17: model gpt2-test has positions for 1 to 16 tokens");
    assert_int_equal(tr_evaluator_open(&e, &model, TR_F32, TR_FORM_ROWS, &one, 16, 1, false, fixture_machine(TR_ISA_REF, 1), INT64_MAX, &err), TR_NO);
    tr_assert_says(err.text, "evaluating gpt2-test needs");
}

static bool stop_at_third(void *context, int64_t done, double loss)
{
    (void)loss;
    *(int64_t *)context = done;
    return done < 3;
}

static void who_watches_can_stop_it(void **state)
{
    (void)state;
    struct tr_choices choices = parse(questions);
    struct tr_model_config model = byte_model(false);
    struct tr_evaluator e;
    struct tr_data data = open_data(tr_tiny_text(), 16, 0);
    struct tr_eval_sum sum;
    struct tr_choice_score score[11];
    struct tr_err err = {{0}};
    int64_t done = 0;
    open_evaluator(&e, &model, 16, 1, fixture_best_isa(), 1);
    assert_int_equal(tr_eval_windows(&e.exec, &data, stop_at_third, &done, &sum), TR_NO);
    assert_int_equal(done, 3);
    assert_int_equal(tr_eval_choices(&e, NULL, &choices, stop_at_third, &done, score, &err), TR_NO);
    assert_int_equal(done, 3);
    tr_evaluator_close(&e);
    tr_data_close(&data);
    tr_choices_free(&choices);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_document_changes_no_bit_of_the_losses_of_a_document),
        cmocka_unit_test(an_evaluation_of_a_checkpoint_gives_the_number_that_the_trainer_gave),
        cmocka_unit_test(the_loss_of_a_text_is_that_of_double_arithmetic),
        cmocka_unit_test(choices_are_scored_and_picked_as_by_double_arithmetic),
        cmocka_unit_test(the_standard_error_is_that_of_a_mean),
        cmocka_unit_test(threads_instruction_set_and_batch_change_no_bit),
        cmocka_unit_test(a_tokenizer_decides_where_an_ending_begins),
        cmocka_unit_test(bad_questions_are_refused_with_file_line_and_reason),
        cmocka_unit_test(an_ending_that_does_not_fit_is_refused_by_its_number),
        cmocka_unit_test(who_watches_can_stop_it),
    };
    return cmocka_run_group_tests_name("lab/eval", tests, tr_scratch_setup, tr_scratch_teardown);
}
