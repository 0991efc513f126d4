#include "base/memory.h"
#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* One folder for all tests of this program, removed at the end. */
static char root[64];

static int make_root(void **state)
{
    (void)state;
    const char *tmp = getenv("TMPDIR");
    snprintf(root, sizeof root, "%.30s/trine-test-XXXXXX", tmp && strlen(tmp) <= 30 ? tmp : "/tmp");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    (void)state;
    struct tr_err err;
    return tr_folder_remove(root, &err);
}

static const char *in_root(const char *name)
{
    static char paths[4][256];
    static int turn;
    char *path = paths[turn++ % 4];
    snprintf(path, 256, "%s/%s", root, name);
    return path;
}

static void check_content(const char *path, const char *expected)
{
    struct tr_bytes bytes;
    struct tr_err err;
    assert_int_equal(tr_file_read(path, 1 << 20, &bytes, &err), TR_OK);
    assert_int_equal(bytes.len, strlen(expected));
    assert_string_equal(bytes.at, expected);
    tr_bytes_free(&bytes);
}

static void a_written_file_reads_back_and_leaves_no_tmp(void **state)
{
    (void)state;
    struct tr_err err;
    const char *path = in_root("a.txt");
    assert_int_equal(tr_file_write(path, "hello", 5, &err), TR_OK);
    check_content(path, "hello");
    assert_int_equal(tr_file_write(path, "", 0, &err), TR_OK);
    check_content(path, "");
    assert_false(tr_file_exists(in_root("a.txt.tmp")));
    int64_t bytes;
    assert_int_equal(tr_file_bytes(path, &bytes, &err), TR_OK);
    assert_int_equal(bytes, 0);
}

static void a_file_over_the_limit_a_folder_and_a_missing_file_are_refused_with_their_path(void **state)
{
    (void)state;
    struct tr_err err;
    struct tr_bytes bytes;
    const char *path = in_root("big.txt");
    assert_int_equal(tr_file_write(path, "0123456789", 10, &err), TR_OK);
    assert_int_equal(tr_file_read(path, 9, &bytes, &err), TR_BAD_INPUT);
    assert_non_null(strstr(err.text, "big.txt: "));
    assert_non_null(strstr(err.text, "10 bytes, more than the limit of 9"));
    assert_int_equal(tr_file_read(path, 10, &bytes, &err), TR_OK);
    tr_bytes_free(&bytes);
    assert_int_equal(tr_file_read(root, 100, &bytes, &err), TR_BAD_INPUT);
    assert_non_null(strstr(err.text, "a folder"));
    assert_int_equal(tr_file_read(in_root("none"), 100, &bytes, &err), TR_BAD_INPUT);
    assert_non_null(strstr(err.text, "none: cannot be opened"));
    assert_int_equal(tr_file_read("/dev/zero", 100000, &bytes, &err), TR_BAD_INPUT); /* no size, no end */
    assert_non_null(strstr(err.text, "at least 100001"));
}

static void a_streamed_file_has_the_hash_of_its_bytes(void **state)
{
    (void)state;
    struct tr_err err;
    struct tr_file_out out;
    struct tr_sha256 sum;
    const char *path = in_root("stream.bin");
    static char block[700001];
    int64_t total = 0;
    assert_int_equal(tr_sha256_start(&sum, &err), TR_OK);
    assert_int_equal(tr_file_out_open(&out, path, &err), TR_OK);
    const size_t sizes[] = {1, 0, 700001, 3, 262144, 262143, 1, 1, 300000, 5};
    for (int i = 0; i < 10; i++) { /* around the buffer's size */
        memset(block, 'a' + i, sizes[i]);
        assert_int_equal(tr_file_out_write(&out, block, sizes[i], &err), TR_OK);
        tr_sha256_update(&sum, block, sizes[i]);
        total += (int64_t)sizes[i];
    }
    assert_false(tr_file_exists(path)); /* not before commit */
    assert_int_equal(tr_file_out_commit(&out, &err), TR_OK);
    uint8_t expected[TR_SHA256_BYTES], read_back[TR_SHA256_BYTES];
    tr_sha256_finish(&sum, expected);
    assert_memory_equal(out.digest, expected, sizeof expected);
    assert_int_equal(out.bytes, total);
    struct tr_bytes bytes;
    assert_int_equal(tr_file_read(path, 10 << 20, &bytes, &err), TR_OK);
    assert_int_equal(tr_sha256_of(bytes.at, bytes.len, read_back, &err), TR_OK);
    assert_memory_equal(read_back, expected, sizeof expected);
    tr_bytes_free(&bytes);
}

static void an_aborted_write_leaves_the_old_file_and_no_tmp(void **state)
{
    (void)state;
    struct tr_err err;
    struct tr_file_out out = {0};
    tr_file_out_abort(&out); /* of a zeroed one: nothing */
    const char *path = in_root("kept.txt");
    assert_int_equal(tr_file_write(path, "old", 3, &err), TR_OK);
    assert_int_equal(tr_file_out_open(&out, path, &err), TR_OK);
    assert_int_equal(tr_file_out_write(&out, "newer", 5, &err), TR_OK);
    assert_true(tr_file_exists(in_root("kept.txt.tmp")));
    tr_file_out_abort(&out);
    tr_file_out_abort(&out);
    check_content(path, "old");
    assert_false(tr_file_exists(in_root("kept.txt.tmp")));
}

static void a_disk_that_fills_up_is_a_failure_that_keeps_the_old_file(void **state)
{
    (void)state;
    /* A file size limit acts as a full disk does: a short write first, then an error. In a child, since limits stay. */
    struct tr_err err;
    const char *path = in_root("full.bin");
    assert_int_equal(tr_file_write(path, "old", 3, &err), TR_OK);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGXFSZ, SIG_IGN);
        struct rlimit limit = {100000, 100000};
        static char block[400000];
        if (setrlimit(RLIMIT_FSIZE, &limit))
            _exit(10);
        if (tr_file_write(path, block, sizeof block, &err) != TR_FAILED)
            _exit(11);
        _exit(strstr(err.text, strerror(EFBIG)) && strstr(err.text, "full.bin") ? 0 : 12);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    check_content(path, "old");
    assert_false(tr_file_exists(in_root("full.bin.tmp")));
}

static void a_file_in_a_folder_that_is_not_there_is_a_failure(void **state)
{
    (void)state;
    struct tr_err err;
    assert_int_equal(tr_file_write(in_root("no/such/file"), "x", 1, &err), TR_FAILED);
    assert_int_equal(tr_file_write("", "x", 1, &err), TR_BAD_INPUT);
    char longer[TR_PATH_BYTES + 10];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    assert_int_equal(tr_file_write(longer, "x", 1, &err), TR_BAD_INPUT);
}

static void a_tmp_that_is_a_symbolic_link_is_not_followed(void **state)
{
    (void)state;
    struct tr_err err;
    assert_int_equal(tr_file_write(in_root("victim"), "safe", 4, &err), TR_OK);
    assert_int_equal(symlink(in_root("victim"), in_root("trap.tmp")), 0);
    assert_int_equal(tr_file_write(in_root("trap"), "evil", 4, &err), TR_FAILED);
    check_content(in_root("victim"), "safe");
}

/* As a shell's > does it: the link stays, what it leads to is new. */
static void a_link_to_a_file_is_followed(void **state)
{
    (void)state;
    struct tr_err err;
    struct stat is;
    assert_int_equal(tr_file_write(in_root("real"), "old", 3, &err), TR_OK);
    assert_int_equal(symlink("real", in_root("link")), 0);
    assert_int_equal(tr_file_write(in_root("link"), "new", 3, &err), TR_OK);
    assert_true(lstat(in_root("link"), &is) == 0 && S_ISLNK(is.st_mode));
    check_content(in_root("real"), "new");
    assert_int_equal(symlink("nowhere", in_root("loose")), 0);
    assert_int_equal(tr_file_write(in_root("loose"), "new", 3, &err), TR_OK);
    check_content(in_root("loose"), "new");
}

static void records_are_appended(void **state)
{
    (void)state;
    struct tr_err err;
    assert_int_equal(tr_file_append(in_root("log"), "one\n", 4, &err), TR_OK);
    assert_int_equal(tr_file_append(in_root("log"), "two\n", 4, &err), TR_OK);
    check_content(in_root("log"), "one\ntwo\n");
}

static void folders_are_made_listed_sorted_and_removed_as_a_tree(void **state)
{
    (void)state;
    struct tr_err err;
    assert_int_equal(tr_folder_make(in_root("x/y/z"), &err), TR_OK);
    assert_int_equal(tr_folder_make(in_root("x//y/"), &err), TR_OK);
    assert_int_equal(tr_file_write(in_root("x/b"), "", 0, &err), TR_OK);
    assert_int_equal(tr_file_write(in_root("x/B"), "", 0, &err), TR_OK);
    assert_int_equal(tr_file_write(in_root("x/.h"), "", 0, &err), TR_OK);
    assert_int_equal(tr_file_write(in_root("outside"), "safe", 4, &err), TR_OK);
    assert_int_equal(symlink(in_root("outside"), in_root("x/y/link")), 0);
    assert_int_equal(symlink(root, in_root("x/y/up")), 0);
    assert_int_equal(tr_folder_make(in_root("outside/y"), &err), TR_BAD_INPUT); /* a file is in the way */

    struct tr_arena arena;
    tr_arena_init(&arena, "test", 1 << 20);
    const char *const *names;
    int64_t count;
    assert_int_equal(tr_folder_list(in_root("x"), &arena, &names, &count, &err), TR_OK);
    assert_int_equal(count, 4);
    const char *const expected[] = {".h", "B", "b", "y"};
    for (int i = 0; i < 4; i++)
        assert_string_equal(names[i], expected[i]);
    assert_int_equal(tr_folder_list(in_root("x/y/z"), &arena, &names, &count, &err), TR_OK);
    assert_int_equal(count, 0);
    assert_int_equal(tr_folder_list(in_root("none"), &arena, &names, &count, &err), TR_BAD_INPUT);
    tr_arena_free(&arena);

    assert_int_equal(tr_folder_remove(in_root("x"), &err), TR_OK);
    assert_false(tr_file_exists(in_root("x")));
    check_content(in_root("outside"), "safe");
    assert_int_equal(tr_folder_remove(in_root("x"), &err), TR_OK); /* absent is fine */
}

static void dangerous_folders_are_never_removed(void **state)
{
    (void)state;
    struct tr_err err;
    const char *const bad[] = {"", "/", "//", ".", "./", "..", "a/..", "a/../", "/tmp/.."};
    for (int i = 0; i < 9; i++)
        assert_int_equal(tr_folder_remove(bad[i], &err), TR_BAD_INPUT);
    assert_int_equal(symlink(root, in_root("loop")), 0);
    assert_int_equal(tr_folder_remove(in_root("loop"), &err), TR_FAILED); /* a link is not a folder of ours */
    assert_true(tr_folder_exists(root));
}

static void a_second_process_is_refused_the_lock_and_told_who_holds_it(void **state)
{
    (void)state;
    struct tr_err err;
    struct tr_lock lock = {0};
    tr_lock_drop(&lock);
    const char *path = in_root("lock");
    assert_int_equal(tr_lock_take(&lock, path, &err), TR_OK);
    char expected[64];
    snprintf(expected, sizeof expected, "in use by another process, id %lld", (long long)getpid());
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct tr_lock other;
        if (tr_lock_take(&other, path, &err) != TR_BAD_INPUT)
            _exit(1);
        _exit(strstr(err.text, expected) ? 0 : 2);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    tr_lock_drop(&lock);
    assert_int_equal(tr_lock_take(&lock, path, &err), TR_OK);
    tr_lock_drop(&lock);
}

static void a_renamed_folder_takes_its_place(void **state)
{
    (void)state;
    struct tr_err err;
    assert_int_equal(tr_folder_make(in_root("step-5.tmp"), &err), TR_OK);
    assert_int_equal(tr_rename(in_root("step-5.tmp"), in_root("step-5"), &err), TR_OK);
    assert_true(tr_folder_exists(in_root("step-5")));
    assert_int_equal(tr_rename(in_root("step-5.tmp"), in_root("step-6"), &err), TR_FAILED);
}

static void a_link_is_replaced_as_a_whole_and_nothing_else_is(void **state)
{
    (void)state;
    struct tr_err err;
    char target[64];
    for (int i = 0; i < 2; i++) {
        const char *to = i ? "step-2" : "step-1";
        assert_int_equal(tr_link_set(in_root("best"), to, &err), TR_OK);
        ssize_t length = readlink(in_root("best"), target, sizeof target - 1);
        assert_int_equal(length, strlen(to));
        assert_memory_equal(target, to, strlen(to));
        assert_false(tr_file_exists(in_root("best.tmp")));
    }
    assert_int_equal(tr_folder_make(in_root("solid"), &err), TR_OK);
    assert_int_equal(tr_link_set(in_root("solid"), "step-1", &err), TR_BAD_INPUT);
    assert_true(tr_folder_exists(in_root("solid")));
}

static void paths_are_joined_with_one_slash(void **state)
{
    (void)state;
    struct tr_err err;
    char buf[TR_PATH_BYTES];
    assert_int_equal(tr_path_join(buf, "a", "b", &err), TR_OK);
    assert_string_equal(buf, "a/b");
    assert_int_equal(tr_path_join(buf, buf, "c", &err), TR_OK);
    assert_string_equal(buf, "a/b/c");
    assert_int_equal(tr_path_join(buf, "/", "b", &err), TR_OK);
    assert_string_equal(buf, "/b");
    char longer[TR_PATH_BYTES];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    assert_int_equal(tr_path_join(buf, longer, "b", &err), TR_BAD_INPUT);
}

static void dates_are_iso_and_utc(void **state)
{
    (void)state;
    char buf[TR_DATE_BYTES];
    assert_string_equal(tr_date(0, buf), "1970-01-01T00:00:00Z");
    assert_string_equal(tr_date(1795387382.9, buf), "2026-11-22T22:43:02Z");
    assert_string_equal(tr_date(-0.5, buf), "1969-12-31T23:59:59Z");
    assert_string_equal(tr_date(1e300, buf), "unknown");
    assert_true(tr_wall_s() > 1.7e9);
    double before = tr_clock_s();
    assert_true(tr_clock_s() >= before);
}

static void the_machine_has_cores_and_memory_and_we_use_some(void **state)
{
    (void)state;
    assert_true(tr_cores_usable() >= 1 && tr_cores_usable() <= sysconf(_SC_NPROCESSORS_ONLN));
    int64_t usable = tr_memory_usable_bytes();
    assert_true(usable > 64 << 20);
    int64_t before = tr_memory_peak_bytes();
    assert_true(before > 0);
    struct tr_slab slab;
    struct tr_err err;
    assert_int_equal(tr_slab_map(64 << 20, &slab, &err), TR_OK);
    tr_slab_touch(&slab);
    tr_slab_unmap(&slab);
    assert_true(tr_memory_peak_bytes() >= before + (16 << 20)); /* it stays; before may be that of an earlier test */
}

static void processes_share_the_cores_that_they_may_run_on(void **state)
{
    (void)state;
    int all;
    struct tr_core_set sets[4] = {{{0}}}, mine;
    for (int i = 0; i < 4; i++)
        sets[i].bit[0] = i < 2 ? 0xff : 0xff00; /* two sockets of eight cores, two processes on each */
    assert_int_equal(tr_cores_share(sets, 4, 0, INFINITY, &all), 4);
    assert_int_equal(tr_cores_share(sets, 4, 3, INFINITY, &all), 4);
    assert_int_equal(all, 16);
    assert_int_equal(tr_cores_share(sets, 4, 3, 8, &all), 2);
    sets[0].bit[0] = 1; /* one is bound to a core that another may use too */
    assert_int_equal(tr_cores_share(sets, 4, 0, INFINITY, &all), 1);
    assert_int_equal(tr_cores_share(sets, 4, 1, INFINITY, &all), 7);
    sets[0].bit[0] = 0; /* nothing is known */
    assert_int_equal(tr_cores_share(sets, 1, 0, INFINITY, &all), 1);
    assert_int_equal(all, 0);
    tr_cores_allowed(&mine);
    int share = tr_cores_share(&mine, 1, 0, tr_cores_quota(), &all);
    assert_true(share >= 1 && share <= tr_cores_usable() && all <= sysconf(_SC_NPROCESSORS_CONF));
}

/* *core: where to stay, then how many cores are left. */
static void *stay(void *core)
{
    struct tr_core_set set;
    int *count = core, kept = *count;
    tr_thread_pin(kept);
    tr_cores_allowed(&set);
    *count = 0;
    for (int i = 0; i < TR_CORES_MAX; i++)
        *count += tr_core_in(&set, i) ? i == kept ? 1 : TR_CORES_MAX : 0;
    return NULL;
}

static void a_thread_stays_where_it_was_pinned_and_the_others_do_not(void **state)
{
    (void)state;
    struct tr_core_set before, after;
    pthread_t thread;
    int core = TR_CORES_MAX - 1;
    tr_cores_allowed(&before);
    while (core > 0 && !tr_core_in(&before, core))
        core--;
    assert_int_equal(tr_thread_start(&thread, stay, &core), 0);
    pthread_join(thread, NULL);
    assert_int_equal(core, 1);
    tr_cores_allowed(&after);
    assert_memory_equal(&before, &after, sizeof before);
}

static void a_disk_has_so_much_left_or_nobody_knows(void **state)
{
    (void)state;
    assert_true(tr_disk_free_bytes(".") > 0 && tr_disk_free_bytes(".") < INT64_MAX);
    assert_true(tr_disk_free_bytes("no such folder") == INT64_MAX);
}

static void sha256_gives_the_published_digests(void **state)
{
    (void)state;
    /* FIPS 180-2, appendix B, and the empty message. */
    struct tr_err err;
    uint8_t digest[TR_SHA256_BYTES];
    char hex[TR_SHA256_HEX_BYTES];
    assert_int_equal(tr_sha256_of("abc", 3, digest, &err), TR_OK);
    assert_string_equal(tr_sha256_hex(digest, hex), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_int_equal(tr_sha256_of("", 0, digest, &err), TR_OK);
    assert_string_equal(tr_sha256_hex(digest, hex), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    struct tr_sha256 sum = {0};
    tr_sha256_drop(&sum);
    assert_int_equal(tr_sha256_start(&sum, &err), TR_OK);
    for (int i = 0; i < 1000000; i++)
        tr_sha256_update(&sum, "a", 1);
    tr_sha256_finish(&sum, digest);
    assert_string_equal(tr_sha256_hex(digest, hex), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_written_file_reads_back_and_leaves_no_tmp),
        cmocka_unit_test(a_file_over_the_limit_a_folder_and_a_missing_file_are_refused_with_their_path),
        cmocka_unit_test(a_streamed_file_has_the_hash_of_its_bytes),
        cmocka_unit_test(an_aborted_write_leaves_the_old_file_and_no_tmp),
        cmocka_unit_test(a_disk_that_fills_up_is_a_failure_that_keeps_the_old_file),
        cmocka_unit_test(a_file_in_a_folder_that_is_not_there_is_a_failure),
        cmocka_unit_test(a_tmp_that_is_a_symbolic_link_is_not_followed),
        cmocka_unit_test(a_link_to_a_file_is_followed),
        cmocka_unit_test(records_are_appended),
        cmocka_unit_test(folders_are_made_listed_sorted_and_removed_as_a_tree),
        cmocka_unit_test(dangerous_folders_are_never_removed),
        cmocka_unit_test(a_second_process_is_refused_the_lock_and_told_who_holds_it),
        cmocka_unit_test(a_renamed_folder_takes_its_place),
        cmocka_unit_test(a_link_is_replaced_as_a_whole_and_nothing_else_is),
        cmocka_unit_test(paths_are_joined_with_one_slash),
        cmocka_unit_test(dates_are_iso_and_utc),
        cmocka_unit_test(the_machine_has_cores_and_memory_and_we_use_some),
        cmocka_unit_test(processes_share_the_cores_that_they_may_run_on),
        cmocka_unit_test(a_thread_stays_where_it_was_pinned_and_the_others_do_not),
        cmocka_unit_test(a_disk_has_so_much_left_or_nobody_knows),
        cmocka_unit_test(sha256_gives_the_published_digests),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
