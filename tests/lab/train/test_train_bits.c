/* One run, one hash: whatever executes it. The runs below differ in all that must not matter. */
#include "lab/train/train.h"
#include "lib/scratch.h"
#include "lib/tiny_run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *dtype = "train.dtype=f32"; /* of the group of tests */

/* A fresh run of the tiny config of 4 steps with these changes. */
static struct tr_tiny_hash hash_of(const char *a, const char *b, const char *c, const char *d)
{
    struct tr_err err;
    struct tr_run_config config =
        tr_tiny_config("bits", dtype, "train.steps=4", "model.depth=2", "data.seq_len=24", a, b ? b : "run.log_every=1",
                       c ? c : "run.log_every=1", d ? d : "run.log_every=1", NULL);
    struct tr_tiny_hash hash = tr_tiny_train(&config);
    assert_int_equal(tr_folder_remove(config.out, &err), TR_OK);
    return hash;
}

static void threads_change_no_bit(void **state)
{
    (void)state;
    struct tr_tiny_hash one = hash_of("run.threads=1", NULL, NULL, NULL);
    assert_string_equal(hash_of("run.threads=2", NULL, NULL, NULL).hex, one.hex);
    assert_string_equal(hash_of("run.threads=4", NULL, NULL, NULL).hex, one.hex);
    assert_string_equal(hash_of("run.threads=7", NULL, NULL, NULL).hex, one.hex);
}

static void the_instruction_set_changes_no_bit(void **state)
{
    (void)state;
    assert_int_equal(setenv("TRINE_ISA", "ref", 1), 0);
    struct tr_tiny_hash ref = hash_of("run.threads=2", NULL, NULL, NULL);
    int others = 0;
    for (enum tr_isa isa = TR_ISA_REF + 1; isa < TR_ISA_COUNT; isa++) {
        if (!tr_isa_runs(isa)) {
            print_message("%s does not run here\n", tr_isa_name(isa));
            continue;
        }
        assert_int_equal(setenv("TRINE_ISA", tr_isa_name(isa), 1), 0);
        assert_string_equal(hash_of("run.threads=2", NULL, NULL, NULL).hex, ref.hex);
        others++;
    }
    unsetenv("TRINE_ISA");
    if (others == 0)
        skip();
}

static void an_instruction_set_that_is_unknown_is_refused(void **state)
{
    (void)state;
    static struct tr_train_result result;
    struct tr_err err = {{0}};
    struct tr_run_config config = tr_tiny_config("bits", NULL);
    struct tr_train_options options = tr_tiny_options();
    assert_int_equal(setenv("TRINE_ISA", "avx1024", 1), 0);
    assert_int_equal(tr_train(&config, &options, &result, &err), TR_BAD_INPUT);
    unsetenv("TRINE_ISA");
    tr_assert_says(err.text, "avx1024");
    assert_false(tr_file_exists(config.out));
}

static void recompute_changes_no_bit(void **state)
{
    (void)state;
    struct tr_tiny_hash none = hash_of("train.recompute=none", NULL, NULL, NULL);
    assert_string_equal(hash_of("train.recompute=full", NULL, NULL, NULL).hex, none.hex);
    assert_string_equal(hash_of("train.recompute=full", "train.micro_batch=1", NULL, NULL).hex, none.hex);
}

static void gradient_accumulation_equals_the_big_batch(void **state)
{
    (void)state;
    struct tr_tiny_hash big = hash_of("train.micro_batch=8", NULL, NULL, NULL);
    assert_string_equal(hash_of("train.micro_batch=4", NULL, NULL, NULL).hex, big.hex);
    assert_string_equal(hash_of("train.micro_batch=2", NULL, NULL, NULL).hex, big.hex);
    assert_string_equal(hash_of("train.micro_batch=1", NULL, NULL, NULL).hex, big.hex);
}

/* For fixed logical widths, any grouping of the work. */
static void grouping_changes_no_bit_at_any_width(void **state)
{
    (void)state;
    static const char *const widths[][3] = {
        {"layout.lanes=2", "layout.vocab=1", "layout.tensor=1"},
        {"layout.lanes=4", "layout.vocab=3", "layout.tensor=1"},
        {"layout.lanes=1", "layout.vocab=2", "layout.tensor=2"},
        {"layout.lanes=8", "layout.vocab=5", "layout.tensor=2"},
    };
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        const char *const *w = widths[i];
        struct tr_tiny_hash one = hash_of("train.micro_batch=1", w[0], w[1], w[2]);
        if (i < 3)
            assert_string_equal(hash_of("train.micro_batch=2", w[0], w[1], w[2]).hex, one.hex);
        assert_string_equal(hash_of("train.micro_batch=auto", w[0], w[1], w[2]).hex, one.hex);
    }
}

static void context_parts_change_no_bit_in_any_grouping(void **state)
{
    (void)state;
    struct tr_err err;
    struct tr_tiny_hash hash[3];
    static const char *const groups[] = {"train.micro_batch=1", "train.micro_batch=2", "train.micro_batch=4"};
    for (int i = 0; i < 3; i++) {
        struct tr_run_config config =
            tr_tiny_config("context", dtype, "data.seq_len=192", "layout.context=3", "layout.lanes=2", "train.steps=2",
                           i == 1 ? "train.recompute=full" : "train.recompute=none", groups[i], NULL);
        hash[i] = tr_tiny_train(&config);
        assert_int_equal(tr_folder_remove(config.out, &err), TR_OK);
        assert_string_equal(hash[i].hex, hash[0].hex);
    }
}

/* Documents of 1 to 100 bytes in a folder. */
static const char *put_documents(void)
{
    static char override[TR_PATH_BYTES];
    char name[64], text[128];
    for (int i = 0; i < 60; i++) {
        int bytes = 1 + 37 * i % 100;
        snprintf(name, sizeof name, "documents/%02d.txt", i);
        for (int k = 0; k < bytes; k++)
            text[k] = (char)('a' + (i * 7 + k * k) % 26);
        text[bytes] = 0;
        tr_scratch_put_text(name, text);
    }
    snprintf(override, sizeof override, "data.path=%s", tr_scratch("documents"));
    return override;
}

static void documents_apart_have_one_hash_whatever_executes_them(void **state)
{
    (void)state;
    const char *path = put_documents(), *apart = "data.documents=apart";
    struct tr_tiny_hash one = hash_of(path, apart, "run.threads=1", NULL);
    assert_string_not_equal(hash_of(path, "data.documents=joined", "run.threads=1", NULL).hex, one.hex);
    assert_string_equal(hash_of(path, apart, "run.threads=7", "train.micro_batch=1").hex, one.hex);
    assert_string_equal(hash_of(path, apart, "run.threads=2", "train.recompute=full").hex, one.hex);
    for (enum tr_isa isa = TR_ISA_REF; isa < TR_ISA_COUNT; isa++) {
        if (!tr_isa_runs(isa))
            continue;
        assert_int_equal(setenv("TRINE_ISA", tr_isa_name(isa), 1), 0);
        assert_string_equal(hash_of(path, apart, "run.threads=2", NULL).hex, one.hex);
    }
    unsetenv("TRINE_ISA");
}

static void a_text_of_one_document_has_the_same_hash_joined_and_apart(void **state)
{
    (void)state;
    struct tr_tiny_hash joined = hash_of("data.documents=joined", NULL, NULL, NULL);
    assert_string_equal(hash_of("data.documents=apart", NULL, NULL, NULL).hex, joined.hex);
}

static void documents_apart_go_on_from_a_checkpoint_to_the_same_hash(void **state)
{
    (void)state;
    struct tr_err err = {{0}};
    const char *path = put_documents();
    struct tr_run_config config =
        tr_tiny_config("halves", dtype, path, "data.documents=apart", "train.steps=3", "schedule.kind=constant", NULL);
    tr_tiny_train(&config);
    config = tr_tiny_config("halves", dtype, path, "data.documents=apart", "train.steps=8", "schedule.kind=constant", NULL);
    struct tr_tiny_hash halves = tr_tiny_train(&config);
    config = tr_tiny_config("straight", dtype, path, "data.documents=apart", "train.steps=8", "schedule.kind=constant", NULL);
    assert_string_equal(halves.hex, tr_tiny_train(&config).hex);

    static struct tr_train_result result;
    struct tr_train_options options = tr_tiny_options();
    config = tr_tiny_config("halves", dtype, path, "data.documents=joined", "train.steps=9", "schedule.kind=constant", NULL);
    assert_int_equal(tr_train(&config, &options, &result, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "data.documents");
}

static void bf16_and_fp32_are_told_apart(void **state)
{
    (void)state;
    static struct tr_train_result result;
    struct tr_err err = {{0}};
    struct tr_train_options options = tr_tiny_options();
    struct tr_run_config config = tr_tiny_config("types", "train.dtype=bf16", "train.steps=3", NULL);
    assert_int_equal(tr_train(&config, &options, &result, &err), TR_OK);
    tr_assert_says(result.state.arithmetic, "trine-1/bf16");
    config = tr_tiny_config("types", "train.dtype=f32", "train.steps=4", NULL);
    assert_int_equal(tr_train(&config, &options, &result, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "trine-1/bf16");
}

/* Within 0.5 % on a text that was not trained on. */
static void bf16_learns_as_fp32_does(void **state)
{
    (void)state;
    static struct tr_train_result result;
    struct tr_err err = {{0}};
    struct tr_train_options options = tr_tiny_options();
    double loss[2];
    for (int i = 0; i < 2; i++) {
        struct tr_run_config config =
            tr_tiny_config(i ? "as_bf16" : "as_f32", i ? "train.dtype=bf16" : "train.dtype=f32", "train.steps=300",
                           "eval.every=300", "eval.windows=16", "data.seq_len=32", "run.threads=2", NULL);
        if (tr_train(&config, &options, &result, &err) != TR_OK)
            fail_msg("%s", err.text);
        loss[i] = result.state.val_loss;
    }
    print_message("fp32 %.4f, bf16 %.4f\n", loss[0], loss[1]);
    assert_true(loss[1] < loss[0] * 1.005 && loss[1] > loss[0] * 0.98);
}

/* ---- conversations ----------------------------------------------------------------------------------------------- */

/* Conversations of 2 to 7 messages, some longer than a row. */
static const char *put_talks(void)
{
    static char override[TR_PATH_BYTES];
    static const char *const words[] = {"yes", "no, the sea", "a stone went over the light and the night", "why", "12"};
    struct tr_text text = {0};
    for (int i = 0; i < 40; i++) {
        tr_text_append(&text, "{\"messages\": [");
        for (int k = 0; k < 2 + i % 6; k++)
            tr_text_printf(&text, "%s{\"role\": \"%s\", \"content\": \"%s\"}", k ? ", " : "", k % 2 ? "assistant" : "user",
                           words[(i * 3 + k * k) % 5]);
        tr_text_append(&text, "]}\n");
    }
    tr_scratch_put("talks.jsonl", tr_text_str(&text), text.len);
    tr_text_free(&text);
    snprintf(override, sizeof override, "data.path=%s", tr_scratch("talks.jsonl"));
    return override;
}

/* As hash_of, of conversations; `lora` of the ranks that are trained, "lora.rank=0" for all weights. */
static struct tr_tiny_hash hash_of_talks(const char *lora, const char *a, const char *b)
{
    char tokenizer[256];
    struct tr_err err;
    snprintf(tokenizer, sizeof tokenizer, "data.tokenizer=%s/tests/lab/chat/golden.tokenizer.json",
             getenv("TRINE_SOURCE_DIR"));
    struct tr_run_config config = tr_tiny_config("talks", put_talks(), tokenizer, "data.chat_template=chatml",
                                                 "data.seq_len=64", "train.steps=2", "train.batch=4", "layout.lanes=2", lora, a, b,
                                                 NULL);
    struct tr_tiny_hash hash = tr_tiny_train(&config);
    assert_int_equal(tr_folder_remove(config.out, &err), TR_OK);
    return hash;
}

static void conversations_have_one_hash_whatever_executes_them(void **state)
{
    (void)state;
    const char *all = "lora.rank=0", *few = "lora.rank=2";
    struct tr_tiny_hash one = hash_of_talks(all, "run.threads=1", "train.micro_batch=2");
    struct tr_tiny_hash lora = hash_of_talks(few, "run.threads=1", "train.micro_batch=2");
    assert_string_not_equal(one.hex, lora.hex);
    assert_string_equal(hash_of_talks(all, "run.threads=7", "train.micro_batch=1").hex, one.hex);
    assert_string_equal(hash_of_talks(all, "train.micro_batch=2", "train.recompute=full").hex, one.hex);
    assert_string_equal(hash_of_talks(few, "run.threads=3", "train.micro_batch=1").hex, lora.hex);
    for (enum tr_isa isa = TR_ISA_REF; isa < TR_ISA_COUNT; isa++) {
        if (!tr_isa_runs(isa))
            continue;
        assert_int_equal(setenv("TRINE_ISA", tr_isa_name(isa), 1), 0);
        assert_string_equal(hash_of_talks(all, "run.threads=2", "train.micro_batch=2").hex, one.hex);
    }
    unsetenv("TRINE_ISA");
}

static void conversations_go_on_from_a_checkpoint_to_the_same_hash(void **state)
{
    (void)state;
    struct tr_err err = {{0}};
    char tokenizer[256];
    const char *path = put_talks(), *chat = "data.chat_template=chatml", *length = "data.seq_len=80";
    snprintf(tokenizer, sizeof tokenizer, "data.tokenizer=%s/tests/lab/chat/golden.tokenizer.json",
             getenv("TRINE_SOURCE_DIR"));
    struct tr_run_config config = tr_tiny_config("t-halves", path, tokenizer, chat, length, "train.steps=3",
                                                 "schedule.kind=constant", NULL);
    tr_tiny_train(&config);
    config = tr_tiny_config("t-halves", path, tokenizer, chat, length, "train.steps=7", "schedule.kind=constant", NULL);
    struct tr_tiny_hash halves = tr_tiny_train(&config);
    config = tr_tiny_config("t-straight", path, tokenizer, chat, length, "train.steps=7", "schedule.kind=constant", NULL);
    assert_string_equal(halves.hex, tr_tiny_train(&config).hex);

    static struct tr_train_result result;
    struct tr_train_options options = tr_tiny_options();
    config = tr_tiny_config("t-halves", path, tokenizer, "data.chat_template=smollm2", length, "train.steps=9",
                            "schedule.kind=constant", NULL);
    assert_int_equal(tr_train(&config, &options, &result, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "was trained on other text"); /* the sum is over what is said */
    config = tr_tiny_config("t-none", path, tokenizer, length, NULL);
    assert_int_equal(tr_train(&config, &options, &result, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "golden.tokenizer.json: has no chat template: name one that is right for it");
    config = tr_tiny_config("t-none", path, NULL);
    assert_int_equal(tr_train(&config, &options, &result, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "talks.jsonl: is of conversations, which need a tokenizer");
    assert_false(tr_file_exists(tr_scratch("t-none")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_apart_have_one_hash_whatever_executes_them),
        cmocka_unit_test(a_text_of_one_document_has_the_same_hash_joined_and_apart),
        cmocka_unit_test(documents_apart_go_on_from_a_checkpoint_to_the_same_hash),
        cmocka_unit_test(conversations_have_one_hash_whatever_executes_them),
        cmocka_unit_test(conversations_go_on_from_a_checkpoint_to_the_same_hash),
        cmocka_unit_test(threads_change_no_bit),
        cmocka_unit_test(the_instruction_set_changes_no_bit),
        cmocka_unit_test(an_instruction_set_that_is_unknown_is_refused),
        cmocka_unit_test(recompute_changes_no_bit),
        cmocka_unit_test(gradient_accumulation_equals_the_big_batch),
        cmocka_unit_test(grouping_changes_no_bit_at_any_width),
        cmocka_unit_test(context_parts_change_no_bit_in_any_grouping),
    };
    const struct CMUnitTest bf16_tests[] = {
        cmocka_unit_test(documents_apart_have_one_hash_whatever_executes_them),
        cmocka_unit_test(documents_apart_go_on_from_a_checkpoint_to_the_same_hash),
        cmocka_unit_test(threads_change_no_bit),
        cmocka_unit_test(the_instruction_set_changes_no_bit),
        cmocka_unit_test(recompute_changes_no_bit),
        cmocka_unit_test(bf16_and_fp32_are_told_apart),
        cmocka_unit_test(bf16_learns_as_fp32_does),
    };
    int failed = cmocka_run_group_tests_name("lab/train/bits", tests, tr_scratch_setup, tr_scratch_teardown);
    dtype = "train.dtype=bf16";
    return failed + cmocka_run_group_tests_name("lab/train/bits in bf16", bf16_tests, tr_scratch_setup,
                                                tr_scratch_teardown);
}
