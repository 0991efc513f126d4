/* lab/show: models and runs in words, and that the words are true. */
#include "lab/show/show.h"

#include "base/doc.h"
#include "lab/model/program.h"
#include "lib/scratch.h"
#include "lib/tiny_run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct tr_text text;
static struct tr_err err;

static const char *show(const char *what, struct tr_show_options options)
{
    tr_text_clear(&text);
    options.batch = options.batch ? options.batch : 1;
    if (tr_show(what, &options, &text, &err) != TR_OK)
        fail_msg("%s", err.text);
    return tr_text_str(&text);
}

static int64_t number(const char *json, const char *key)
{
    struct tr_doc *doc;
    int64_t value = -1;
    if (tr_doc_parse("show", TR_DOC_JSON, json, strlen(json), &doc, &err) != TR_OK ||
        tr_doc_int(tr_doc_root(doc), key, TR_REQUIRED, 0, INT64_MAX, &value, &err) != TR_OK)
        fail_msg("%s", err.text);
    tr_doc_free(doc);
    return value;
}

static void published_models_have_their_published_sizes(void **state)
{
    (void)state;
    const struct {
        const char *name;
        int64_t parameters;
    } known[] = {{"gpt2", 124439808},           {"gpt2-xl", 1557611200},       {"smollm2-135m", 134515008},
                 {"qwen3-0.6b", 596049920},     {"llama3-8b", 8030261248},     {"llama3-70b", 70553706496},
                 {"llama3-405b", 405853388800}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        assert_int_equal(number(show(known[i].name, (struct tr_show_options){.json = true}), "parameters"),
                         known[i].parameters);
}

static void the_memory_of_training_is_what_the_trainer_maps(void **state)
{
    (void)state;
    struct tr_model_config model;
    struct tr_program program;
    struct tr_step_config step = {.dtype = TR_F32, .batch = 4, .seq_len = 64, .micro_batch = 4, .widths = {1, 1, 1, 1},
                                  .recompute = TR_RECOMPUTE_ELEMENTWISE};
    enum tr_isa isa;
    assert_int_equal(tr_isa_choose(&isa, &err), TR_OK);
    struct tr_machine machine = {.kernels = tr_kernel_set(isa), .threads = 1};
    assert_int_equal(tr_model_config_find(&model, "tiny-llama", &err), TR_OK);
    assert_int_equal(tr_program_train(&program, &model, &step, machine, &err), TR_OK);
    const char *json = show("tiny-llama", (struct tr_show_options){.seq_len = 64, .batch = 4, .json = true});
    assert_int_equal(number(json, "train_memory_bytes"), tr_program_memory_bytes(&program));
    assert_int_equal(number(json, "train_flop_per_token"), tr_model_flop_per_token(&model, 64));
    tr_program_free(&program);
}

static void layers_are_one_line_a_tensor_unless_all_are_wanted(void **state)
{
    (void)state;
    const char *words = show("gpt2", (struct tr_show_options){0});
    tr_assert_says(words, "h.*.attn.c_proj.weight");
    tr_assert_says(words, "196 tensors");
    assert_null(strstr(words, "h.11."));
    tr_assert_says(show("gpt2", (struct tr_show_options){.all = true}), "h.11.attn.c_proj.weight");
}

static void a_run_shows_its_curve_and_its_checkpoints(void **state)
{
    (void)state;
    struct tr_run_config config = tr_tiny_config("run", "eval.every=4", "checkpoint.every=4", "checkpoint.keep_last=0",
                                                 "checkpoint.best=keep", NULL);
    (void)tr_tiny_train(&config);
    const char *words = show(tr_scratch("run"), (struct tr_show_options){0});
    tr_assert_says(words, "steps       12 of 12, 1.536 k tokens, last loss ");
    tr_assert_says(words, "training loss");
    tr_assert_says(words, "run/step-00000004 ");
    tr_assert_says(words, "  best");
    tr_assert_says(show(tr_scratch("run/best"), (struct tr_show_options){.seq_len = 16}), "model       depth-1");
    const char *json = show(tr_scratch("run"), (struct tr_show_options){.json = true});
    assert_int_equal(number(json, "tokens"), 12 * 8 * 16);
    tr_assert_says(json, "\"checkpoints\":[4,8,12]");
}

static void a_damaged_checkpoint_is_shown_as_such(void **state)
{
    (void)state;
    struct tr_run_config config = tr_tiny_config("hurt", "checkpoint.every=6", NULL);
    (void)tr_tiny_train(&config);
    tr_scratch_put_text("hurt/step-00000012/state.json", "{}");
    tr_assert_says(show(tr_scratch("hurt"), (struct tr_show_options){0}), "state.json: damaged");
}

static void what_is_nothing_is_said(void **state)
{
    (void)state;
    struct tr_show_options options = {.batch = 1};
    assert_int_equal(tr_show("gpt3", &options, &text, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "did you mean gpt2?");
    options.seq_len = 4096;
    assert_int_equal(tr_show("gpt2", &options, &text, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "--seq-len 4096 is more than the 1024 positions of gpt2");
}

static int teardown(void **state)
{
    tr_text_free(&text);
    return tr_scratch_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_models_have_their_published_sizes),
        cmocka_unit_test(the_memory_of_training_is_what_the_trainer_maps),
        cmocka_unit_test(layers_are_one_line_a_tensor_unless_all_are_wanted),
        cmocka_unit_test(a_run_shows_its_curve_and_its_checkpoints),
        cmocka_unit_test(a_damaged_checkpoint_is_shown_as_such),
        cmocka_unit_test(what_is_nothing_is_said),
    };
    return cmocka_run_group_tests_name("lab/show", tests, tr_scratch_setup, teardown);
}
