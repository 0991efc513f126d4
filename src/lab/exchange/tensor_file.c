#include "lab/exchange/tensor_file.h"

#include "base/num.h"
#include "base/os.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PIECE_BYTES = 1 << 20 };

/* FNV-1a (Fowler, Noll and Vo). */
static uint64_t hash_of(const char *name)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * UINT64_C(1099511628211);
    return hash;
}

static int32_t *slot_of(const struct tr_inner_table *table, const char *name)
{
    int64_t at = (int64_t)(hash_of(name) & (uint64_t)(table->slots - 1));
    while (table->slot[at] >= 0 && strcmp(table->inner[table->slot[at]].name, name) != 0)
        at = (at + 1) & (table->slots - 1);
    return &table->slot[at];
}

enum tr_status tr_inner_table_make(struct tr_inner_table *table, struct tr_inner *inner, int64_t count,
                                   struct tr_arena *arena, struct tr_err *err)
{
    struct tr_inner_table t = {.inner = inner, .count = count, .slots = 16};
    while (t.slots < 2 * count)
        t.slots *= 2;
    t.slot = tr_arena_array(arena, t.slots, sizeof *t.slot, err);
    if (!t.slot)
        return TR_FAILED;
    memset(t.slot, 0xff, (size_t)t.slots * sizeof *t.slot);
    for (int64_t i = 0; i < count; i++) {
        int32_t *slot = slot_of(&t, inner[i].name);
        if (*slot >= 0)
            return tr_fail(err, TR_BAD_INPUT, "%s: tensor %.96s is there already, in %s", inner[i].path, inner[i].name,
                           inner[*slot].path);
        *slot = (int32_t)i;
    }
    *table = t;
    return TR_OK;
}

const struct tr_inner *tr_inner_find(const struct tr_inner_table *table, const char *name)
{
    int32_t index = *slot_of(table, name);
    return index < 0 ? NULL : &table->inner[index];
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

static enum tr_status check_shape(const struct tr_inner *inner, const struct tr_outer *outer, struct tr_err *err)
{
    int64_t columns = outer->rank == 2 ? outer->dim[1] : 0, file_columns = inner->rank == 2 ? inner->dim[1] : 0;
    if (inner->rank != outer->rank || inner->dim[0] != outer->dim[0] || columns != file_columns)
        return tr_fail(err, TR_BAD_INPUT,
                       "%s: tensor %.96s has %d dimensions, %lld x %lld; the model has it with %d, %lld x %lld",
                       inner->path, inner->name, inner->rank, (long long)inner->dim[0],
                       (long long)(inner->rank > 1 ? inner->dim[1] : 1), outer->rank, (long long)outer->dim[0],
                       (long long)(outer->rank > 1 ? outer->dim[1] : 1));
    if (inner->type == TR_ELEMENT_COUNT)
        return tr_fail(err, TR_BAD_INPUT, "%s: tensor %.96s is of type %s; trine reads F32, F16, BF16, and in GGUF Q8_0, "
                       "Q4_0, Q4_1", inner->path, inner->name, inner->type_name);
    int64_t block = tr_element_block(inner->type);
    if (tr_outer_columns(outer) % block)
        return tr_fail(err, TR_BAD_INPUT, "%s: tensor %.96s has rows of %lld, which is no multiple of the %lld of %s",
                       inner->path, inner->name, (long long)tr_outer_columns(outer), (long long)block,
                       tr_element_name(inner->type));
    return TR_OK;
}

static enum tr_status read_at(int fd, const char *path, void *to, int64_t bytes, int64_t at, struct tr_err *err)
{
    for (int64_t done = 0; done < bytes;) {
        ssize_t got = pread(fd, (char *)to + done, (size_t)(bytes - done), at + done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return tr_fail(err, TR_FAILED, "%s: cannot be read at byte %lld: %s", path, (long long)(at + done),
                           got < 0 ? strerror(errno) : "it has become shorter");
        done += got;
    }
    return TR_OK;
}

static enum tr_status read_rows(int fd, const struct tr_inner *inner, const struct tr_outer *outer,
                                const struct tr_weights *weights, float *const *w, struct tr_err *err)
{
    int64_t rows = tr_outer_rows(outer), columns = tr_outer_columns(outer);
    int64_t row_bytes = tr_element_row_bytes(inner->type, columns);
    int64_t together = tr_max_i64(1, tr_min_i64(rows, PIECE_BYTES / tr_max_i64(1, row_bytes)));
    char *piece = malloc((size_t)(together * row_bytes));
    float *values = malloc((size_t)columns * sizeof *values);
    enum tr_status status = TR_OK;
    if (!piece || !values)
        status = tr_fail(err, TR_FAILED, "out of memory for a row of %lld numbers", (long long)columns);
    for (int64_t first = 0; first < rows && status == TR_OK; first += together) {
        int64_t count = tr_min_i64(together, rows - first);
        status = read_at(fd, inner->path, piece, count * row_bytes, inner->begin + first * row_bytes, err);
        for (int64_t r = 0; r < count && status == TR_OK; r++) {
            tr_element_decode(inner->type, piece + r * row_bytes, columns, values);
            tr_outer_scatter(outer, weights, w, first + r, values);
        }
    }
    free(piece);
    free(values);
    return status;
}

enum tr_status tr_inner_read(const struct tr_inner *inner, const struct tr_outer *outer,
                             const struct tr_weights *weights, float *const *w, struct tr_err *err)
{
    enum tr_status status = check_shape(inner, outer, err);
    if (status != TR_OK)
        return status;
    int fd;
    status = tr_open_read(inner->path, &fd, err);
    if (status != TR_OK)
        return status;
    status = read_rows(fd, inner, outer, weights, w, err);
    close(fd);
    return status;
}

enum tr_status tr_outer_write(const struct tr_outer *outer, const struct tr_weights *weights, float *const *w,
                              enum tr_element type, struct tr_file_out *out, struct tr_err *err)
{
    int64_t columns = tr_outer_columns(outer), bytes = tr_element_row_bytes(type, columns);
    float *row = malloc((size_t)columns * sizeof *row);
    void *encoded = malloc((size_t)bytes);
    enum tr_status status = TR_OK;
    if (!row || !encoded)
        status = tr_fail(err, TR_FAILED, "out of memory for a row of %lld numbers", (long long)columns);
    for (int64_t r = 0; r < tr_outer_rows(outer) && status == TR_OK; r++) {
        tr_outer_gather(outer, weights, w, r, row);
        tr_element_encode(type, row, columns, encoded);
        status = tr_file_out_write(out, encoded, (size_t)bytes, err);
    }
    free(row);
    free(encoded);
    return status;
}
