/* kill -9 at random instants, again and again: the run goes on from its last checkpoint to the same hash. The trainer
 * that is killed is this program again, started with arguments. */
#include "base/os.h"
#include "lab/train/train.h"
#include "lib/scratch.h"
#include "lib/tiny_run.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { KILLS = 25 };

/* The trainer: `CONFIG OUT` as arguments. Ends with the status. */
static int be_the_trainer(const char *config_path, const char *out)
{
    static struct tr_run_config config;
    static struct tr_train_result result;
    struct tr_train_options options = tr_tiny_options();
    struct tr_err err = {{0}};
    struct tr_override override = {"run.out", out};
    enum tr_status status = tr_run_config_read(&config, config_path, &override, 1, &err);
    if (status == TR_OK)
        status = tr_train(&config, &options, &result, &err);
    if (status != TR_OK)
        fprintf(stderr, "trainer: %s\n", err.text);
    return status;
}

static pid_t start_trainer(const char *out)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        execl("/proc/self/exe", "trainer", tr_scratch("config.yaml"), out, (char *)NULL);
        _exit(127);
    }
    assert_true(child > 0);
    return child;
}

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

static void killed_at_random_instants(const char *where)
{
    struct tr_err err;
    struct tr_hash hash;
    struct tr_text yaml = {0};
    struct tr_run_config config =
        tr_tiny_config("never_killed", "train.steps=200", "checkpoint.every=3", "run.threads=2", "eval.every=10",
                       "eval.windows=1", "sample.tokens=3", "sample.every=7", "data.seq_len=64", where, NULL);
    tr_run_config_yaml(&config, &yaml);
    tr_scratch_put_text("config.yaml", tr_text_str(&yaml));
    tr_text_free(&yaml);
    double start_s = tr_clock_s();
    assert_int_equal(tr_folder_remove(config.out, &err), TR_OK);
    struct tr_tiny_hash expected = tr_tiny_train(&config);
    /* Some ten lives for a run, whatever a sanitizer or a busy machine makes of its time. */
    double life_max_s = (tr_clock_s() - start_s) / 5;

    const char *out = tr_scratch("killed");
    assert_int_equal(tr_folder_remove(out, &err), TR_OK);
    uint32_t random = 2463534242u;
    int kills = 0, status;
    for (;;) {
        pid_t child = start_trainer(out);
        random ^= random << 13, random ^= random >> 17, random ^= random << 5;
        if (kills < KILLS) {
            sleep_s(life_max_s * random / UINT32_MAX);
            kill(child, SIGKILL);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        if (WIFEXITED(status))
            break; /* it arrived before it could be killed, or nobody kills any more */
        kills++;
    }
    assert_int_equal(WEXITSTATUS(status), TR_OK);
    print_message("killed %d times\n", kills);
    assert_true(kills > 5);
    assert_true(count_resumes(tr_scratch("killed/events.jsonl")) > 3); /* not always from the beginning */
    if (tr_hash_path(out, &hash, &err) != TR_OK)
        fail_msg("%s", err.text);
    assert_string_equal(hash.hex, expected.hex);
    assert_int_equal(hash.step, 200);
}

static void a_run_that_is_killed_at_random_instants_arrives_at_the_same_hash(void **state)
{
    (void)state;
    killed_at_random_instants("checkpoint.write=foreground");
}

static void so_does_one_that_saves_in_the_background(void **state)
{
    (void)state;
    killed_at_random_instants("checkpoint.write=background");
}

int main(int argc, char **argv)
{
    if (argc == 3)
        return be_the_trainer(argv[1], argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_that_is_killed_at_random_instants_arrives_at_the_same_hash),
        cmocka_unit_test(so_does_one_that_saves_in_the_background),
    };
    return cmocka_run_group_tests_name("lab/train/kill", tests, tr_scratch_setup, tr_scratch_teardown);
}
