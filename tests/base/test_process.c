#include "base/process.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Runs `sh -c script` and keeps what it said for the assertions. */
static struct tr_text out, said;
static int code;
static struct tr_err err;

static enum tr_status sh(const char *script)
{
    const char *const words[] = {"sh", "-c", script, NULL};
    tr_text_free(&out);
    tr_text_free(&said);
    code = -1;
    return tr_process_run(words, &out, &said, &code, &err);
}

static int free_texts(void **state)
{
    (void)state;
    tr_text_free(&out);
    tr_text_free(&said);
    return 0;
}

static void what_a_program_says_is_read_from_both_its_outputs(void **state)
{
    (void)state;
    assert_int_equal(sh("echo yes; echo no >&2; echo more; exit 5"), TR_OK);
    assert_string_equal(tr_text_str(&out), "yes\nmore\n");
    assert_string_equal(tr_text_str(&said), "no\n");
    assert_int_equal(code, 5);
}

static void its_input_is_empty_and_much_output_does_not_block_it(void **state)
{
    (void)state;
    assert_int_equal(sh("cat; head -c 300000 /dev/zero >&2; head -c 300000 /dev/zero"), TR_OK);
    assert_int_equal(out.len, 300000);
    assert_int_equal(said.len, 300000);
    assert_int_equal(code, 0);
}

static void the_kernel_says_how_a_process_is(void **state)
{
    (void)state;
    assert_int_equal(tr_process_state(getpid()), 'R');
    pid_t child = fork();
    if (child == 0)
        for (;;)
            pause();
    assert_true(child > 0);
    for (int i = 0; i < 500 && tr_process_state(child) != 'S'; i++)
        usleep(10000);
    assert_int_equal(tr_process_state(child), 'S');
    kill(child, SIGSTOP);
    for (int i = 0; i < 500 && tr_process_state(child) != 'T'; i++)
        usleep(10000);
    assert_int_equal(tr_process_state(child), 'T');
    kill(child, SIGKILL);
    for (int i = 0; i < 500 && tr_process_state(child) != 'Z'; i++)
        usleep(10000);
    assert_int_equal(tr_process_state(child), 'Z');
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(tr_process_state(child), 0);
}

static void one_that_a_signal_ends_has_128_more(void **state)
{
    (void)state;
    assert_int_equal(sh("kill -KILL $$"), TR_OK);
    assert_int_equal(code, 128 + SIGKILL);
}

static void one_that_does_not_stop_writing_is_stopped(void **state)
{
    (void)state;
    assert_int_equal(sh("cat /dev/zero"), TR_FAILED);
    assert_non_null(strstr(err.text, "\"sh\" wrote more than 16777216 bytes"));
}

static void a_program_that_is_not_there_is_named(void **state)
{
    (void)state;
    const char *const words[] = {"no-such-program-of-ours", NULL};
    struct tr_process process = {0};
    assert_int_equal(tr_process_run(words, &out, &said, &code, &err), TR_BAD_INPUT);
    assert_string_equal(err.text, "there is no program \"no-such-program-of-ours\" here");
    assert_int_equal(tr_process_start(words, &process, &err), TR_BAD_INPUT);
    assert_int_equal(process.id, 0);
}

static void a_file_that_is_no_program_is_named(void **state)
{
    (void)state;
    const char *const words[] = {"/etc/passwd", NULL};
    assert_int_equal(tr_process_run(words, &out, &said, &code, &err), TR_BAD_INPUT);
    assert_string_equal(err.text, "\"/etc/passwd\" cannot be started: Permission denied");
}

static void one_that_was_started_gets_signals_and_its_end_is_seen(void **state)
{
    (void)state;
    const char *const words[] = {"sh", "-c", "trap 'exit 7' USR1; echo up >&3; while :; do sleep 0.05; done", NULL};
    struct tr_process process = {0};
    int ready[2];
    char text[3];
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(dup2(ready[1], 3), 3);
    if (ready[1] != 3)
        close(ready[1]);
    assert_int_equal(tr_process_start(words, &process, &err), TR_OK);
    close(3);
    assert_int_equal(read(ready[0], text, 3), 3); /* its trap is set */
    close(ready[0]);
    assert_false(tr_process_ended(&process, 0.05, &code));
    assert_int_equal(getpgid(process.id), process.id); /* a terminal's interrupt does not reach it */
    tr_process_signal(&process, SIGUSR1);
    while (!tr_process_ended(&process, 5, &code))
        ;
    assert_int_equal(code, 7);
    assert_int_equal(process.id, 0);
    tr_process_signal(&process, SIGKILL); /* nobody's */
}

static void one_whose_keeper_dies_is_told(void **state)
{
    (void)state;
    int tell[2];
    char text[5] = "";
    assert_int_equal(pipe(tell), 0);
    pid_t keeper = fork();
    if (keeper == 0) {
        const char *const words[] = {"sh", "-c", "trap 'echo told >&9; exit' TERM; echo up >&9; while :; do sleep 0.05; done", NULL};
        struct tr_process process = {0};
        dup2(tell[1], 9);
        if (tr_process_start(words, &process, &err) != TR_OK)
            _exit(1);
        pause();
    }
    close(tell[1]);
    assert_int_equal(read(tell[0], text, 3), 3); /* up */
    kill(keeper, SIGKILL);
    assert_int_equal(waitpid(keeper, NULL, 0), keeper);
    assert_int_equal(read(tell[0], text, 5), 5);
    assert_memory_equal(text, "told\n", 5);
    close(tell[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_program_says_is_read_from_both_its_outputs),
        cmocka_unit_test(its_input_is_empty_and_much_output_does_not_block_it),
        cmocka_unit_test(the_kernel_says_how_a_process_is),
        cmocka_unit_test(one_that_a_signal_ends_has_128_more),
        cmocka_unit_test(one_that_does_not_stop_writing_is_stopped),
        cmocka_unit_test(a_program_that_is_not_there_is_named),
        cmocka_unit_test(a_file_that_is_no_program_is_named),
        cmocka_unit_test(one_that_was_started_gets_signals_and_its_end_is_seen),
        cmocka_unit_test(one_whose_keeper_dies_is_told),
    };
    return cmocka_run_group_tests_name("base/process", tests, NULL, free_texts);
}
