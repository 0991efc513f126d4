/* base/memory, base/cgroup: what is free, and how many cores, as Linux says it. */
#include "base/memory.h"

#include "base/cgroup.h"
#include "base/os.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define MIB ((int64_t)1 << 20)
#define GIB ((int64_t)1 << 30)

static char root[] = "/tmp/trine-test-memory-XXXXXX"; /* one machine */

static int setup(void **state)
{
    (void)state;
    return mkdtemp(root) ? 0 : -1;
}

static int teardown(void **state)
{
    struct tr_err err;
    (void)state;
    return tr_folder_remove(root, &err) == TR_OK ? 0 : -1;
}

/* With the folders that it lies in. */
static void put_file(const char *name, const char *text)
{
    char path[TR_PATH_BYTES];
    snprintf(path, sizeof path, "%s%s", root, name);
    for (char *slash = path + sizeof root; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = 0;
        assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
    }
    FILE *file = fopen(path, "w");
    assert_true(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

/* Another machine, without the groups of the last one. */
static void begin(const char *meminfo, const char *cgroup)
{
    char path[TR_PATH_BYTES];
    struct tr_err err;
    snprintf(path, sizeof path, "%s/sys", root);
    assert_true(!tr_folder_exists(path) || tr_folder_remove(path, &err) == TR_OK);
    put_file("/proc/self/cgroup", cgroup);
    put_file("/proc/meminfo", meminfo);
}

static void put(const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "/sys/fs/cgroup/%s", name);
    put_file(path, text);
}

static struct tr_memory look(void)
{
    struct tr_memory memory;
    tr_memory_read(root, &memory);
    return memory;
}

static const char info[] = "MemTotal:       24684092 kB\nMemFree:        11642152 kB\nMemAvailable:   20971520 kB\nBuffers:           99324 kB\n";

static void what_the_kernel_would_drop_is_free_and_what_others_have_is_not(void **state)
{
    (void)state;
    begin(info, "0::/\n");
    struct tr_memory m = look();
    assert_true(m.free_bytes == 20 * GIB && m.total_bytes == 24684092 * (int64_t)1024 && m.usable_bytes == m.total_bytes && !m.of_group);
}

static void a_group_of_version_2_leaves_what_is_left_of_its_limit(void **state)
{
    (void)state;
    begin(info, "0::/user/job\n");
    put("user/job/memory.max", "4294967296\n");
    put("user/job/memory.current", "3221225472\n");
    put("user/job/memory.stat", "anon 1\nfile 3\nlazy_inactive_file 5\ninactive_file 1073741824\nactive_file 2\n");
    struct tr_memory m = look();
    assert_true(m.of_group && m.free_bytes == 2 * GIB && m.total_bytes == 4 * GIB && m.usable_bytes == 4 * GIB);
    put("user/memory.max", "max\n"); /* which limits nothing */
    put("memory.max", "3221225472\n"); /* of all: there is no memory.current at the top */
    m = look();
    assert_true(m.free_bytes == 2 * GIB && m.total_bytes == 4 * GIB && m.usable_bytes == 3 * GIB);
    put("user/memory.max", "3758096384\n");
    put("user/memory.current", "3221225472\n");
    m = look();
    assert_true(m.free_bytes == 512 * MIB && m.total_bytes == 3584 * MIB);
}

static void beyond_memory_high_nothing_is_free(void **state)
{
    (void)state;
    begin(info, "0::/job\n");
    put("job/memory.max", "max\n");
    put("job/memory.high", "4294967296\n");
    put("job/memory.current", "1073741824\n");
    struct tr_memory m = look();
    assert_true(m.of_group && m.free_bytes == 3 * GIB && m.usable_bytes == 4 * GIB);
    put("job/memory.max", "2147483648\n");
    m = look();
    assert_true(m.free_bytes == GIB && m.usable_bytes == 2 * GIB);
    put("job/memory.high", "max\n");
    m = look();
    assert_true(m.free_bytes == GIB && m.usable_bytes == 2 * GIB);
    put("job/memory.high", "1073741824\n");
    m = look();
    assert_true(m.of_group && m.free_bytes == 0 && m.usable_bytes == GIB);
}

static void a_group_of_version_1_does_too(void **state)
{
    (void)state;
    begin(info, "9:name=systemd:/\n4:cpu,memory:/docker/1\n3:memory2:/other\n0::/\n");
    put("memory/memory.limit_in_bytes", "9223372036854771712\n"); /* so it says that there is none */
    put("memory/docker/1/memory.limit_in_bytes", "2147483648\n");
    put("memory/docker/1/memory.usage_in_bytes", "2147483648\n");
    put("memory/docker/1/memory.stat", "cache 7\ninactive_file 7\ntotal_inactive_file 1048576\n");
    put("memory/other/memory.limit_in_bytes", "1\n");
    struct tr_memory m = look();
    assert_true(m.of_group && m.free_bytes == MIB && m.total_bytes == 2 * GIB);
    begin(info, "4:memory:/docker/2\n"); /* in the container its own group is the top */
    put("memory/memory.limit_in_bytes", "1073741824\n");
    put("memory/memory.usage_in_bytes", "73741824\n");
    m = look();
    assert_true(m.of_group && m.free_bytes == 1000000000 && m.usable_bytes == GIB);
}

static void the_words_name_what_limits(void **state)
{
    (void)state;
    char words[TR_MEMORY_WORDS_BYTES];
    assert_string_equal(tr_memory_words(&(struct tr_memory){.free_bytes = 21 * GIB, .total_bytes = 23 * GIB}, words),
                        "21 GiB of the machine's 23 GiB are free");
    assert_string_equal(tr_memory_words(&(struct tr_memory){.free_bytes = 0, .total_bytes = GIB, .of_group = true}, words),
                        "0 B of the control group's 1 GiB are free");
}

static void what_is_not_there_or_no_number_limits_nothing(void **state)
{
    (void)state;
    static const char *const groups[] = {"", "0", "0:", "0::", "0::job\n", ":memory:/x\n", "\n\n0::/../..\n", "4:memory:", "0::/x"};
    static const char *const texts[] = {"", "MemTotal:", "MemTotal: much kB\nMemAvailable: more", "MemAvailable: 99999999999999999999999999 kB", "MemAvailable:\n"};
    struct tr_memory here;
    tr_memory_read("", &here);
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        for (size_t j = 0; j < sizeof texts / sizeof *texts; j++) {
            begin(texts[j], groups[i]);
            put("x/memory.max", "-1\n");
            put("x/memory.current", "soon\n");
            struct tr_memory m = look();
            assert_true(!m.of_group && m.free_bytes == m.total_bytes && m.free_bytes > 0);
        }
    assert_true(here.free_bytes > 0 && here.free_bytes <= here.total_bytes && here.usable_bytes == tr_memory_usable_bytes());
}

static void the_lowest_quota_of_cores_counts_in_either_version(void **state)
{
    (void)state;
    begin(info, "0::/user/job\n");
    assert_true(isinf(tr_cgroup_cores(root)));
    put("user/job/cpu.max", "max 100000\n");
    assert_true(isinf(tr_cgroup_cores(root)));
    put("user/cpu.max", "250000 100000\n");
    assert_true(tr_cgroup_cores(root) == 2.5);
    put("user/job/cpu.max", "150000 100000\n");
    put("cpu.max", "0 0\n");
    assert_true(tr_cgroup_cores(root) == 1.5);
    begin(info, "5:cpuset:/x\n4:cpu,cpuacct:/docker/1\n0::/\n");
    put("cpu/cpu.cfs_quota_us", "-1\n"); /* so it says that there is none */
    put("cpu/cpu.cfs_period_us", "100000\n");
    assert_true(isinf(tr_cgroup_cores(root)));
    put("cpu/docker/1/cpu.cfs_quota_us", "300000\n");
    assert_true(isinf(tr_cgroup_cores(root)));
    put("cpu/docker/1/cpu.cfs_period_us", "100000\n");
    put("cpuset/x/cpu.cfs_quota_us", "1\n");
    assert_true(tr_cgroup_cores(root) == 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_kernel_would_drop_is_free_and_what_others_have_is_not),
        cmocka_unit_test(a_group_of_version_2_leaves_what_is_left_of_its_limit),
        cmocka_unit_test(beyond_memory_high_nothing_is_free),
        cmocka_unit_test(a_group_of_version_1_does_too),
        cmocka_unit_test(the_words_name_what_limits),
        cmocka_unit_test(what_is_not_there_or_no_number_limits_nothing),
        cmocka_unit_test(the_lowest_quota_of_cores_counts_in_either_version),
    };
    return cmocka_run_group_tests_name("base/memory", tests, setup, teardown);
}
