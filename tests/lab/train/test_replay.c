/* lab/train/replay: silent corruption. A bit is flipped in what an operation wrote, or in weights at rest; the oracle is
 * the hash of the run that nothing happened to. */
#include "lab/train/replay.h"

#include "base/rng.h"
#include "lab/train/train.h"
#include "lib/faults.h"
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

static struct tr_train_result result;
static struct tr_err err;

/* ---- the fault --------------------------------------------------------------------------------------------------- */

static struct {
    struct tr_exec *exec;
    int64_t calls;      /* of operations, since the first gradients of the run */
    int64_t at, until;  /* the calls behind which a bit is flipped */
    int64_t rest_at;    /* batch behind whose gradients a bit of a weight or moment is flipped; -1: none */
    int64_t flipped;
    uint64_t draw;
} fault;

static uint64_t draw(uint64_t below) { return tr_rng_u64(tr_rng_key(7, "bit flips", 0), fault.draw++) % below; }

static void flip(void *memory, int64_t bytes)
{
    if (memory == NULL || bytes == 0)
        return;
    ((unsigned char *)memory)[draw((uint64_t)bytes)] ^= (unsigned char)(1u << draw(8));
    fault.flipped++;
}

/* Any of the operands that the operation writes. */
static void after_op(void *context, const struct tr_exec_seen *seen)
{
    (void)context;
    const struct tr_program_op *op = seen->op;
    int64_t call = fault.calls++;
    const struct tr_op_info *info = tr_op_operands(op->op.kind);
    int written[TR_OP_OPERANDS_MAX], count = 0;
    if (call < fault.at || call >= fault.until)
        return;
    for (int k = 0; k < info->operand_count; k++)
        if (info->operand[k].direction != TR_IN && op->buffer[k] >= 0)
            written[count++] = op->buffer[k];
    if (count == 0)
        return;
    int32_t buffer = written[draw((uint64_t)count)];
    flip(tr_exec_buffer(fault.exec, buffer), fault.exec->program->buffer[buffer].bytes);
}

static void watch(void *context, struct tr_exec *exec, int64_t batch, struct tr_step_result *seen)
{
    (void)context, (void)seen;
    fault.exec = exec;
    exec->observer = after_op;
    if (batch != fault.rest_at)
        return;
    fault.rest_at = -1;
    int32_t index = (int32_t)draw((uint64_t)exec->program->weights.count);
    float *tensor[] = {tr_exec_weight(exec, index), tr_exec_moment_m(exec, index), tr_exec_moment_v(exec, index)};
    flip(tensor[draw(3)], exec->program->weights.weight[index].count * (int64_t)sizeof(float));
}

static enum tr_status train_with(const struct tr_run_config *config)
{
    struct tr_train_options options = tr_tiny_options();
    fault.calls = fault.flipped = 0;
    options.fault = watch;
    tr_text_free(&result.last_sample);
    return tr_train(config, &options, &result, &err);
}

static void no_fault(void)
{
    fault.at = fault.until = INT64_MAX;
    fault.rest_at = -1;
}

static int count_of(const char *file, const char *part)
{
    struct tr_bytes bytes = tr_scratch_read(file);
    int count = 0;
    for (const char *at = bytes.at; (at = strstr(at, part)) != NULL; at++)
        count++;
    tr_bytes_free(&bytes);
    return count;
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

static void no_change_of_one_word_goes_unseen_by_the_digest(void **unused)
{
    (void)unused;
    for (size_t bytes = 4; bytes <= 200; bytes += 4) {
        unsigned char data[200];
        for (size_t i = 0; i < sizeof data; i++)
            data[i] = (unsigned char)(i * 37 + bytes);
        uint64_t before = tr_replay_digest(data, bytes);
        for (size_t bit = 0; bit < bytes * 8; bit++) {
            data[bit / 8] ^= (unsigned char)(1u << bit % 8);
            assert_true(tr_replay_digest(data, bytes) != before);
            data[bit / 8] ^= (unsigned char)(1u << bit % 8);
        }
        assert_true(tr_replay_digest(data, bytes) == before);
    }
}

static void without_a_fault_no_replay_differs_and_nothing_changes(void **unused)
{
    (void)unused;
    static const char *const changes[][2] = {{"run.threads=1", "train.seed=1"}, {"run.threads=2", "train.seed=1"},
                                             {"run.threads=3", "optimizer.kind=muon"}, {"run.threads=2", "lora.rank=4"},
                                             {"run.threads=2", "train.recompute=full"}, {"run.threads=2", "spike.action=skip"},
                                             {"run.threads=2", "train.dtype=bf16"}};
    int64_t steps = 0;
    no_fault();
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct tr_run_config plain = tr_tiny_config("plain", changes[i][0], changes[i][1], NULL);
        struct tr_tiny_hash expected = tr_tiny_train(&plain);
        struct tr_run_config checked = tr_tiny_config("checked", changes[i][0], changes[i][1], "replay.every=1", NULL);
        if (train_with(&checked) != TR_OK)
            fail_msg("%s", err.text);
        assert_int_equal(result.corrected, 0);
        assert_string_equal(result.hash, expected.hex);
        steps += result.state.step;
        assert_int_equal(tr_folder_remove(tr_scratch("plain"), &err), TR_OK);
        assert_int_equal(tr_folder_remove(tr_scratch("checked"), &err), TR_OK);
    }
    fault_row("16", "no fault: steps computed twice by another number of threads, fp32 and bf16", "-", steps, steps,
              "nothing: no false alarm");
}

/* In bf16 operations read copies of the weights, which go back with them. */
static void in_bf16_a_flipped_bit_is_set_right_too(void **unused)
{
    (void)unused;
    struct tr_run_config plain = tr_tiny_config("plain", "train.dtype=bf16", NULL);
    struct tr_tiny_hash expected = tr_tiny_train(&plain);
    assert_int_equal(tr_folder_remove(tr_scratch("plain"), &err), TR_OK);
    int corrected = 0;
    for (int i = 0; i < 10; i++) {
        struct tr_run_config config = tr_tiny_config("flipped", "train.dtype=bf16", "replay.every=1", NULL);
        no_fault();
        fault.at = 300 + (int64_t)draw(600);
        fault.until = fault.at + 1;
        if (train_with(&config) != TR_OK)
            fail_msg("%s", err.text);
        assert_string_equal(result.hash, expected.hex);
        corrected += result.corrected == 1;
        assert_int_equal(tr_folder_remove(tr_scratch("flipped"), &err), TR_OK);
    }
    assert_true(corrected > 2);
}

/* Flips a bit behind one operation after the other of a run whose every `every`-th step is replayed. */
static void flip_bits(const char *every, int tries, int64_t *harmful, int64_t *found)
{
    struct tr_run_config plain = tr_tiny_config("plain", NULL);
    struct tr_tiny_hash expected = tr_tiny_train(&plain);
    no_fault();
    struct tr_run_config config = tr_tiny_config("flipped", every, NULL);
    assert_int_equal(train_with(&config), TR_OK);
    assert_int_equal(tr_folder_remove(tr_scratch("flipped"), &err), TR_OK);
    int64_t calls = fault.calls;
    *harmful = *found = 0;
    for (int i = 0; i < tries; i++) {
        fault.at = (int64_t)draw((uint64_t)calls);
        fault.until = fault.at + 1;
        enum tr_status status = train_with(&config);
        bool same = status == TR_OK && strcmp(result.hash, expected.hex) == 0;
        bool seen = status != TR_OK || result.corrected > 0;
        *harmful += seen || !same; /* else it was masked: rounded away, or never read again */
        *found += seen;
        if (status == TR_OK && result.corrected > 0) {
            assert_int_equal(result.corrected, 1);
            assert_true(same); /* set right, to the bit */
            assert_int_equal(count_of(tr_scratch("flipped/events.jsonl"), "a transient fault of this machine"), 1);
        }
        if (status != TR_OK) {
            assert_int_equal(status, TR_FAILED);
            tr_assert_says(err.text, "changed while nothing wrote to it");
        }
        assert_int_equal(tr_folder_remove(tr_scratch("flipped"), &err), TR_OK);
    }
}

static void a_flipped_bit_that_matters_is_found_and_set_right(void **unused)
{
    (void)unused;
    int64_t harmful, found;
    flip_bits("replay.every=1", fault_tries(20, 500), &harmful, &found);
    assert_true(harmful > 5);
    assert_int_equal(found, harmful);
    fault_row("16", "a flipped bit in what an operation wrote (products, gradients, joins, moments), every step replayed",
              "the executor's observer; flips that changed nothing in the end are not counted", harmful, found,
              "`step N was computed three times, and the first was wrong (TENSOR): a transient fault of this machine, set "
              "right`");
}

/* How many, is reported: about half, since half of the computations are of steps that are computed twice. */
static void of_steps_that_are_not_replayed_nothing_is_known(void **unused)
{
    (void)unused;
    int64_t harmful, found;
    flip_bits("replay.every=3", fault_tries(20, 500), &harmful, &found);
    assert_true(found > 0 && found < harmful);
    fault_row("16", "the same, every third step replayed: a rate, not a promise", "the same; half of all computations then belong to "
              "replayed steps", harmful, found,
              "the same; of those that were not found, nothing");
}

static void weights_that_change_at_rest_end_the_run_which_goes_on_to_the_same_hash(void **unused)
{
    (void)unused;
    struct tr_run_config plain = tr_tiny_config("plain", NULL);
    struct tr_tiny_hash expected = tr_tiny_train(&plain);
    int tries = fault_tries(8, 200), found = 0;
    for (int i = 0; i < tries; i++) {
        no_fault();
        fault.rest_at = 3 + (int64_t)draw(8);
        struct tr_run_config config = tr_tiny_config("rest", "replay.every=100", "checkpoint.every=2", NULL);
        assert_int_equal(train_with(&config), TR_FAILED);
        assert_int_equal(fault.flipped, 1);
        tr_assert_says(err.text, "the memory of ");
        tr_assert_says(err.text, " changed while nothing wrote to it");
        found++;
        if (train_with(&config) != TR_OK)
            fail_msg("%s", err.text);
        assert_string_equal(result.hash, expected.hex);
        assert_int_equal(tr_folder_remove(tr_scratch("rest"), &err), TR_OK);
    }
    fault_row("16", "a flipped bit in weights or moments at rest, no step replayed", "the step's own hook", tries, found,
              "`the memory of TENSOR changed while nothing wrote to it, before the end of step N`, exit status 3");
}

static void a_fault_that_stays_ends_the_run_with_a_sentence(void **unused)
{
    (void)unused;
    no_fault();
    struct tr_run_config config = tr_tiny_config("stays", "replay.every=1", "checkpoint.every=1", NULL);
    int tries = fault_tries(4, 50), found = 0;
    for (int i = 0; i < tries; i++) {
        fault.at = 400 + (int64_t)draw(400);
        fault.until = INT64_MAX;
        assert_int_equal(train_with(&config), TR_FAILED);
        tr_assert_says(err.text, "came out in three ways (first in ");
        tr_assert_says(err.text, "this machine computes wrongly");
        found++;
        assert_int_equal(tr_folder_remove(tr_scratch("stays"), &err), TR_OK);
    }
    fault_row("16", "bits that flip again and again, every step replayed", "the executor's observer", tries, found,
              "`step N came out in three ways (first in TENSOR): this machine computes wrongly`, exit status 3");
}

static int teardown(void **state)
{
    tr_text_free(&result.last_sample);
    return tr_scratch_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_change_of_one_word_goes_unseen_by_the_digest),
        cmocka_unit_test(without_a_fault_no_replay_differs_and_nothing_changes),
        cmocka_unit_test(in_bf16_a_flipped_bit_is_set_right_too),
        cmocka_unit_test(a_flipped_bit_that_matters_is_found_and_set_right),
        cmocka_unit_test(of_steps_that_are_not_replayed_nothing_is_known),
        cmocka_unit_test(weights_that_change_at_rest_end_the_run_which_goes_on_to_the_same_hash),
        cmocka_unit_test(a_fault_that_stays_ends_the_run_with_a_sentence),
    };
    return cmocka_run_group_tests(tests, tr_scratch_setup, teardown);
}
