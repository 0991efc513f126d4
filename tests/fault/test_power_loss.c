/* Power fails at any moment of a run: what was not synced is cut off, or reads as zeros; names are on the disk before the
 * bytes that they stand for, or later than what came after them. From each such disk a run goes on to the same hash, and a
 * checkpoint that was reported as saved is there. */
#include "lab/train/train.h"
#include "lib/faults.h"
#include "lib/scratch.h"
#include "lib/tiny_run.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

enum { FILES_MAX = 256, IMAGES_MAX = 4096, RUN_PATH_BYTES = 512, COMMAND_BYTES = 4 * TR_PATH_BYTES };

/* How a disk looks after the failure. */
enum image {
    IMAGE_CUT,   /* all names are there, unsynced bytes are not */
    IMAGE_ZEROS, /* all names are there, unsynced bytes read as zeros */
    IMAGE_LATE,  /* names as of the last sync of the run folder, but what was removed since is gone */
    IMAGE_COUNT
};

struct unsynced {
    ino_t inode;
    off_t good; /* bytes that were on the disk */
};

static struct disk {
    bool on;
    char run[RUN_PATH_BYTES], synced_names[RUN_PATH_BYTES];
    struct unsynced file[FILES_MAX];
    int file_count;
    int64_t renamed, durable; /* steps: of the last checkpoint that got its name, and whose name is synced */
    int call, stride, image_count;
    int64_t least[IMAGES_MAX]; /* by image: the step that must be there */
} disk;

/* ---- images ------------------------------------------------------------------------------------------------------ */

static const char *image_to; /* for the walk, which has no context */
static enum image image_kind;

static int spoil(const char *path, const struct stat *info, int type)
{
    char copy[2 * TR_PATH_BYTES];
    for (int i = 0; type == FTW_F && i < disk.file_count; i++) {
        if (disk.file[i].inode != info->st_ino)
            continue;
        snprintf(copy, sizeof copy, "%s%s", image_to, path + strlen(disk.run));
        TR_ASSERT(truncate(copy, disk.file[i].good) == 0);
        if (image_kind == IMAGE_ZEROS)
            TR_ASSERT(truncate(copy, info->st_size) == 0);
    }
    return 0;
}

/* The run folder as the disk has it, without what was not synced. */
static void make_image(const char *to, enum image kind)
{
    char command[COMMAND_BYTES];
    int len = snprintf(command, sizeof command, "rm -rf '%s' && cp -r '%s' '%s'", to, disk.run, to);
    TR_ASSERT(len < (int)sizeof command);
    TR_ASSERT(system(command) == 0);
    image_to = to;
    image_kind = kind;
    TR_ASSERT(ftw(disk.run, spoil, 16) == 0);
}

/* Names as they were synced last, less those of whole checkpoints that are gone by now. */
static void make_late_image(const char *to)
{
    char command[COMMAND_BYTES];
    int len = snprintf(command, sizeof command,
                       "rm -rf '%s' && cp -r '%s' '%s' && cd '%s' && for x in step-*; do [ -e '%s'/$x ] || rm -rf $x; done",
                       to, disk.synced_names, to, to, disk.run);
    TR_ASSERT(len < (int)sizeof command);
    TR_ASSERT(system(command) == 0);
}

static void image_path(int number, char path[TR_PATH_BYTES])
{
    snprintf(path, TR_PATH_BYTES, "%s-image-%d", disk.run, number);
}

/* Before each call that changes the disk: the power fails here. */
static void fail_power(void)
{
    char path[TR_PATH_BYTES];
    if (!disk.on || !tr_folder_exists(disk.run) || disk.call++ % disk.stride)
        return;
    disk.on = false;
    for (int kind = 0; kind < IMAGE_COUNT && disk.image_count < IMAGES_MAX; kind++) {
        if (kind == IMAGE_LATE && !tr_folder_exists(disk.synced_names))
            continue;
        disk.least[disk.image_count] = disk.durable;
        image_path(disk.image_count++, path);
        if (kind == IMAGE_LATE)
            make_late_image(path);
        else
            make_image(path, (enum image)kind);
    }
    disk.on = true;
}

/* ---- the calls, in front of libc's ------------------------------------------------------------------------------- */

static void note_write(int fd)
{
    struct stat info;
    if (!disk.on || fstat(fd, &info) != 0 || !S_ISREG(info.st_mode))
        return;
    for (int i = 0; i < disk.file_count; i++)
        if (disk.file[i].inode == info.st_ino)
            return;
    TR_ASSERT(disk.file_count < FILES_MAX);
    disk.file[disk.file_count++] = (struct unsynced){info.st_ino, info.st_size};
}

static void note_file_sync(ino_t inode)
{
    for (int i = 0; i < disk.file_count; i++)
        if (disk.file[i].inode == inode)
            disk.file[i] = disk.file[--disk.file_count];
}

static void note_sync(int fd)
{
    struct stat info, run;
    if (!disk.on || fstat(fd, &info) != 0)
        return;
    note_file_sync(info.st_ino);
    if (stat(disk.run, &run) == 0 && run.st_ino == info.st_ino) {
        disk.durable = disk.renamed;
        disk.on = false;
        make_image(disk.synced_names, IMAGE_CUT);
        disk.on = true;
    }
}

ssize_t write(int fd, const void *data, size_t bytes);
ssize_t write(int fd, const void *data, size_t bytes)
{
    if (fd > 2)
        fail_power(), note_write(fd);
    return syscall(SYS_write, fd, data, bytes);
}

int fsync(int fd);
int fsync(int fd)
{
    fail_power();
    int result = (int)syscall(SYS_fsync, fd);
    note_sync(fd);
    return result;
}

int rename(const char *from, const char *to);
int rename(const char *from, const char *to)
{
    fail_power();
    const char *step = strstr(to, "/step-");
    if (disk.on && step && !strchr(step + 1, '/') && !strchr(step, '.'))
        disk.renamed = strtoll(step + strlen("/step-"), NULL, 10);
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlinkat(int folder, const char *path, int flags);
int unlinkat(int folder, const char *path, int flags)
{
    struct stat info;
    fail_power();
    if (disk.on && fstatat(folder, path, &info, AT_SYMLINK_NOFOLLOW) == 0)
        note_file_sync(info.st_ino); /* the number may be another file's soon */
    return (int)syscall(SYS_unlinkat, folder, path, flags);
}

/* ---- the test ---------------------------------------------------------------------------------------------------- */

static struct tr_run_config config_of(const char *out)
{
    return tr_tiny_config(out, "train.steps=6", "checkpoint.every=2", "checkpoint.keep_last=1", "eval.every=2",
                          "eval.windows=1", "sample.tokens=3", "sample.every=2", NULL);
}

/* The step of the newest checkpoint of an image; -1: none. */
static int64_t newest(const char *path)
{
    char found[TR_PATH_BYTES];
    struct tr_text bad = {0};
    struct tr_err err = {{0}};
    enum tr_status status = tr_checkpoint_find_latest(path, found, &bad, &err);
    tr_text_free(&bad);
    if (status != TR_OK && status != TR_NO)
        fail_msg("%s", err.text);
    return status == TR_OK ? strtoll(strrchr(found, '-') + 1, NULL, 10) : -1;
}

static void power_that_fails_at_any_moment_loses_nothing_that_was_saved(void **unused)
{
    (void)unused;
    char path[TR_PATH_BYTES];
    struct tr_err err = {{0}};
    struct tr_run_config calm = config_of("calm"), config;
    struct tr_tiny_hash expected = tr_tiny_train(&calm), got;
    config = config_of("run");
    memset(&disk, 0, sizeof disk);
    assert_true(strlen(tr_scratch("synced")) < RUN_PATH_BYTES);
    strcpy(disk.run, tr_scratch("run"));
    strcpy(disk.synced_names, tr_scratch("synced"));
    disk.renamed = disk.durable = -1;
    disk.stride = fault_tries(9, 1);
    disk.on = true;
    got = tr_tiny_train(&config);
    disk.on = false;
    assert_string_equal(got.hex, expected.hex);
    assert_int_equal(disk.durable, 6);
    for (int i = 0; i < disk.image_count; i++) {
        image_path(i, path);
        int64_t step = newest(path);
        if (step < disk.least[i])
            fail_msg("%s: the checkpoint of step %lld was saved, the newest is of %lld", path, (long long)disk.least[i],
                     (long long)step);
        strcpy(config.out, path);
        got = tr_tiny_train(&config);
        assert_string_equal(got.hex, expected.hex);
        assert_int_equal(tr_folder_remove(path, &err), TR_OK);
    }
    assert_true(disk.image_count > 20);
    fault_row("5", "power loss before any change of the disk by a run",
              "a shim that knows what was synced: the rest is cut off, or reads as zeros; names early or late",
              disk.image_count, disk.image_count, "nothing; `resumed from RUN/step-N` when it is started again");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(power_that_fails_at_any_moment_loses_nothing_that_was_saved),
    };
    return cmocka_run_group_tests_name("fault/power_loss", tests, tr_scratch_setup, tr_scratch_teardown);
}
