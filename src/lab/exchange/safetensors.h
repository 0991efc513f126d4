/* The safetensors file format, strictly: 8 bytes with the header's length (little-endian), the header as a JSON object
 * (padded with spaces), the data. Files come from strangers, so the reader refuses with a sentence whatever is not
 * exactly right, before it allocates for it:
 *   - a header of at most TR_SAFETENSORS_HEADER_MAX bytes that begins with '{' and lies inside the file
 *   - no duplicate names, at most TR_SAFETENSORS_MAX_TENSORS tensors of rank at most 8
 *   - a known dtype; dtype x shape = range, multiplied without overflow
 *   - ranges in the file's order without gap or overlap, that cover the file to its last byte
 */
#ifndef TR_LAB_EXCHANGE_SAFETENSORS_H
#define TR_LAB_EXCHANGE_SAFETENSORS_H

#include "base/arena.h"
#include "base/err.h"
#include "base/os.h"
#include "base/text.h"

#include <stdint.h>

enum {
    TR_SAFETENSORS_HEADER_MAX = 100 * 1000 * 1000,
    TR_SAFETENSORS_MAX_TENSORS = 200 * 1000,
    TR_SAFETENSORS_MAX_RANK = 8,
    TR_SAFETENSORS_ALIGN = 64 /* our writer pads the header so that the data begin at a multiple of this */
};

struct tr_safetensor {
    const char *name;
    const char *dtype; /* "F32", "BF16", ... */
    int rank;
    int64_t dim[TR_SAFETENSORS_MAX_RANK];
    int64_t begin, bytes; /* begin: from the file's beginning */
};

struct tr_safetensors {
    int64_t count;
    struct tr_safetensor *tensor; /* in the order of their data */
    int64_t data_begin;           /* 8 + header */
    struct tr_arena arena;
};

/* Checks the beginning of a file (at least 8 bytes + header) whose whole size is file_bytes. `source` is what
 * sentences call it. Free with tr_safetensors_free. */
TR_MUST_CHECK enum tr_status tr_safetensors_parse(const char *source, const void *data, size_t bytes,
                                                  int64_t file_bytes, struct tr_safetensors *out, struct tr_err *err);

/* Opens `path`, reads and checks its header. */
TR_MUST_CHECK enum tr_status tr_safetensors_open(const char *path, struct tr_safetensors *out, struct tr_err *err);
void tr_safetensors_free(struct tr_safetensors *file); /* right on a zeroed struct */

/* NULL when there is none. */
const struct tr_safetensor *tr_safetensors_find(const struct tr_safetensors *file, const char *name);

/* Writing: the 8 bytes and the header for tensors whose `begin` is filled in by this call (data in the given order). */
TR_MUST_CHECK enum tr_status tr_safetensors_header(struct tr_safetensor *tensors, int64_t count, struct tr_text *out,
                                                   struct tr_err *err);

#endif
