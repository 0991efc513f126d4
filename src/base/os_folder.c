/* Folders, paths and locks. */
#include "base/os.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

bool tr_folder_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

enum tr_status tr_path_join(char buf[TR_PATH_BYTES], const char *a, const char *b, struct tr_err *err)
{
    size_t len = strlen(a);
    const char *slash = len > 0 && a[len - 1] != '/' ? "/" : "";
    char joined[TR_PATH_BYTES]; /* a or b may lie in buf */
    int wanted = snprintf(joined, sizeof joined, "%s%s%s", a, slash, b);
    if (wanted < 0 || wanted >= TR_PATH_BYTES)
        return tr_fail(err, TR_BAD_INPUT, "%.200s...: a path of more than %d bytes", a, TR_PATH_BYTES - 1);
    memcpy(buf, joined, (size_t)wanted + 1);
    return TR_OK;
}

int64_t tr_disk_free_bytes(const char *folder)
{
    struct statvfs disk;
    if (statvfs(folder, &disk) != 0 || disk.f_frsize == 0)
        return INT64_MAX;
    unsigned long long most = INT64_MAX / disk.f_frsize;
    return (int64_t)((disk.f_bavail < most ? disk.f_bavail : most) * disk.f_frsize);
}

static int make_one(const char *path)
{
    if (mkdir(path, 0777) == 0)
        return 0;
    int reason = errno;
    return tr_folder_exists(path) ? 0 : reason;
}

enum tr_status tr_folder_make(const char *path, struct tr_err *err)
{
    char part[TR_PATH_BYTES];
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof part)
        return tr_fail(err, TR_BAD_INPUT, "%.200s: not a folder's path (empty, or longer than %d bytes)", path,
                       TR_PATH_BYTES - 1);
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != 0)
            continue;
        memcpy(part, path, i);
        part[i] = 0;
        int reason = make_one(part);
        if (reason)
            return tr_fail(err, reason == ENOTDIR || reason == EEXIST ? TR_BAD_INPUT : TR_FAILED,
                           "%s: the folder cannot be made: %s", part, strerror(reason));
    }
    return TR_OK;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* openat(2), made again when a signal interrupts it. */
static int open_again(int folder, const char *path, int flags)
{
    int fd;
    do
        fd = openat(folder, path, flags, 0666);
    while (fd < 0 && errno == EINTR);
    return fd;
}

enum tr_status tr_folder_list(const char *path, struct tr_arena *arena, const char *const **names, int64_t *count,
                              struct tr_err *err)
{
    int fd = open_again(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (!folder) {
        int reason = errno;
        if (fd >= 0)
            close(fd);
        return tr_fail(err, tr_open_status(reason), "%s: the folder cannot be opened: %s", path, strerror(reason));
    }
    enum tr_status status = TR_OK;
    const char **list = NULL;
    int64_t used = 0, cap = 0;
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(folder);
        if (!entry && errno)
            status = tr_fail(err, TR_FAILED, "%s: the folder cannot be read: %s", path, strerror(errno));
        if (!entry)
            break;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (used == TR_FOLDER_MAX_ENTRIES) {
            status = tr_fail(err, TR_BAD_INPUT, "%s: more than %d entries", path, TR_FOLDER_MAX_ENTRIES);
            break;
        }
        if (used == cap) {
            cap = cap ? 2 * cap : 64;
            const char **grown = realloc(list, (size_t)cap * sizeof *list);
            if (!grown) {
                status = tr_fail(err, TR_FAILED, "%s: out of memory for its list", path);
                break;
            }
            list = grown;
        }
        list[used] = tr_arena_strdup(arena, entry->d_name, err);
        if (!list[used]) {
            status = TR_FAILED;
            break;
        }
        used++;
    }
    closedir(folder);
    const char **kept = status ? NULL : tr_arena_array(arena, used, sizeof *kept, err);
    if (!status && !kept)
        status = TR_FAILED;
    if (!status) {
        if (used)
            memcpy(kept, list, (size_t)used * sizeof *kept);
        qsort(kept, (size_t)used, sizeof *kept, compare_names);
        *names = kept;
        *count = used;
    }
    free(list);
    return status;
}

enum { REMOVE_MAX_DEPTH = 64 };

/* Works by descriptors, never by paths: what is exchanged for a symbolic link meanwhile is not followed. Takes over
 * `fd`. 0, or the reason. */
static int remove_inside(int fd, dev_t device, int depth)
{
    if (depth > REMOVE_MAX_DEPTH) {
        close(fd);
        return ELOOP;
    }
    DIR *folder = fdopendir(fd);
    if (!folder) {
        int reason = errno;
        close(fd);
        return reason;
    }
    int reason = 0;
    while (!reason) {
        errno = 0;
        struct dirent *entry = readdir(folder);
        if (!entry) {
            reason = errno;
            break;
        }
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
            continue;
        struct stat info;
        if (fstatat(fd, name, &info, AT_SYMLINK_NOFOLLOW)) {
            reason = errno;
        } else if (!S_ISDIR(info.st_mode)) {
            reason = unlinkat(fd, name, 0) ? errno : 0;
        } else if (info.st_dev != device) {
            reason = EXDEV;
        } else {
            int below = open_again(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            reason = below < 0 ? errno : remove_inside(below, device, depth + 1);
            if (!reason)
                reason = unlinkat(fd, name, AT_REMOVEDIR) ? errno : 0;
        }
    }
    closedir(folder);
    return reason;
}

enum tr_status tr_folder_remove(const char *path, struct tr_err *err)
{
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/')
        len--;
    const char *last = path + len;
    while (last > path && last[-1] != '/')
        last--;
    size_t last_len = (size_t)(path + len - last);
    bool dots = (last_len == 1 && last[0] == '.') || (last_len == 2 && last[0] == '.' && last[1] == '.');
    if (last_len == 0 || dots)
        return tr_fail(err, TR_BAD_INPUT, "\"%s\": refusing to remove this folder", path);
    int fd = open_again(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat info;
    int reason = fd < 0 || fstat(fd, &info) ? errno : 0;
    if (fd < 0 && lstat(path, &info) && (errno == ENOENT || errno == ENOTDIR))
        return TR_OK;
    if (fd >= 0 && reason)
        close(fd);
    if (!reason)
        reason = remove_inside(fd, info.st_dev, 1);
    if (!reason && rmdir(path))
        reason = errno;
    if (reason)
        return tr_fail(err, TR_FAILED, "%s: cannot be removed: %s", path, strerror(reason));
    return TR_OK;
}

/* --- locks --- */

enum tr_status tr_lock_take(struct tr_lock *lock, const char *path, struct tr_err *err)
{
    int fd = open_again(AT_FDCWD, path, O_RDWR | O_CREAT | O_CLOEXEC);
    if (fd < 0)
        return tr_fail(err, TR_FAILED, "%s: the lock file cannot be opened: %s", path, strerror(errno));
    int taken;
    do
        taken = flock(fd, LOCK_EX | LOCK_NB);
    while (taken && errno == EINTR);
    if (taken) {
        int reason = errno;
        char holder[32] = "";
        ssize_t got = pread(fd, holder, sizeof holder - 1, 0);
        close(fd);
        if (reason != EWOULDBLOCK)
            return tr_fail(err, TR_FAILED, "%s: cannot be locked: %s", path, strerror(reason));
        holder[got > 0 ? got : 0] = 0;
        holder[strspn(holder, "0123456789")] = 0;
        return tr_fail(err, TR_BAD_INPUT, "%s: in use by another process%s%s", path, holder[0] ? ", id " : "", holder);
    }
    /* The number is for people; the lock itself is the kernel's. A full disk does not keep us from working. */
    char id[32];
    int len = snprintf(id, sizeof id, "%lld\n", (long long)getpid());
    if (ftruncate(fd, 0) || pwrite(fd, id, (size_t)len, 0) != len)
        len = 0;
    *lock = (struct tr_lock){.fd = fd, .held = true};
    return TR_OK;
}

void tr_lock_drop(struct tr_lock *lock)
{
    if (lock->held)
        close(lock->fd);
    *lock = (struct tr_lock){0};
}
