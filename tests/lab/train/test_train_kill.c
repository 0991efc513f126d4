/* kill -9 at random instants, again and again: the run goes on from its last checkpoint to the same hash. The trainer
 * that is killed is this program again, started with arguments. */
#include "base/os.h"
#include "lab/train/train.h"
#include "lib/faults.h"
#include "lib/scratch.h"
#include "lib/tiny_run.h"
#include "lib/trainer.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static void sleep_s(double seconds)
{
    struct timespec wait = {.tv_sec = (time_t)seconds, .tv_nsec = (long)(1e9 * (seconds - (double)(time_t)seconds))};
    nanosleep(&wait, NULL);
}

static int count_resumes(const char *events)
{
    struct tr_bytes bytes = tr_scratch_read(events);
    int count = 0;
    for (const char *at = bytes.at; (at = strstr(at, "\"event\":\"resume\"")) != NULL; at++)
        count++;
    tr_bytes_free(&bytes);
    return count;
}

/* One run, killed again and again until it arrives or `kills` is used up. Returns how often it was killed. */
static int kill_one_run(const char *out, const struct tr_tiny_hash *expected, double life_max_s, int kills)
{
    static uint32_t random = 2463534242u;
    struct tr_err err;
    struct tr_hash hash;
    struct tr_trainer_end end;
    assert_int_equal(tr_folder_remove(out, &err), TR_OK);
    for (int killed = 0;; killed++) {
        pid_t child = tr_trainer_start(out, NULL);
        random ^= random << 13, random ^= random >> 17, random ^= random << 5;
        if (killed < kills) {
            sleep_s(life_max_s * random / UINT32_MAX);
            kill(child, SIGKILL);
        }
        end = tr_trainer_wait(child);
        if (end.signal)
            continue;
        if (end.status != TR_OK) /* it arrived before it could be killed, or nobody kills any more */
            fail_msg("%s", end.said);
        if (tr_hash_path(out, &hash, &err) != TR_OK)
            fail_msg("%s", err.text);
        assert_string_equal(hash.hex, expected->hex);
        assert_int_equal(hash.step, 200);
        return killed;
    }
}

static void killed_at_random_instants(const char *where, const char *dtype, const char *number, const char *fault)
{
    struct tr_err err;
    struct tr_run_config config =
        tr_tiny_config("never_killed", "train.steps=200", "checkpoint.every=3", "run.threads=2", "eval.every=10",
                       "eval.windows=1", "sample.tokens=3", "sample.every=7", "data.seq_len=64", where, dtype, NULL);
    tr_trainer_config(&config);
    double start_s = tr_clock_s();
    assert_int_equal(tr_folder_remove(config.out, &err), TR_OK);
    struct tr_tiny_hash expected = tr_tiny_train(&config);
    /* Some ten lives for a run, whatever a sanitizer or a busy machine makes of its time. */
    double life_max_s = (tr_clock_s() - start_s) / 5;
    int kills = 0, resumes = 0, wanted = fault_tries(6, 300), most = fault_tries(25, 300);
    while (kills < wanted) {
        kills += kill_one_run(tr_scratch("killed"), &expected, life_max_s, most - kills);
        resumes += count_resumes(tr_scratch("killed/events.jsonl"));
    }
    assert_true(resumes > 0); /* not always from the beginning */
    fault_row(number, fault, "a timer, again and again until the run arrives", kills, kills,
              "nothing; `resumed from RUN/step-N` when it is started again");
}

static void a_run_that_is_killed_at_random_instants_arrives_at_the_same_hash(void **state)
{
    (void)state;
    killed_at_random_instants("checkpoint.write=foreground", "train.dtype=f32", "2", "kill -9 at a random time");
}

static void so_does_one_in_bf16_that_saves_in_the_background(void **state)
{
    (void)state;
    killed_at_random_instants("checkpoint.write=background", "train.dtype=bf16", "2",
                              "the same in bf16, saves in the background");
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return tr_trainer_main(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_that_is_killed_at_random_instants_arrives_at_the_same_hash),
        cmocka_unit_test(so_does_one_in_bf16_that_saves_in_the_background),
    };
    return cmocka_run_group_tests_name("lab/train/kill", tests, tr_scratch_setup, tr_scratch_teardown);
}
