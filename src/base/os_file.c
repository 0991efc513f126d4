/* Files: read whole, written whole or not at all. */
#include "base/os.h"

#include "base/num.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- reading --- */

/* A missing or forbidden file is the user's business; a full table of descriptors is the machine's. */
enum tr_status tr_open_status(int reason)
{
    return reason == EMFILE || reason == ENFILE || reason == ENOMEM ? TR_FAILED : TR_BAD_INPUT;
}

enum tr_status tr_open_read(const char *path, int *fd, struct tr_err *err)
{
    int opened;
    do
        opened = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    while (opened < 0 && errno == EINTR);
    if (opened < 0)
        return tr_fail(err, tr_open_status(errno), "%s: cannot be opened: %s", path, strerror(errno));
    *fd = opened;
    return TR_OK;
}

static enum tr_status open_to_read(const char *path, int *fd, struct stat *info, struct tr_err *err)
{
    int opened;
    enum tr_status status = tr_open_read(path, &opened, err);
    if (status != TR_OK)
        return status;
    if (fstat(opened, info)) {
        int reason = errno;
        close(opened);
        return tr_fail(err, TR_FAILED, "%s: %s", path, strerror(reason));
    }
    if (S_ISDIR(info->st_mode)) {
        close(opened);
        return tr_fail(err, TR_BAD_INPUT, "%s: a folder, expected a file", path);
    }
    *fd = opened;
    return TR_OK;
}

static enum tr_status too_big(const char *path, int64_t bytes, int64_t max_bytes, struct tr_err *err)
{
    return tr_fail(err, TR_BAD_INPUT, "%s: %s%lld bytes, more than the limit of %lld", path,
                   bytes > max_bytes + 1 ? "" : "at least ", (long long)bytes, (long long)max_bytes);
}

enum tr_status tr_file_read(const char *path, int64_t max_bytes, struct tr_bytes *out, struct tr_err *err)
{
    TR_ASSERT(max_bytes >= 0 && max_bytes < INT64_MAX - 2);
    int fd = -1;
    struct stat info;
    enum tr_status status = open_to_read(path, &fd, &info, err);
    if (status)
        return status;
    char *at = NULL;
    int64_t len = 0, cap = 64 * 1024;
    if (S_ISREG(info.st_mode)) {
        if (info.st_size > max_bytes) {
            status = too_big(path, info.st_size, max_bytes, err);
            goto close_file;
        }
        cap = tr_max_i64(info.st_size + 2, 64); /* one byte more, so that the end is seen without growing */
    }
    /* A pipe has no size and a file may grow while we read: the loop believes only what read() says. */
    for (;;) {
        if (!at || len + 1 >= cap) {
            cap = at ? 2 * cap : cap;
            char *grown = realloc(at, (size_t)cap);
            if (!grown) {
                status = tr_fail(err, TR_FAILED, "%s: out of memory for %lld bytes", path, (long long)cap);
                goto close_file;
            }
            at = grown;
        }
        ssize_t got = read(fd, at + len, (size_t)(cap - 1 - len));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            status = tr_fail(err, TR_FAILED, "%s: cannot be read: %s", path, strerror(errno));
            goto close_file;
        }
        if (got == 0)
            break;
        len += got;
        if (len > max_bytes) {
            status = too_big(path, max_bytes + 1, max_bytes, err);
            goto close_file;
        }
    }
    at[len] = 0;
    *out = (struct tr_bytes){at, (size_t)len};
    at = NULL;
close_file:
    free(at);
    close(fd);
    return status;
}

void tr_bytes_free(struct tr_bytes *bytes)
{
    free(bytes->at);
    *bytes = (struct tr_bytes){0};
}

bool tr_file_exists(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0;
}

enum tr_status tr_file_bytes(const char *path, int64_t *bytes, struct tr_err *err)
{
    struct stat info;
    if (stat(path, &info))
        return tr_fail(err, TR_BAD_INPUT, "%s: %s", path, strerror(errno));
    if (!S_ISREG(info.st_mode))
        return tr_fail(err, TR_BAD_INPUT, "%s: not a regular file", path);
    *bytes = info.st_size;
    return TR_OK;
}

enum tr_status tr_file_read_at(const char *path, int64_t offset, void *to, int64_t bytes, int64_t *got, struct tr_err *err)
{
    int fd;
    struct stat info;
    enum tr_status status = open_to_read(path, &fd, &info, err);
    if (status != TR_OK)
        return status;
    int64_t done = 0;
    while (done < bytes) {
        ssize_t n = pread(fd, (char *)to + done, (size_t)tr_min_i64(bytes - done, 1 << 30), offset + done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            status = tr_fail(err, TR_FAILED, "%s: cannot be read: %s", path, strerror(errno));
        if (n <= 0)
            break;
        done += n;
    }
    close(fd);
    *got = done;
    return status;
}

/* --- writing --- */

enum { BUFFER_BYTES = 256 * 1024 };

static const char TMP[] = ".tmp";

static enum tr_status tmp_path(const char *path, char tmp[TR_PATH_BYTES], struct tr_err *err)
{
    if (strlen(path) + sizeof TMP > TR_PATH_BYTES || !path[0])
        return tr_fail(err, TR_BAD_INPUT, "%.200s: not a path to write to (empty, or longer than %d bytes)", path,
                       (int)(TR_PATH_BYTES - sizeof TMP));
    strcpy(tmp, path);
    strcat(tmp, TMP);
    return TR_OK;
}

/* All of it, whatever the kernel takes at a time. 0, or the reason. */
static int write_all(int fd, const char *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t wrote = write(fd, data, bytes < (1u << 30) ? bytes : 1u << 30);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return errno;
        if (wrote == 0)
            return EIO; /* no progress and no reason */
        data += wrote;
        bytes -= (size_t)wrote;
    }
    return 0;
}

static int sync_file(int fd)
{
    int result;
    do
        result = fsync(fd);
    while (result && errno == EINTR);
    return result ? errno : 0;
}

/* What is renamed onto a device or a pipe takes its place: nobody could write to /dev/null any more. */
static enum tr_status check_place(const char *path, struct tr_err *err)
{
    struct stat is;
    if (stat(path, &is) != 0 || S_ISREG(is.st_mode) || S_ISDIR(is.st_mode))
        return TR_OK;
    return tr_fail(err, TR_BAD_INPUT, "%s: is a device or a pipe, and a file is to be written there", path);
}

/* A link to a file stays one: what it leads to is replaced. One that leads nowhere is replaced itself. */
static void follow_link(const char *path, char to[TR_PATH_BYTES])
{
    struct stat is;
    char *end = lstat(path, &is) == 0 && S_ISLNK(is.st_mode) ? realpath(path, NULL) : NULL;
    snprintf(to, TR_PATH_BYTES, "%s", end && strlen(end) < TR_PATH_BYTES ? end : path);
    free(end);
}

enum tr_status tr_file_out_open(struct tr_file_out *out, const char *path, struct tr_err *err)
{
    *out = (struct tr_file_out){.fd = -1};
    char tmp[TR_PATH_BYTES];
    enum tr_status status = check_place(path, err);
    if (status == TR_OK)
        status = tmp_path(path, tmp, err);
    if (status)
        return status;
    follow_link(path, out->path);
    status = tmp_path(out->path, tmp, err);
    if (status)
        return status;
    out->buffer = malloc(BUFFER_BYTES);
    if (!out->buffer)
        return tr_fail(err, TR_FAILED, "%s: out of memory", path);
    status = tr_sha256_start(&out->sum, err);
    if (status)
        goto free_buffer;
    do
        out->fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
    while (out->fd < 0 && errno == EINTR);
    if (out->fd < 0) {
        status = tr_fail(err, TR_FAILED, "%s: cannot be created: %s", tmp, strerror(errno));
        goto drop_sum;
    }
    out->is_open = true;
    return TR_OK;

drop_sum:
    tr_sha256_drop(&out->sum);
free_buffer:
    free(out->buffer);
    out->buffer = NULL;
    return status;
}

void tr_file_out_abort(struct tr_file_out *out)
{
    if (!out->is_open)
        return;
    out->is_open = false;
    if (out->fd >= 0)
        close(out->fd);
    out->fd = -1;
    struct tr_err ignored;
    char tmp[TR_PATH_BYTES];
    if (tmp_path(out->path, tmp, &ignored) == TR_OK)
        unlink(tmp);
    tr_sha256_drop(&out->sum);
    free(out->buffer);
    out->buffer = NULL;
}

static enum tr_status fail_and_abort(struct tr_file_out *out, const char *what, int reason, struct tr_err *err)
{
    tr_file_out_abort(out);
    return tr_fail(err, TR_FAILED, "%s: %s: %s", out->path, what, strerror(reason));
}

static enum tr_status flush_buffer(struct tr_file_out *out, struct tr_err *err)
{
    int reason = write_all(out->fd, out->buffer, out->buffered);
    if (reason)
        return fail_and_abort(out, "cannot be written", reason, err);
    out->buffered = 0;
    return TR_OK;
}

enum tr_status tr_file_out_write(struct tr_file_out *out, const void *data, size_t bytes, struct tr_err *err)
{
    TR_ASSERT(out->is_open);
    tr_sha256_update(&out->sum, data, bytes);
    if (bytes > BUFFER_BYTES - out->buffered) {
        enum tr_status status = flush_buffer(out, err);
        if (status)
            return status;
    }
    if (bytes > BUFFER_BYTES) {
        int reason = write_all(out->fd, data, bytes);
        if (reason)
            return fail_and_abort(out, "cannot be written", reason, err);
    } else if (bytes) {
        memcpy(out->buffer + out->buffered, data, bytes);
        out->buffered += bytes;
    }
    out->bytes += (int64_t)bytes;
    return TR_OK;
}

/* The folder that holds `path`. */
static void parent_of(const char *path, char parent[TR_PATH_BYTES])
{
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 0;
    TR_ASSERT(len < TR_PATH_BYTES);
    if (!slash)
        strcpy(parent, ".");
    else if (len == 0)
        strcpy(parent, "/");
    else {
        memcpy(parent, path, len);
        parent[len] = 0;
    }
}

enum tr_status tr_folder_sync(const char *path, struct tr_err *err)
{
    int fd;
    do
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return tr_fail(err, TR_FAILED, "%s: cannot be opened: %s", path, strerror(errno));
    int reason = sync_file(fd);
    close(fd);
    /* Some file systems cannot sync folders and say EINVAL; there is nothing more that could be done. */
    if (reason && reason != EINVAL)
        return tr_fail(err, TR_FAILED, "%s: cannot be synced: %s", path, strerror(reason));
    return TR_OK;
}

enum tr_status tr_file_out_commit(struct tr_file_out *out, struct tr_err *err)
{
    TR_ASSERT(out->is_open);
    enum tr_status status = flush_buffer(out, err);
    if (status)
        return status;
    int reason = sync_file(out->fd);
    if (reason)
        return fail_and_abort(out, "cannot be synced to the disk", reason, err);
    /* close() can be the first to report a lost write (NFS); after it the descriptor is gone in any case. */
    int closed = close(out->fd);
    out->fd = -1;
    if (closed && errno != EINTR)
        return fail_and_abort(out, "cannot be closed", errno, err);
    char tmp[TR_PATH_BYTES], parent[TR_PATH_BYTES];
    status = tmp_path(out->path, tmp, err);
    TR_ASSERT(status == TR_OK);
    if (rename(tmp, out->path))
        return fail_and_abort(out, "cannot be renamed from its .tmp file", errno, err);
    out->is_open = false;
    tr_sha256_finish(&out->sum, out->digest);
    free(out->buffer);
    out->buffer = NULL;
    parent_of(out->path, parent);
    return tr_folder_sync(parent, err);
}

enum tr_status tr_file_write(const char *path, const void *data, size_t bytes, struct tr_err *err)
{
    struct tr_file_out out;
    enum tr_status status = tr_file_out_open(&out, path, err);
    if (status)
        return status;
    status = tr_file_out_write(&out, data, bytes, err);
    if (status)
        return status;
    return tr_file_out_commit(&out, err);
}

enum tr_status tr_file_probe(const char *path, struct tr_err *err)
{
    struct tr_file_out out;
    if (tr_folder_exists(path))
        return tr_fail(err, TR_BAD_INPUT, "%s: is a folder, and a file is to be written there", path);
    enum tr_status status = tr_file_out_open(&out, path, err);
    if (status == TR_OK)
        tr_file_out_abort(&out);
    return status;
}

enum tr_status tr_file_append(const char *path, const void *data, size_t bytes, struct tr_err *err)
{
    int fd;
    do
        fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return tr_fail(err, TR_FAILED, "%s: cannot be opened: %s", path, strerror(errno));
    int reason = write_all(fd, data, bytes);
    if (close(fd) && !reason && errno != EINTR)
        reason = errno;
    if (reason)
        return tr_fail(err, TR_FAILED, "%s: cannot be written: %s", path, strerror(reason));
    return TR_OK;
}

enum tr_status tr_rename(const char *from, const char *to, struct tr_err *err)
{
    if (strlen(to) >= TR_PATH_BYTES)
        return tr_fail(err, TR_BAD_INPUT, "%.200s...: a path of more than %d bytes", to, TR_PATH_BYTES - 1);
    if (rename(from, to))
        return tr_fail(err, TR_FAILED, "%s: cannot be renamed to %s: %s", from, to, strerror(errno));
    char parent[TR_PATH_BYTES];
    parent_of(to, parent);
    return tr_folder_sync(parent, err);
}

enum tr_status tr_link_set(const char *path, const char *target, struct tr_err *err)
{
    char tmp[TR_PATH_BYTES];
    struct stat is;
    if (snprintf(tmp, sizeof tmp, "%s.tmp", path) >= (int)sizeof tmp)
        return tr_fail(err, TR_BAD_INPUT, "%.200s...: a path of more than %d bytes", path, TR_PATH_BYTES - 5);
    if (lstat(path, &is) == 0 && !S_ISLNK(is.st_mode))
        return tr_fail(err, TR_BAD_INPUT, "%s: is in the way: a link to %s is to stand there", path, target);
    if ((unlink(tmp) && errno != ENOENT) || symlink(target, tmp))
        return tr_fail(err, TR_FAILED, "%s: no link to %s can be made: %s", tmp, target, strerror(errno));
    return tr_rename(tmp, path, err);
}
