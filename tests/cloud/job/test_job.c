#include "cloud/job/job.h"

#include "base/os.h"
#include "lib/scratch.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct tr_err err;

/* ---- the script -------------------------------------------------------------------------------------------------- */

static const char *const plain_words[] = {"/bin/trine", "launch", "run.yaml", NULL};

static struct tr_slurm_job plain_job(void)
{
    return (struct tr_slurm_job){.name = "run", .folder = "/home/me", .output = "/home/me/run/job-%j.log", .nodes = 1,
                                 .tasks_per_node = 1, .warning_s = 120, .words = plain_words};
}

static void a_script_says_what_was_asked_and_no_more(void **state)
{
    (void)state;
    struct tr_text text = {0};
    struct tr_slurm_job job = plain_job();
    assert_int_equal(tr_slurm_script(&job, &text, &err), TR_OK);
    assert_string_equal(tr_text_str(&text), "#!/bin/sh\n"
                                            "#SBATCH --job-name=\"run\"\n"
                                            "#SBATCH --chdir=\"/home/me\"\n"
                                            "#SBATCH --output=\"/home/me/run/job-%j.log\"\n"
                                            "#SBATCH --open-mode=append\n"
                                            "#SBATCH --nodes=1\n"
                                            "#SBATCH --ntasks-per-node=1\n"
                                            "#SBATCH --requeue\n"
                                            "#SBATCH --signal=B:USR1@120\n"
                                            "\n"
                                            "exec /bin/trine \\\n"
                                            "    launch \\\n"
                                            "    run.yaml\n");
    tr_text_free(&text);
}

static void everything_that_can_be_asked_stands_in_it(void **state)
{
    (void)state;
    struct tr_text text = {0};
    struct tr_slurm_job job = plain_job();
    job.partition = "main", job.account = "lab", job.qos = "high", job.gres = "gpu:h100:8", job.constraint = "ib&ssd";
    job.nodes = 4, job.tasks_per_node = 8, job.cpus_per_task = 16, job.memory_bytes = (3 << 20) + 1;
    job.time_s = 26 * 3600 + 61; /* a minute begun is a minute */
    assert_int_equal(tr_slurm_script(&job, &text, &err), TR_OK);
    static const char *const lines[] = {"partition=\"main\"", "account=\"lab\"", "qos=\"high\"", "gres=\"gpu:h100:8\"",
                                        "constraint=\"ib&ssd\"", "nodes=4", "ntasks-per-node=8", "cpus-per-task=16", "mem=4M",
                                        "time=1-02:02:00"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        char line[64];
        snprintf(line, sizeof line, "\n#SBATCH --%s\n", lines[i]);
        assert_non_null(strstr(tr_text_str(&text), line));
    }
    tr_text_free(&text);
}

static void words_reach_the_command_as_they_are(void **state)
{
    (void)state;
    const char *const words[] = {"printf", "%s|", "it's", "a b", "$HOME `x` \"y\" \\", "", "*", NULL};
    struct tr_text text = {0};
    struct tr_slurm_job job = plain_job();
    char command[8192];
    job.words = words;
    assert_int_equal(tr_slurm_script(&job, &text, &err), TR_OK);
    tr_scratch_put_text("script.sh", tr_text_str(&text));
    snprintf(command, sizeof command, "sh %s", tr_scratch("script.sh"));
    FILE *said = popen(command, "r");
    assert_non_null(said);
    char line[256] = "";
    assert_non_null(fgets(line, sizeof line, said));
    assert_int_equal(pclose(said), 0);
    assert_string_equal(line, "it's|a b|$HOME `x` \"y\" \\||*|");
    tr_text_free(&text);
}

static void a_line_break_in_a_word_is_refused(void **state)
{
    (void)state;
    struct tr_text text = {0};
    struct tr_slurm_job job = plain_job();
    job.name = "run\n#SBATCH --account=yours";
    assert_int_equal(tr_slurm_script(&job, &text, &err), TR_BAD_INPUT);
    assert_non_null(strstr(err.text, "the job's name has a line break"));
    assert_int_equal(text.len, 0);
}

/* ---- Slurm's answers --------------------------------------------------------------------------------------------- */

/* As squeue pads: state 32, reason 160, nodes 200, used 32, left 32, restarts 16. */
static const char *queue_line(const char *job, const char *reason, const char *nodes, const char *used, const char *left,
                              const char *restarts)
{
    static char line[600];
    snprintf(line, sizeof line, "%-32s%-160s%-200s%-32s%-32s%-16s\n", job, reason, nodes, used, left, restarts);
    return line;
}

static void a_running_job_is_read(void **state)
{
    (void)state;
    struct tr_slurm_state s;
    assert_int_equal(tr_slurm_queue_parse(queue_line("RUNNING", "None", "n[1-2]", "1-02:03:04", "5:00", "3"), &s, &err), TR_OK);
    assert_string_equal(s.state, "RUNNING");
    assert_string_equal(s.reason, "");
    assert_string_equal(s.nodes, "n[1-2]");
    assert_string_equal(s.used, "1-02:03:04");
    assert_string_equal(s.left, "5:00");
    assert_int_equal(s.restarts, 3);
    assert_false(s.ended);
}

static void a_waiting_job_says_why(void **state)
{
    (void)state;
    struct tr_slurm_state s;
    assert_int_equal(tr_slurm_queue_parse(queue_line("PENDING", "Nodes required for job are DOWN", "", "0:00", "UNLIMITED", "0"),
                                          &s, &err), TR_OK);
    assert_string_equal(s.reason, "Nodes required for job are DOWN");
    assert_string_equal(s.nodes, "");
    assert_false(s.ended);
}

static void jobs_that_will_not_run_again_have_ended(void **state)
{
    (void)state;
    static const char *const states[] = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "BOOT_FAIL"};
    struct tr_slurm_state s;
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        assert_int_equal(tr_slurm_queue_parse(queue_line(states[i], "", "", "", "", ""), &s, &err), TR_OK);
        assert_true(s.ended);
        assert_int_equal(s.restarts, -1);
    }
}

static void an_account_is_read(void **state)
{
    (void)state;
    struct tr_slurm_state s;
    assert_int_equal(tr_slurm_account_parse("CANCELLED by 1000|0:15|00:12:03|n1\n", &s, &err), TR_OK);
    assert_string_equal(s.state, "CANCELLED");
    assert_string_equal(s.reason, "by 1000");
    assert_string_equal(s.exit_code, "0:15");
    assert_string_equal(s.used, "00:12:03");
    assert_string_equal(s.nodes, "n1");
    assert_true(s.ended);
    assert_int_equal(tr_slurm_account_parse("COMPLETED|0:0", &s, &err), TR_OK); /* an older sacct */
    assert_string_equal(s.nodes, "");
}

static void what_is_no_answer_is_refused(void **state)
{
    (void)state;
    struct tr_slurm_state s;
    assert_int_equal(tr_slurm_queue_parse("", &s, &err), TR_BAD_INPUT);
    assert_int_equal(tr_slurm_account_parse("|", &s, &err), TR_BAD_INPUT);
    assert_int_equal(tr_slurm_query("12; rm", &s, &err), TR_BAD_INPUT);
    assert_string_equal(err.text, "\"12; rm\" is no number of a Slurm job");
}

/* ---- looking after a command ------------------------------------------------------------------------------------- */

/* The number of lines in a scratch file: what the command has "kept". */
static int64_t lines_in(void *name)
{
    FILE *file = fopen(tr_scratch(name), "r");
    int64_t lines = 0;
    for (int c; file && (c = getc(file)) != EOF;)
        lines += c == '\n';
    if (file)
        fclose(file);
    return lines;
}

/* Below 0 while there is none, as of checkpoints. */
static int64_t newest_line(void *name) { return lines_in(name) - 1; }

static struct tr_launch_result result;

static enum tr_status launch(const char *script, int64_t restarts, const atomic_int *stop)
{
    const char *const words[] = {"sh", "-c", script, "sh", tr_scratch("tries"), tr_scratch("kept"), NULL};
    struct tr_launch how = {.words = words, .stop = stop, .kept = newest_line, .context = "kept", .restarts = restarts,
                            .pause_s = 0.01, .pause_max_s = 0.04};
    unlink(tr_scratch("tries"));
    unlink(tr_scratch("kept"));
    return tr_launch(&how, &result, &err);
}

static void what_ends_well_is_done(void **state)
{
    (void)state;
    assert_int_equal(launch("echo >>$1", 5, NULL), TR_OK);
    assert_int_equal(result.attempts, 1);
    assert_int_equal(lines_in("tries"), 1);
}

static void what_dies_is_started_again(void **state)
{
    (void)state;
    assert_int_equal(launch("echo >>$1; [ $(wc -l <$1) -gt 2 ] || kill -KILL $$", 5, NULL), TR_OK);
    assert_int_equal(result.attempts, 3);
}

static void attempts_that_keep_nothing_are_counted(void **state)
{
    (void)state;
    assert_int_equal(launch("echo >>$1; exit 3", 2, NULL), TR_FAILED);
    assert_int_equal(lines_in("tries"), 3);
    assert_string_equal(err.text, "given up after 3 attempts, the last 3 of which kept nothing; the last one ended with status 3");
}

static void one_that_keeps_something_begins_the_count_anew(void **state)
{
    (void)state;
    assert_int_equal(launch("echo >>$1; [ $(wc -l <$1) != 3 ] || echo >>$2; exit 3", 2, NULL), TR_FAILED);
    assert_int_equal(lines_in("tries"), 6);
    assert_non_null(strstr(err.text, "given up after 6 attempts, the last 3"));
}

static void wrong_input_is_not_tried_again(void **state)
{
    (void)state;
    assert_int_equal(launch("echo >>$1; exit 2", 5, NULL), TR_BAD_INPUT);
    assert_int_equal(result.attempts, 1);
}

static void what_does_not_fit_is_not_tried_again(void **state)
{
    (void)state;
    assert_int_equal(launch("echo >>$1; exit 1", 5, NULL), TR_NO);
    assert_int_equal(result.attempts, 1);
    assert_string_equal(err.text, "attempt 1 says no (it does not fit, or ranks cannot be started), and nothing was kept: see above");
}

static void what_has_fit_before_is_tried_again_when_it_does_not(void **state)
{
    (void)state;
    assert_int_equal(launch("echo >>$1; case $(wc -l <$1) in 1) echo >>$2; exit 3;; 2) exit 1;; esac", 5, NULL), TR_OK);
    assert_int_equal(result.attempts, 3);
}

static void a_request_to_end_is_passed_on_and_ends_it(void **state)
{
    (void)state;
    atomic_int stop = SIGTERM;
    assert_int_equal(launch("trap 'echo >>$2; exit 3' USR1; echo >>$1; while :; do sleep 0.02; done", 5, &stop), TR_FAILED);
    assert_int_equal(result.attempts, 1);
    assert_true(result.stopped);
    assert_string_equal(err.text, "asked to end by SIGTERM: the run goes on with the same command");
}

static void one_that_was_done_when_asked_is_done(void **state)
{
    (void)state;
    atomic_int stop = SIGUSR1;
    assert_int_equal(launch("trap '' USR1; sleep 0.4", 5, &stop), TR_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_script_says_what_was_asked_and_no_more),
        cmocka_unit_test(everything_that_can_be_asked_stands_in_it),
        cmocka_unit_test(words_reach_the_command_as_they_are),
        cmocka_unit_test(a_line_break_in_a_word_is_refused),
        cmocka_unit_test(a_running_job_is_read),
        cmocka_unit_test(a_waiting_job_says_why),
        cmocka_unit_test(jobs_that_will_not_run_again_have_ended),
        cmocka_unit_test(an_account_is_read),
        cmocka_unit_test(what_is_no_answer_is_refused),
        cmocka_unit_test(what_ends_well_is_done),
        cmocka_unit_test(what_dies_is_started_again),
        cmocka_unit_test(attempts_that_keep_nothing_are_counted),
        cmocka_unit_test(one_that_keeps_something_begins_the_count_anew),
        cmocka_unit_test(wrong_input_is_not_tried_again),
        cmocka_unit_test(what_does_not_fit_is_not_tried_again),
        cmocka_unit_test(what_has_fit_before_is_tried_again_when_it_does_not),
        cmocka_unit_test(a_request_to_end_is_passed_on_and_ends_it),
        cmocka_unit_test(one_that_was_done_when_asked_is_done),
    };
    return cmocka_run_group_tests_name("cloud/job", tests, tr_scratch_setup, tr_scratch_teardown);
}
