/* What may happen to a run from outside, and what must come of it: the last good checkpoint is never lost, nothing is
 * reported as done that is not, and whoever goes on arrives at the same hash. Each test is a row of docs/faults.md. The
 * trainer is a process of its own; strace lets its system calls fail, or be its last ones. */
#include "lab/train/train.h"
#include "lib/faults.h"
#include "lib/faulty_disk.h"
#include "lib/sanitized.h"
#include "lib/scratch.h"
#include "lib/tiny_run.h"
#include "lib/trainer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

enum { STEPS = 6, CALLS_MAX = 4096, SEEN_MAX = 1024, NAME_MAX_BYTES = 32 };

static struct tr_err err;
static struct tr_tiny_hash whole; /* of the run that nothing happens to */

/* ---- in the trainer ---------------------------------------------------------------------------------------------- */

/* The wall clock of this program, if TRINE_TEST_CLOCK is set, goes forth and back by years from call to call. */
int clock_gettime(clockid_t clock, struct timespec *now);
int clock_gettime(clockid_t clock, struct timespec *now)
{
    static int calls;
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && clock == CLOCK_REALTIME && getenv("TRINE_TEST_CLOCK"))
        now->tv_sec += (++calls % 3 - 1) * (time_t)400000000;
    return result;
}

static int be_the_trainer(int argc, char **argv)
{
    if (getenv("TRINE_TEST_SHORT"))
        fault = FAULT_SHORT;
    return tr_trainer_main(argc, argv);
}

/* ---- around the trainer ------------------------------------------------------------------------------------------ */

static struct tr_run_config config_of(const char *out)
{
    return tr_tiny_config(out, "train.steps=6", "checkpoint.every=2", "checkpoint.keep_last=1", "layout.lanes=2", NULL);
}

static int setup(void **state)
{
    if (tr_scratch_setup(state) != 0)
        return -1;
    struct tr_run_config config = config_of("whole");
    whole = tr_tiny_train(&config);
    tr_trainer_config(&config);
    return 0;
}

/* RUN/step-00000002 and nothing else: a run that was stopped after its first save. */
static void start_at_two(const char *out)
{
    static bool made;
    char command[3 * TR_PATH_BYTES];
    const char *two = tr_scratch("two");
    if (!made) {
        struct tr_run_config config = config_of("two");
        config.steps = 2;
        struct tr_tiny_hash ignored = tr_tiny_train(&config);
        (void)ignored;
        made = true;
    }
    snprintf(command, sizeof command, "rm -rf '%s' && cp -r '%s' '%s'", out, two, out);
    assert_int_equal(system(command), 0);
}

/* The step of the newest checkpoint, verified to the last byte; -1: there is none. */
static int64_t newest(const char *out)
{
    char path[TR_PATH_BYTES];
    struct tr_text bad = {0};
    enum tr_status status = tr_checkpoint_find_latest(out, path, &bad, &err);
    tr_text_free(&bad);
    if (status == TR_NO)
        return -1;
    if (status != TR_OK)
        fail_msg("%s", err.text);
    return strtoll(strrchr(path, '-') + 1, NULL, 10);
}

static bool has_command(const char *name)
{
    char command[256];
    snprintf(command, sizeof command, "%s >/dev/null 2>&1", name);
    return system(command) == 0;
}

#define NEED(probe, what, number, fault_name)                                                                          \
    if (!has_command(probe)) {                                                                                         \
        fault_not_tried(number, fault_name, what);                                                                     \
        skip();                                                                                                        \
    }
#define NEED_STRACE(number, fault_name) NEED("strace -o /dev/null true", "strace cannot trace here", number, fault_name)
#define NEED_MOUNT(number, fault_name)                                                                                 \
    NEED("unshare -Urm mount -t tmpfs none /mnt", "no file system can be mounted here", number, fault_name)

/* ---- system calls ------------------------------------------------------------------------------------------------ */

struct call {
    char name[NAME_MAX_BYTES];
    int index; /* how many of this name there were before it, and this one */
};

/* Of a thread, so many calls of this name: strace counts them thread by thread. */
struct seen {
    int pid;
    struct call call;
};

static struct call *find_seen(struct seen *seen, int *count, int pid, const char *name)
{
    int i = 0;
    while (i < *count && (seen[i].pid != pid || strcmp(seen[i].call.name, name) != 0))
        i++;
    assert_true(i < SEEN_MAX);
    if (i == *count) {
        seen[i] = (struct seen){.pid = pid};
        strcpy(seen[(*count)++].call.name, name);
    }
    return &seen[i].call;
}

/* The system calls of a run from its first save (of step 4) on, as strace sees them. */
static int list_calls(struct call *list)
{
    static const char *const strace[] = {"strace", "-f", "-o", NULL, NULL};
    const char *before[5];
    memcpy(before, strace, sizeof before);
    before[3] = tr_scratch("calls");
    start_at_two(tr_scratch("calls_run"));
    struct tr_trainer_end end = tr_trainer_run(tr_scratch("calls_run"), before);
    if (end.status != TR_OK)
        fail_msg("%s", end.said);
    static struct seen seen[SEEN_MAX];
    int count = 0, seen_count = 0, pid;
    bool saving = false;
    FILE *file = fopen(tr_scratch("calls"), "r");
    char line[4096], name[NAME_MAX_BYTES];
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        saving = saving || (strstr(line, " mkdir") && strstr(line, "step-00000004.") && strstr(line, ".tmp"));
        if (sscanf(line, "%d %31[a-z0-9_](", &pid, name) != 2 || strcmp(name, "exit_group") == 0)
            continue;
        struct call *call = find_seen(seen, &seen_count, pid, name);
        call->index++;
        if (saving && count < CALLS_MAX)
            list[count++] = *call;
    }
    fclose(file);
    assert_true(saving && count > 100);
    return count;
}

static struct tr_trainer_end run_injected(const char *out, const struct call *call, const char *what)
{
    char inject[128];
    snprintf(inject, sizeof inject, "inject=%s:%s:when=%d", call->name, what, call->index);
    const char *before[] = {"strace", "-f", "-o", "/dev/null", "-e", inject, NULL};
    return tr_trainer_run(out, before);
}

static void kill_at_calls(const char *fault_name, int few)
{
    NEED_STRACE("1", fault_name)
    static struct call list[CALLS_MAX];
    int count = list_calls(list), tries = fault_tries(few, count), killed = 0, old = 0;
    const char *out = tr_scratch("killed");
    for (int t = 0; t < tries && t < count; t++) {
        start_at_two(out);
        struct tr_trainer_end end = run_injected(out, &list[(int64_t)t * count / tries], "signal=KILL");
        killed += end.signal == SIGKILL || end.status == 128 + SIGKILL;
        int64_t step = newest(out);
        assert_true(step == 2 || step == 4 || step == 6);
        old += step == 2;
        tr_trainer_must_arrive(out, whole.hex);
    }
    assert_true(killed > tries / 2 && old > 0);
    fault_row("1", fault_name, "strace, `signal=KILL:when=N` for each call in turn", killed, killed,
              "nothing; `resumed from RUN/step-N` when it is started again");
}

static void a_kill_at_any_system_call_of_a_save_loses_nothing(void **unused)
{
    (void)unused;
    kill_at_calls("kill -9 at every system call of two saves", 12);
}

/* Each writes its shard; who goes on is one rank or two, and begins with what one or two have written. */
static void a_kill_at_any_system_call_of_a_save_by_two_ranks_loses_nothing(void **unused)
{
    (void)unused;
    setenv("TRINE_TEST_RANKS", "2", 1);
    kill_at_calls("kill -9 at every system call of two saves by two ranks", 6);
}

static int one_rank_again(void **unused)
{
    (void)unused;
    return unsetenv("TRINE_TEST_RANKS");
}

/* Calls whose failure says something about the disk. */
static bool is_of_the_disk(const char *name)
{
    static const char *const names[] = {"openat", "write", "fsync", "renameat2", "mkdirat", "unlinkat", "unlink", "symlink",
                                        "getdents64", "read", "rmdir", "ftruncate", "rename", "mkdir"};
    /* What threads do, the first thread of the process has done as often when it was loaded: that would not start it. */
    bool loads = strcmp(name, "read") == 0 || strcmp(name, "openat") == 0;
    if (loads && getenv("TRINE_TEST_RANKS"))
        return false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static void fail_calls(const char *error, const char *reason, const char *number, const char *fault_name, int few)
{
    NEED_STRACE(number, fault_name)
    static struct call list[CALLS_MAX];
    char what[64], example[512] = "";
    int count = 0, all = list_calls(list), failed = 0;
    for (int i = 0; i < all; i++)
        if (is_of_the_disk(list[i].name))
            list[count++] = list[i];
    int tries = fault_tries(few, count);
    const char *out = tr_scratch("failed");
    snprintf(what, sizeof what, "error=%s", error);
    for (int t = 0; t < tries && t < count; t++) {
        start_at_two(out);
        const struct call *call = &list[(int64_t)t * count / tries];
        struct tr_trainer_end end = run_injected(out, call, what);
        if (end.signal || (end.status != TR_OK && end.status != TR_FAILED && end.status != TR_BAD_INPUT))
            fail_msg("%s number %d: ended with %d, signal %d: %s", call->name, call->index, end.status, end.signal, end.said);
        /* Of two threads the second may fail at the same number of its own: where that writes the sentence, it is not read. */
        bool is_mute = getenv("TRINE_TEST_RANKS") && strcmp(call->name, "write") == 0 && !end.said[0];
        failed += end.status != TR_OK && is_mute;
        if (end.status != TR_OK && !is_mute) { /* told in a sentence */
            tr_assert_says(end.said, "trainer: ");
            tr_assert_says(end.said, reason);
            failed++;
            if (!example[0] && strstr(end.said, "was not written"))
                snprintf(example, sizeof example, "`%s`", strstr(end.said, "the checkpoint of"));
        }
        int64_t step = newest(out);
        assert_true(step == 2 || step == 4 || step == 6);
        if (end.status == TR_OK) { /* then it is true */
            struct tr_hash hash;
            assert_int_equal(tr_hash_path(out, &hash, &err), TR_OK);
            assert_string_equal(hash.hex, whole.hex);
        }
        tr_trainer_must_arrive(out, whole.hex);
    }
    assert_true(failed > 0);
    for (char *at; (at = strstr(example, out)) != NULL;) { /* the path of this test is nobody's */
        memcpy(at, "RUN", 3);
        memmove(at + 3, at + strlen(out), strlen(at + strlen(out)) + 1);
    }
    fault_row(number, fault_name, "strace, the error at each call on files in turn", tries < count ? tries : count,
              tries < count ? tries : count, example);
}

static void a_full_disk_at_any_call_of_a_save_is_told_and_loses_nothing(void **unused)
{
    (void)unused;
    fail_calls("ENOSPC", "No space left on device", "3", "disk full (ENOSPC) at every call of two saves", 8);
}

static void an_error_of_the_disk_at_any_call_of_a_save_is_told_and_loses_nothing(void **unused)
{
    (void)unused;
    fail_calls("EIO", "Input/output error", "4", "EIO at every call of two saves", 8);
}

static void a_full_disk_under_one_of_two_ranks_is_told_and_loses_nothing(void **unused)
{
    (void)unused;
    setenv("TRINE_TEST_RANKS", "2", 1);
    fail_calls("ENOSPC", "No space left on device", "3", "ENOSPC at every call of two saves by two ranks", 6);
}

static void an_interrupted_system_call_is_made_again(void **unused)
{
    (void)unused;
    static const char name[] = "EINTR at every open, read, write and fsync of two saves";
    NEED_STRACE("4", name)
    static struct call list[CALLS_MAX];
    static const char *const names[] = {"openat", "read", "write", "fsync"};
    int all = list_calls(list), count = 0;
    for (int i = 0; i < all; i++)
        for (int n = 0; n < 4; n++)
            if (strcmp(list[i].name, names[n]) == 0)
                list[count++] = list[i];
    int tries = fault_tries(8, count);
    for (int t = 0; t < tries && t < count; t++) {
        const struct call *call = &list[(int64_t)t * count / tries];
        start_at_two(tr_scratch("interrupted"));
        struct tr_trainer_end end = run_injected(tr_scratch("interrupted"), call, "error=EINTR");
        if (end.status != TR_OK)
            fail_msg("%s number %d: %s", call->name, call->index, end.said);
        struct tr_hash hash;
        assert_int_equal(tr_hash_path(tr_scratch("interrupted"), &hash, &err), TR_OK);
        assert_string_equal(hash.hex, whole.hex);
    }
    fault_row("4", name, "strace", tries < count ? tries : count, tries < count ? tries : count, "nothing");
}

static void short_writes_are_gone_on_with(void **unused)
{
    (void)unused;
    start_at_two(tr_scratch("short"));
    setenv("TRINE_TEST_SHORT", "1", 1);
    tr_trainer_must_arrive(tr_scratch("short"), whole.hex);
    unsetenv("TRINE_TEST_SHORT");
    fault_row("4", "each write takes a third of its bytes", "a shim around write(2)", 1, 1, "nothing");
}

static void a_wall_clock_that_jumps_changes_nothing(void **unused)
{
    (void)unused;
    start_at_two(tr_scratch("clock"));
    setenv("TRINE_TEST_CLOCK", "1", 1);
    tr_trainer_must_arrive(tr_scratch("clock"), whole.hex);
    unsetenv("TRINE_TEST_CLOCK");
    fault_row("18", "the wall clock jumps by 12 years at each reading", "a shim around clock_gettime(2)", 1, 1,
              "odd times in events.jsonl, nothing else");
}

/* ---- file systems ------------------------------------------------------------------------------------------------ */

/* MOUNT-OPTIONS FOLDER TRAINER...: the trainer on a small file system of its own, then once more with room; the run that came
 * of it is put beside the folder, as FOLDER.out. Ends with the exit status of the first attempt. */
static const char small_disk[] =
    "mount -t tmpfs -o \"$1\" none \"$2\" || exit 90\n"
    "disk=$2; shift 2\n"
    "\"$@\"; first=$?\n"
    "mount -o remount,rw,size=64m,nr_inodes=10000 \"$disk\" || exit 91\n"
    "\"$@\" 2>/dev/null || exit 92\n"
    "cp -r \"$disk/run\" \"$disk.out\" || exit 93\n"
    "exit $first\n";

static struct tr_trainer_end run_on(const char *mount_options, const char *script)
{
    assert_int_equal(tr_folder_make(tr_scratch("disk"), &err), TR_OK);
    assert_int_equal(tr_folder_remove(tr_scratch("disk.out"), &err), TR_OK);
    const char *before[] = {"unshare", "-Urm", "sh", "-c", script, "sh", mount_options, tr_scratch("disk"), NULL};
    return tr_trainer_run(tr_scratch("disk/run"), before);
}

static void must_be_whole(const char *out)
{
    struct tr_hash hash;
    if (tr_hash_path(out, &hash, &err) != TR_OK)
        fail_msg("%s", err.text);
    assert_string_equal(hash.hex, whole.hex);
}

static void on_small_disks(bool inodes, int first, int last, int tries, const char *number, const char *name)
{
    NEED_MOUNT(number, name)
    int failed = 0;
    for (int t = 0; t < tries; t++) {
        char options[64];
        snprintf(options, sizeof options, inodes ? "size=16m,nr_inodes=%d" : "size=%dk",
                 first + (int)((int64_t)t * (last - first) / tries));
        struct tr_trainer_end end = run_on(options, small_disk);
        if (end.signal || (end.status != TR_OK && end.status != TR_FAILED))
            fail_msg("%s: ended with %d: %s", options, end.status, end.said);
        if (end.status == TR_FAILED) {
            tr_assert_says(end.said, "No space left on device");
            failed++;
        }
        must_be_whole(tr_scratch("disk.out"));
    }
    assert_true(failed > 0);
    fault_row(number, name, "tmpfs of growing size; then a second attempt with room", tries, tries,
              "`... No space left on device`, exit status 3");
}

static void a_disk_that_is_too_small_is_told_and_the_run_goes_on_with_room(void **unused)
{
    (void)unused;
    on_small_disks(false, 4, 4000, fault_tries(4, 60), "3", "a disk that is too small, 4 KiB to 4 MiB");
}

static void an_inode_table_that_is_full_is_told_and_the_run_goes_on_with_room(void **unused)
{
    (void)unused;
    on_small_disks(true, 2, 26, fault_tries(4, 24), "18", "inode table full, 2 to 25 inodes");
}

static const char read_only[] =
    "mount -t tmpfs -o \"$1\" none \"$2\" || exit 90\n"
    "disk=$2; shift 2\n"
    "cp -r \"$disk.before\" \"$disk/run\" && mount -o remount,ro \"$disk\" || exit 91\n"
    "\"$@\"; first=$?\n"
    "mount -o remount,rw \"$disk\" || exit 91\n"
    "\"$@\" 2>/dev/null || exit 92\n"
    "cp -r \"$disk/run\" \"$disk.out\" || exit 93\n"
    "exit $first\n";

static void a_read_only_file_system_is_told(void **unused)
{
    (void)unused;
    NEED_MOUNT("18", "read-only file system")
    start_at_two(tr_scratch("disk.before"));
    struct tr_trainer_end end = run_on("size=16m", read_only);
    if (end.status != TR_FAILED)
        fail_msg("ended with %d: %s", end.status, end.said);
    tr_assert_says(end.said, "Read-only file system");
    must_be_whole(tr_scratch("disk.out"));
    fault_row("18", "read-only file system", "tmpfs, mounted again with ro", 1, 1,
              "`RUN/lock: the lock file cannot be opened: Read-only file system`, exit status 3");
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

/* The smallest address space in which the loader starts the program, in KiB. */
static int least_space(void)
{
    char command[TR_PATH_BYTES + 64];
    for (int kib = 4000; kib < 400000; kib += 500) {
        /* Without a config it says how to use it, and ends with 100. */
        snprintf(command, sizeof command, "ulimit -v %d; exec /proc/%d/exe one >/dev/null 2>&1", kib, (int)getpid());
        int status = system(command);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 100)
            return kib;
    }
    fail_msg("the program does not start in 400 MB");
    return 0;
}

static void too_little_memory_is_told_and_loses_nothing(void **unused)
{
    (void)unused;
    if (TR_SANITIZED) {
        print_message("skipped: a sanitizer maps the whole address space\n");
        skip();
    }
    static const char script[] = "ulimit -v \"$1\"; shift; exec \"$@\"";
    const char *out = tr_scratch("starved");
    int failed = 0, tried = 0, least = least_space(), steps = fault_tries(5, 100);
    for (int t = 0; t < steps; t++, tried++) {
        char kib[32];
        snprintf(kib, sizeof kib, "%d", least + (int)((int64_t)t * 24000 / steps));
        const char *before[] = {"sh", "-c", script, "sh", kib, NULL};
        start_at_two(out);
        struct tr_trainer_end end = tr_trainer_run(out, before);
        if (end.signal || (end.status != TR_OK && end.status != TR_FAILED && end.status != TR_BAD_INPUT))
            fail_msg("%s KiB: ended with %d, signal %d: %s", kib, end.status, end.signal, end.said);
        failed += end.status != TR_OK;
        if (end.status != TR_OK)
            tr_assert_says(end.said, "trainer: ");
        int64_t step = newest(out);
        assert_true(step == 2 || step == 4 || step == 6);
        tr_trainer_must_arrive(out, whole.hex);
    }
    assert_true(failed > 0);
    fault_row("19", "out of memory", "ulimit -v from what the loader needs to 24 MB more", tried, tried,
              "a sentence that says for what, exit status 3");
}

/* ---- physical changes -------------------------------------------------------------------------------------------- */

static atomic_int stop;

static void stop_after_three(void *context, struct tr_exec *exec, int64_t step, struct tr_step_result *result)
{
    (void)context, (void)exec, (void)result;
    if (step == 2)
        stop = SIGTERM;
}

struct physical {
    const char *isa, *threads, *micro, *recompute, *where;
};

static enum tr_status run_physical(const struct physical *p, bool stopping, struct tr_train_result *result)
{
    struct tr_run_config config =
        tr_tiny_config("physical", "train.steps=6", "checkpoint.every=2", "layout.lanes=2", p->threads, p->micro, p->recompute,
                       p->where, NULL);
    struct tr_train_options options = tr_tiny_options();
    if (p->isa)
        setenv("TRINE_ISA", p->isa, 1);
    else
        unsetenv("TRINE_ISA");
    stop = 0;
    options.stop = &stop;
    options.fault = stopping ? stop_after_three : NULL;
    enum tr_status status = tr_train(&config, &options, result, &err);
    tr_text_free(&result->last_sample);
    unsetenv("TRINE_ISA");
    return status;
}

static void a_run_goes_on_in_any_physical_layout(void **unused)
{
    (void)unused;
    static const struct physical list[] = {
        {NULL, "run.threads=1", "train.micro_batch=2", "train.recompute=none", "checkpoint.write=foreground"},
        {"ref", "run.threads=1", "train.micro_batch=4", "train.recompute=elementwise", "checkpoint.write=foreground"},
        {NULL, "run.threads=2", "train.micro_batch=1", "train.recompute=full", "checkpoint.write=background"},
        {"ref", "run.threads=3", "train.micro_batch=2", "train.recompute=full", "checkpoint.write=background"},
        {NULL, "run.threads=3", "train.micro_batch=4", "train.recompute=none", "checkpoint.write=background"},
        {NULL, "run.threads=1", "train.micro_batch=1", "train.recompute=full", "checkpoint.write=foreground"},
    };
    enum { COUNT = sizeof list / sizeof *list };
    static struct tr_train_result result;
    int tried = 0, stride = fault_tries(5, 1);
    for (int pair = 0; pair < COUNT * COUNT; pair += stride, tried++) {
        assert_int_equal(tr_folder_remove(tr_scratch("physical"), &err), TR_OK);
        assert_int_equal(run_physical(&list[pair / COUNT], true, &result), TR_FAILED);
        tr_assert_says(err.text, "interrupted by SIGTERM after step 3");
        if (run_physical(&list[pair % COUNT], false, &result) != TR_OK)
            fail_msg("%s", err.text);
        assert_string_equal(result.hash, whole.hex);
    }
    fault_row("9", "another physical layout at resume, all to all",
              "threads 1 to 3, reference and vector kernels, microbatch, recompute, where it saves", tried, tried,
              "nothing");
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return be_the_trainer(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_kill_at_any_system_call_of_a_save_loses_nothing),
        cmocka_unit_test_teardown(a_kill_at_any_system_call_of_a_save_by_two_ranks_loses_nothing, one_rank_again),
        cmocka_unit_test_teardown(a_full_disk_under_one_of_two_ranks_is_told_and_loses_nothing, one_rank_again),
        cmocka_unit_test(a_full_disk_at_any_call_of_a_save_is_told_and_loses_nothing),
        cmocka_unit_test(a_disk_that_is_too_small_is_told_and_the_run_goes_on_with_room),
        cmocka_unit_test(an_error_of_the_disk_at_any_call_of_a_save_is_told_and_loses_nothing),
        cmocka_unit_test(an_interrupted_system_call_is_made_again),
        cmocka_unit_test(short_writes_are_gone_on_with),
        cmocka_unit_test(a_run_goes_on_in_any_physical_layout),
        cmocka_unit_test(a_wall_clock_that_jumps_changes_nothing),
        cmocka_unit_test(an_inode_table_that_is_full_is_told_and_the_run_goes_on_with_room),
        cmocka_unit_test(a_read_only_file_system_is_told),
        cmocka_unit_test(too_little_memory_is_told_and_loses_nothing),
    };
    return cmocka_run_group_tests_name("fault/faults", tests, setup, tr_scratch_teardown);
}
