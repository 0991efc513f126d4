#include "lab/data/source.h"

#include "base/num.h"
#include "base/os.h"
#include "base/text.h"
#include "lab/data/data.h"
#include "lab/data/shard.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SOURCE_ARENA_MAX_BYTES ((int64_t)1 << 30)

const char *const tr_encoding_names[] = {"utf8", "bytes", NULL};

static const char *kind_name(mode_t mode)
{
    if (S_ISCHR(mode) || S_ISBLK(mode))
        return "a device";
    if (S_ISFIFO(mode))
        return "a pipe";
    if (S_ISSOCK(mode))
        return "a socket";
    return "neither a file nor a folder";
}

static enum tr_status add_file(struct tr_source *source, const char *path, int64_t bytes, struct tr_err *err)
{
    if (bytes == 0 && tr_shard_is_name(path)) /* a text may be empty; a shard has a header, or tokens */
        return tr_fail(err, TR_BAD_INPUT, "%s: 0 bytes: the shard is empty; make it again, or take it out of the folder", path);
    if (bytes == 0) {
        source->empty_count++;
        return TR_OK;
    }
    if (source->count == TR_DATA_MAX_FILES)
        return tr_fail(err, TR_BAD_INPUT, "more than %d files below the data folder: join them first",
                       TR_DATA_MAX_FILES);
    if (!tr_add_i64(source->bytes, bytes, &source->bytes) || source->bytes > TR_DATA_MAX_BYTES)
        return tr_fail(err, TR_BAD_INPUT, "%s: the data are more than the limit of %lld bytes", path,
                       (long long)TR_DATA_MAX_BYTES);
    if (source->count == source->room) {
        int64_t room = source->room ? 2 * source->room : 64;
        struct tr_source_file *more = tr_arena_array(&source->arena, room, sizeof *more, err);
        if (!more)
            return TR_FAILED;
        if (source->count)
            memcpy(more, source->file, (size_t)source->count * sizeof *more);
        source->file = more;
        source->room = room;
    }
    char *copy = tr_arena_strdup(&source->arena, path, err);
    if (!copy)
        return TR_FAILED;
    source->file[source->count++] = (struct tr_source_file){.path = copy, .bytes = bytes};
    return TR_OK;
}

static enum tr_status walk(struct tr_source *source, const char *folder, int depth, struct tr_err *err)
{
    if (depth > TR_DATA_MAX_DEPTH)
        return tr_fail(err, TR_BAD_INPUT, "%s: folders inside folders more than %d deep", folder, TR_DATA_MAX_DEPTH);
    const char *const *names;
    int64_t count;
    enum tr_status status = tr_folder_list(folder, &source->arena, &names, &count, err);
    if (status != TR_OK)
        return status;
    for (int64_t i = 0; i < count; i++) {
        if (names[i][0] == '.')
            continue;
        char path[TR_PATH_BYTES];
        if ((status = tr_path_join(path, folder, names[i], err)) != TR_OK)
            return status;
        struct stat entry, target;
        if (lstat(path, &entry) != 0)
            return tr_fail(err, TR_BAD_INPUT, "%s: cannot be looked at: %s", path, strerror(errno));
        if (S_ISDIR(entry.st_mode)) {
            status = walk(source, path, depth + 1, err);
        } else if (S_ISREG(entry.st_mode)) {
            status = add_file(source, path, entry.st_size, err);
        } else if (S_ISLNK(entry.st_mode)) {
            if (stat(path, &target) != 0)
                return tr_fail(err, TR_BAD_INPUT, "%s: a link that leads nowhere: %s", path, strerror(errno));
            if (S_ISREG(target.st_mode))
                status = add_file(source, path, target.st_size, err);
        }
        if (status != TR_OK)
            return status;
    }
    return TR_OK;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct tr_source_file *)a)->path, ((const struct tr_source_file *)b)->path);
}

static enum tr_status find_files(struct tr_source *source, const char *path, struct tr_err *err)
{
    struct stat top;
    if (path[0] == 0)
        return tr_fail(err, TR_BAD_INPUT, "no data given: name a text file or a folder of text files");
    if (stat(path, &top) != 0)
        return tr_fail(err, TR_BAD_INPUT, "%s: cannot be read: %s", path, strerror(errno));
    if (S_ISREG(top.st_mode)) {
        if (top.st_size == 0)
            return tr_fail(err, TR_BAD_INPUT, "%s: the file is empty: training needs text", path);
        return add_file(source, path, top.st_size, err);
    }
    if (!S_ISDIR(top.st_mode))
        return tr_fail(err, TR_BAD_INPUT, "%s: is %s; data are a file or a folder of files", path,
                       kind_name(top.st_mode));
    enum tr_status status = walk(source, path, 1, err);
    if (status != TR_OK)
        return status;
    if (source->count == 0 && source->empty_count)
        return tr_fail(err, TR_BAD_INPUT, "%s: all %lld files of the folder are empty: training needs text", path,
                       (long long)source->empty_count);
    if (source->count == 0)
        return tr_fail(err, TR_BAD_INPUT,
                       "%s: the folder holds no files (names that begin with a point do not count)", path);
    qsort(source->file, (size_t)source->count, sizeof *source->file, by_path);
    return TR_OK;
}

static bool is_tokenizer(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && strcmp(slash + 1, "tokenizer.json") == 0;
}

/* A .bin with an .idx beside it is that index's, which stands for both. */
static enum tr_status keep_for_index(struct tr_source *source, struct tr_source_file *bin, bool *kept,
                                     struct tr_err *err)
{
    char path[TR_PATH_BYTES];
    size_t stem = strlen(bin->path) - strlen(TR_SHARD_BIN_ENDING);
    *kept = true;
    if (strcmp(bin->path + stem, TR_SHARD_BIN_ENDING) != 0)
        return TR_OK;
    snprintf(path, sizeof path, "%.*s%s", (int)stem, bin->path, TR_SHARD_IDX_ENDING);
    struct tr_source_file *end = source->file + source->count, *index = bin + 1;
    while (index < end && strcmp(index->path, path) != 0) /* sorted, so it is near */
        index++;
    if (index < end) {
        index->bytes += bin->bytes;
        *kept = false;
        return TR_OK;
    }
    if (!tr_file_exists(path)) /* the .bin alone was named */
        return TR_OK;
    bin->path = tr_arena_strdup(&source->arena, path, err);
    return bin->path ? TR_OK : TR_FAILED;
}

/* A folder with shards is all shards, but for the tokenizer beside them. */
static enum tr_status keep_shards(struct tr_source *source, const char *path, struct tr_err *err)
{
    const char *other = NULL;
    int64_t kept = 0, bytes = 0;
    for (int64_t i = 0; i < source->count; i++)
        source->shards = source->shards || tr_shard_is_name(source->file[i].path);
    if (!source->shards)
        return TR_OK;
    for (int64_t i = 0; i < source->count; i++) {
        if (tr_shard_is_name(source->file[i].path)) {
            bool keep;
            enum tr_status status = keep_for_index(source, &source->file[i], &keep, err);
            if (status != TR_OK)
                return status;
            if (!keep)
                continue;
            bytes += source->file[i].bytes;
            source->file[kept++] = source->file[i];
        } else if (!is_tokenizer(source->file[i].path)) {
            other = source->file[i].path;
        }
    }
    if (other)
        return tr_fail(err, TR_BAD_INPUT, "%s: holds shards (*%s, *%s, *%s) and also other files, such as %s: "
                       "keep them apart", path, TR_SHARD_ENDING, TR_SHARD_BIN_ENDING, TR_SHARD_IDX_ENDING, other);
    source->count = kept;
    source->bytes = bytes;
    return TR_OK;
}

enum tr_status tr_source_find(struct tr_source *source, const char *path, struct tr_err *err)
{
    *source = (struct tr_source){0};
    tr_arena_init(&source->arena, "list of data files", SOURCE_ARENA_MAX_BYTES);
    enum tr_status status = find_files(source, path, err);
    return status == TR_OK ? keep_shards(source, path, err) : status;
}

void tr_source_free(struct tr_source *source)
{
    tr_arena_free(&source->arena);
    *source = (struct tr_source){0};
}

enum tr_status tr_source_read(const struct tr_source_file *file, void *to, struct tr_err *err)
{
    int fd;
    enum tr_status status = tr_open_read(file->path, &fd, err);
    if (status != TR_OK)
        return status;
    int64_t done = 0;
    while (done < file->bytes) {
        ssize_t got = read(fd, (char *)to + done, (size_t)tr_min_i64(file->bytes - done, 1 << 30));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            status = tr_fail(err, TR_FAILED, "%s: cannot be read: %s", file->path, strerror(errno));
            break;
        }
        if (got == 0) {
            status = tr_fail(err, TR_BAD_INPUT, "%s: became shorter while it was read (%lld of %lld bytes)",
                             file->path, (long long)done, (long long)file->bytes);
            break;
        }
        done += got;
    }
    close(fd);
    return status;
}

/* What stands at the first byte that is no text. */
static enum tr_status not_text(const char *path, const char *text, int64_t bytes, int64_t at, const char *right,
                               struct tr_err *err)
{
    uint8_t byte = (uint8_t)text[at];
    if (at == 0 && bytes >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0))
        return tr_fail(err, TR_BAD_INPUT, "%s: offset 0: begins as UTF-16 does; %s", path, right);
    if (byte == 0)
        return tr_fail(err, TR_BAD_INPUT, "%s: offset %lld: a byte 0: it is no text, or not in UTF-8; %s", path,
                       (long long)at, right);
    int length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
    if (byte >= 0xc2 && byte <= 0xf4 && bytes - at < length)
        return tr_fail(err, TR_BAD_INPUT, "%s: offset %lld: the last character is cut off (%lld of its %d bytes are "
                       "there): is the file whole? %s", path, (long long)at, (long long)(bytes - at), length, right);
    return tr_fail(err, TR_BAD_INPUT, "%s: offset %lld: the byte 0x%02x begins no character of UTF-8; %s", path,
                   (long long)at, byte, right);
}

enum tr_status tr_text_check(const char *source, const char *text, int64_t bytes, const char *right, struct tr_err *err)
{
    int64_t good = (int64_t)tr_utf8_prefix(text, (size_t)bytes);
    const char *zero = memchr(text, 0, (size_t)good);
    if (zero)
        good = zero - text;
    return good == bytes ? TR_OK : not_text(source, text, bytes, good, right, err);
}

enum tr_status tr_source_read_text(const struct tr_source_file *file, enum tr_encoding encoding, void *to,
                                   struct tr_err *err)
{
    enum tr_status status = tr_source_read(file, to, err);
    if (status != TR_OK || encoding == TR_ENCODING_BYTES)
        return status;
    return tr_text_check(file->path, to, file->bytes,
                         "data are text in UTF-8, unless their encoding is said to be \"bytes\"", err);
}
