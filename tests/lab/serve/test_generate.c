/* Generation computes what training computes, and sampling is a pure function of logits, settings and seed. */
#include "../model/fixture.h"

#include "base/fmath.h"
#include "lab/serve/serve.h"
#include "lib/scratch.h"
#include "silicon/op/fn.h"

#include <immintrin.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TEXT = 150 };

/* How weights and activations are kept. */
struct manner {
    enum tr_dtype dtype;
    enum tr_weight_form form;
};

static const struct manner manners[] = {{TR_F32, TR_FORM_ROWS}, {TR_F32, TR_FORM_PANELS}, {TR_BF16, TR_FORM_ROWS},
                                        {TR_BF16, TR_FORM_PANELS}, {TR_F32, TR_FORM_INT8}, {TR_BF16, TR_FORM_INT8},
                                        {TR_F32, TR_FORM_INT4}, {TR_BF16, TR_FORM_INT4}};

enum { MANNERS = sizeof manners / sizeof *manners };

static void open_as(struct tr_generator *g, const struct tr_model_config *model, struct manner manner, int64_t capacity,
                    enum tr_isa isa, int threads)
{
    struct tr_err err = {{0}};
    const struct tr_widths one = {1, 1, 1, 1};
    if (tr_generator_open(g, model, manner.dtype, manner.form, &one, capacity, fixture_machine(isa, threads), NULL, &err) !=
        TR_OK)
        fail_msg("%s", err.text);
    tr_exec_init(&g->exec, 42);
}

static void open_generator(struct tr_generator *g, const struct tr_model_config *model, int64_t capacity, int threads)
{
    open_as(g, model, (struct manner){TR_F32, TR_FORM_PANELS}, capacity, fixture_best_isa(), threads);
}

static void make_text(int32_t *tokens, int64_t count, int64_t vocab)
{
    struct tr_rng_key key = tr_rng_key(9, "text", 0);
    for (int64_t i = 0; i < count; i++)
        tokens[i] = (int32_t)tr_rng_below(key, (uint64_t)i, (uint64_t)vocab);
}

static void expect_read(struct tr_generator *g, const int32_t *tokens, int64_t count)
{
    struct tr_err err;
    if (tr_generator_read(g, tokens, count, &err) != TR_OK)
        fail_msg("%s", err.text);
}

/* The loss of one target from its logits, as the contract's rows for HEAD say (one vocabulary part). */
static float contract_loss(const float *logits, int64_t vocab, int32_t target)
{
    float most = logits[0], partial[TR_FOLD] = {0};
    for (int64_t v = 1; v < vocab; v++)
        most = logits[v] > most ? logits[v] : most;
    for (int64_t v = 0; v < vocab; v++)
        partial[v % TR_FOLD] += tr_expf(logits[v] - most);
    return (float)tr_log((double)tr_fold16(partial)) - (logits[target] - most);
}

static void logits_of_generation_are_bit_equal_to_those_of_training(void **state)
{
    (void)state;
    for (int kind = 0; kind < 8; kind++) {
        struct tr_model_config model = kind / 4 == 0 ? fixture_gpt2() : fixture_llama();
        struct tr_step_config step = fixture_step(1, 1, TEXT);
        step.dtype = manners[kind % 4].dtype;
        struct tr_program p;
        struct tr_exec e;
        struct tr_generator g;
        fixture_open(&e, &p, &model, &step, fixture_machine(fixture_best_isa(), 2));
        open_as(&g, &model, manners[kind % 4], TEXT, fixture_best_isa(), 1);
        int32_t text[TEXT + 1];
        make_text(text, TEXT + 1, model.vocab);
        memcpy(tr_exec_buffer(&e, p.tokens), text, TEXT * sizeof *text);
        memcpy(tr_exec_buffer(&e, p.targets), text + 1, TEXT * sizeof *text);
        tr_exec_evaluate(&e);
        const float *loss = NULL; /* the evaluation section's loss buffer: the operand of its head */
        for (int32_t i = p.section[TR_SECTION_EVAL].first_op; i < p.op_count; i++)
            if (p.op[i].op.kind == TR_OP_HEAD)
                loss = tr_exec_buffer(&e, p.op[i].buffer[TR_HEAD_LOSS]);
        assert_non_null(loss);
        for (int64_t t = 0; t < TEXT; t++) {
            expect_read(&g, &text[t], 1);
            float here = contract_loss(g.logits, model.vocab, text[t + 1]);
            assert_memory_equal(&here, &loss[t], sizeof here);
        }
        tr_generator_close(&g);
        fixture_close(&e, &p);
    }
}

static void the_way_a_prompt_is_split_changes_no_bit(void **state)
{
    (void)state;
    static const int64_t cuts[][4] = {{TEXT}, {1, TEXT - 1}, {64, 1, 1, TEXT - 66}, {65, TEXT - 65}, {TEXT - 1, 1}};
    for (int kind = 0; kind < 2 * MANNERS; kind++) {
        struct tr_model_config model = kind / MANNERS == 0 ? fixture_gpt2() : fixture_llama();
        int32_t text[TEXT];
        make_text(text, TEXT, model.vocab);
        float *expected = malloc((size_t)model.vocab * sizeof *expected);
        assert_non_null(expected);
        for (size_t c = 0; c < sizeof cuts / sizeof cuts[0]; c++) {
            struct tr_generator g;
            open_as(&g, &model, manners[kind % MANNERS], 192, fixture_best_isa(), 1 + (int)c % 3);
            int64_t at = 0;
            for (int i = 0; i < 4; at += cuts[c][i++])
                expect_read(&g, text + at, cuts[c][i]);
            assert_int_equal(at, TEXT);
            if (c == 0)
                memcpy(expected, g.logits, (size_t)model.vocab * sizeof *expected);
            assert_memory_equal(expected, g.logits, (size_t)model.vocab * sizeof *expected);
            tr_generator_close(&g);
        }
        free(expected);
    }
}

static void neither_instruction_set_nor_threads_change_a_bit(void **state)
{
    (void)state;
    struct tr_model_config model = fixture_llama();
    int32_t text[TEXT];
    make_text(text, TEXT, model.vocab);
    for (int kind = 0; kind < MANNERS; kind++) {
        float *expected = malloc((size_t)model.vocab * sizeof *expected);
        assert_non_null(expected);
        for (int isa = 0; isa < TR_ISA_COUNT; isa++) {
            struct tr_generator g;
            if (!tr_isa_runs((enum tr_isa)isa))
                continue;
            open_as(&g, &model, manners[kind], 40, (enum tr_isa)isa, isa + 1);
            expect_read(&g, text, 30);
            for (int i = 30; i < 36; i++)
                expect_read(&g, text + i, 1);
            if (isa == 0)
                memcpy(expected, g.logits, (size_t)model.vocab * sizeof *expected);
            assert_memory_equal(expected, g.logits, (size_t)model.vocab * sizeof *expected);
            tr_generator_close(&g);
        }
        free(expected);
    }
}

static void a_full_context_goes_on_from_its_newest_half(void **state)
{
    (void)state;
    struct tr_model_config model = fixture_llama();
    struct tr_generator full, fresh;
    int32_t text[21];
    make_text(text, 21, model.vocab);
    open_generator(&full, &model, 20, 1);
    open_generator(&fresh, &model, 20, 1);
    expect_read(&full, text, 20);
    assert_int_equal(full.length, 20);
    expect_read(&full, text + 20, 1);
    expect_read(&fresh, text + 10, 11);
    assert_int_equal(full.length, 11);
    assert_memory_equal(full.logits, fresh.logits, (size_t)model.vocab * sizeof(float));
    tr_generator_close(&full);
    tr_generator_close(&fresh);
}

static void of_a_long_prompt_what_would_be_given_up_is_not_read(void **state)
{
    (void)state;
    enum { LONG = 150 };
    struct tr_model_config model = fixture_llama();
    static const int64_t begun[] = {0, 1, 19, 20};
    int32_t text[LONG];
    make_text(text, LONG, model.vocab);
    for (size_t b = 0; b < sizeof begun / sizeof *begun; b++)
        for (int64_t count = begun[b] + 1; count <= LONG; count += 7) {
            struct tr_generator one_by_one, at_once;
            open_generator(&one_by_one, &model, 20, 1);
            open_generator(&at_once, &model, 20, 1);
            for (int64_t i = 0; i < count; i++)
                expect_read(&one_by_one, text + i, 1);
            expect_read(&at_once, text, begun[b]);
            expect_read(&at_once, text + begun[b], count - begun[b]);
            assert_int_equal(at_once.length, one_by_one.length);
            assert_memory_equal(at_once.logits, one_by_one.logits, (size_t)model.vocab * sizeof(float));
            tr_generator_close(&one_by_one);
            tr_generator_close(&at_once);
        }
}

static void a_token_outside_the_vocabulary_is_refused(void **state)
{
    (void)state;
    struct tr_model_config model = fixture_gpt2();
    struct tr_generator g;
    struct tr_err err;
    open_generator(&g, &model, 8, 1);
    const int32_t bad[] = {1, 61};
    assert_int_equal(tr_generator_read(&g, bad, 2, &err), TR_BAD_INPUT);
    assert_non_null(strstr(err.text, "0 to 60"));
    tr_generator_close(&g);
}

static void a_text_that_needs_more_memory_than_there_is_is_refused(void **state)
{
    (void)state;
    struct tr_model_config model = fixture_llama();
    const struct tr_widths one = {1, 1, 1, 1};
    struct tr_generator g;
    struct tr_err err;
    model.heads = model.kv_heads = 64;
    model.head_dim = 256;
    model.layers = 64;
    model.positions = TR_POSITIONS_MAX; /* keys and values of some TiB */
    assert_int_equal(tr_generator_open(&g, &model, TR_F32, TR_FORM_PANELS, &one, model.positions,
                                       fixture_machine(fixture_best_isa(), 1), NULL, &err), TR_NO);
    tr_assert_says(err.text, "writing with llama-test needs ");
    tr_assert_says(err.text, "are free: try a shorter text, or a smaller model");
}

static void weights_that_are_no_numbers_are_refused(void **state)
{
    (void)state;
    struct tr_model_config model = fixture_gpt2();
    const int32_t text[] = {1, 2, 3};
    struct tr_generator g;
    struct tr_err err;
    open_as(&g, &model, (struct manner){TR_F32, TR_FORM_ROWS}, 8, fixture_best_isa(), 1);
    float *at = tr_exec_weight(&g.exec, 0);
    at[2 * model.width] = (float)NAN; /* of the embedding of token 2 */
    tr_exec_weights_written(&g.exec);
    assert_int_equal(tr_generator_read(&g, text, 3, &err), TR_BAD_INPUT);
    assert_non_null(strstr(err.text, "are not all finite"));
    tr_generator_close(&g);
}

struct sink {
    char text[64];
    size_t bytes;
    int calls, stop_at;
    enum tr_status stop_with;
};

static enum tr_status collect(void *context, const char *piece, size_t bytes, struct tr_err *err)
{
    struct sink *sink = context;
    (void)err;
    if (++sink->calls == sink->stop_at)
        return sink->stop_with;
    assert_true(sink->bytes + bytes <= sizeof sink->text);
    memcpy(sink->text + sink->bytes, piece, bytes);
    sink->bytes += bytes;
    return TR_OK;
}

static void text_is_what_the_drawn_tokens_spell_and_the_sink_can_end_it(void **state)
{
    (void)state;
    struct tr_model_config model = fixture_gpt2();
    const struct tr_sampling s = {.temperature = 1.0, .top_k = 0, .top_p = 1.0, .seed = 5};
    struct tr_generator by_token, by_text;
    struct tr_err err = {{0}};
    open_generator(&by_token, &model, 64, 1);
    open_generator(&by_text, &model, 64, 1);
    struct tr_ids ids = {0};
    assert_int_equal(tr_prompt_text(NULL, "\"!\"", 3, &ids, &err), TR_OK);
    assert_int_equal(ids.count, 3);
    expect_read(&by_text, ids.at, ids.count);
    expect_read(&by_token, (const int32_t[]){'"', '!', '"'}, 3);
    tr_ids_free(&ids);
    struct sink sink = {.stop_at = -1};
    assert_int_equal(tr_generator_write_text(&by_text, &s, 30, collect, &sink, &err), TR_OK);
    assert_int_equal(sink.bytes, 30); /* ids below 61: each is a character of one byte */
    for (int i = 0; i < 30; i++) {
        int32_t token = tr_generator_draw(&by_token, &s);
        assert_int_equal(sink.text[i], token);
        expect_read(&by_token, &token, 1);
    }
    struct sink stop = {.stop_at = 3, .stop_with = TR_NO}, broken = {.stop_at = 2, .stop_with = TR_FAILED};
    assert_int_equal(tr_generator_write_text(&by_text, &s, 30, collect, &stop, &err), TR_OK);
    assert_int_equal(stop.bytes, 2);
    assert_int_equal(tr_generator_write_text(&by_text, &s, 30, collect, &broken, &err), TR_FAILED);
    tr_generator_close(&by_token);
    tr_generator_close(&by_text);
}

static void sampling_keeps_to_top_k_and_top_p_and_follows_the_probabilities(void **state)
{
    (void)state;
    enum { VOCAB = 6, DRAWS = 20000 };
    const float logits[VOCAB] = {0.0f, 2.0f, 1.0f, 2.0f, -1.0f, -40.0f};
    struct tr_candidate scratch[VOCAB];
    struct tr_sampling s = {.temperature = 1.0, .top_k = 0, .top_p = 1.0, .seed = 3};
    int count[VOCAB] = {0};
    double sum = 0.0;
    for (int i = 0; i < DRAWS; i++)
        count[tr_sample(&s, logits, VOCAB, (uint64_t)i, scratch)]++;
    for (int v = 0; v < VOCAB; v++)
        sum += exp((double)logits[v]);
    for (int v = 0; v < VOCAB; v++) {
        double p = exp((double)logits[v]) / sum; /* 5 standard deviations */
        assert_true(fabs(count[v] - DRAWS * p) <= 5.0 * sqrt(DRAWS * p * (1.0 - p)) + 1e-6);
    }
    s.top_k = 2;
    for (int i = 0; i < 1000; i++) {
        int32_t token = tr_sample(&s, logits, VOCAB, (uint64_t)i, scratch);
        assert_true(token == 1 || token == 3);
    }
    s.top_k = 0;
    s.top_p = 0.3; /* the first of the two likeliest has 0.37 alone */
    for (int i = 0; i < 100; i++)
        assert_int_equal(tr_sample(&s, logits, VOCAB, (uint64_t)i, scratch), 1);
    s.temperature = 0.0;
    assert_int_equal(tr_sample(&s, logits, VOCAB, 0, scratch), 1);
}

static void sampling_survives_logits_that_are_not_finite(void **state)
{
    (void)state;
    const float none[3] = {(float)NAN, (float)NAN, (float)NAN}, some[3] = {(float)NAN, -INFINITY, 1.0f};
    struct tr_candidate scratch[3];
    struct tr_sampling s = {.temperature = 1.0, .top_k = 0, .top_p = 1.0, .seed = 3};
    for (int i = 0; i < 50; i++) {
        assert_int_equal(tr_sample(&s, none, 3, (uint64_t)i, scratch), 0);
        assert_int_equal(tr_sample(&s, some, 3, (uint64_t)i, scratch), 2);
    }
}

static void wrong_settings_are_refused_with_a_sentence(void **state)
{
    (void)state;
    struct tr_err err;
    struct tr_sampling s = {.temperature = -1.0, .top_k = 0, .top_p = 1.0};
    assert_int_equal(tr_sampling_check(&s, &err), TR_BAD_INPUT);
    assert_non_null(strstr(err.text, "temperature"));
    s = (struct tr_sampling){.temperature = 1.0, .top_k = -1, .top_p = 1.0};
    assert_int_equal(tr_sampling_check(&s, &err), TR_BAD_INPUT);
    s = (struct tr_sampling){.temperature = 1.0, .top_k = 0, .top_p = 0.0};
    assert_int_equal(tr_sampling_check(&s, &err), TR_BAD_INPUT);
    s.top_p = 1.0;
    assert_int_equal(tr_sampling_check(&s, &err), TR_OK);
}

/* A tokenizer that has one letter, which the template has not. */
static void a_conversation_of_which_no_byte_is_in_the_vocabulary_is_refused(void **state)
{
    (void)state;
    const struct tr_string letter = {"Q", 1};
    const struct tr_token_spec spec = {.source = "Q", .vocab = &letter, .vocab_count = 1};
    const struct tr_message question = {TR_ROLE_USER, {"why", 3}};
    const struct tr_chat *chat;
    struct tr_token *token;
    struct tr_ids ids = {0};
    struct tr_err err = {{0}};
    assert_int_equal(tr_token_make(&spec, &token, &err), TR_OK);
    assert_int_equal(tr_chat_choose("zephyr", "", 0, "Q", &chat, &err), TR_OK);
    assert_int_equal(tr_prompt_chat(token, chat, &question, 1, &ids, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "the vocabulary has none of its bytes");
    tr_ids_free(&ids);
    tr_token_free(token);
}

/* What a library that was built with fast-math does to the processor. */
static void a_token_is_not_computed_where_subnormal_numbers_are_flushed(void **state)
{
    (void)state;
    struct tr_model_config model = fixture_gpt2();
    const int32_t token = 7;
    struct tr_generator g;
    struct tr_err err = {{0}};
    open_generator(&g, &model, 8, 1);
    assert_int_equal(tr_generator_read(&g, &token, 1, &err), TR_OK);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(2);
        _mm_setcsr(_mm_getcsr() | 0x8040);
        (void)!tr_generator_read(&g, &token, 1, &err);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    tr_generator_close(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_of_generation_are_bit_equal_to_those_of_training),
        cmocka_unit_test(the_way_a_prompt_is_split_changes_no_bit),
        cmocka_unit_test(neither_instruction_set_nor_threads_change_a_bit),
        cmocka_unit_test(a_full_context_goes_on_from_its_newest_half),
        cmocka_unit_test(of_a_long_prompt_what_would_be_given_up_is_not_read),
        cmocka_unit_test(a_token_outside_the_vocabulary_is_refused),
        cmocka_unit_test(a_text_that_needs_more_memory_than_there_is_is_refused),
        cmocka_unit_test(weights_that_are_no_numbers_are_refused),
        cmocka_unit_test(text_is_what_the_drawn_tokens_spell_and_the_sink_can_end_it),
        cmocka_unit_test(sampling_keeps_to_top_k_and_top_p_and_follows_the_probabilities),
        cmocka_unit_test(sampling_survives_logits_that_are_not_finite),
        cmocka_unit_test(wrong_settings_are_refused_with_a_sentence),
        cmocka_unit_test(a_conversation_of_which_no_byte_is_in_the_vocabulary_is_refused),
        cmocka_unit_test(a_token_is_not_computed_where_subnormal_numbers_are_flushed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
