/* Tensors in files, wherever they come from: what both safetensors and GGUF come down to. Internal to lab/exchange. */
#ifndef TR_LAB_EXCHANGE_TENSOR_FILE_H
#define TR_LAB_EXCHANGE_TENSOR_FILE_H

#include "base/os.h"
#include "lab/exchange/element.h"
#include "lab/exchange/outer.h"

struct tr_inner {
    const char *name;
    const char *path;      /* of the file */
    enum tr_element type;  /* TR_ELEMENT_COUNT: one that trine does not read */
    const char *type_name; /* as the file has it */
    int rank;
    int64_t dim[2];        /* row-major; of a rank that is not 1 or 2 the first two */
    int64_t begin;         /* in the file; its bytes lie inside it */
};

/* Names are looked up by hash: a file may have 10^5 of them. */
struct tr_inner_table {
    struct tr_inner *inner;
    int64_t count;
    int32_t *slot;         /* open addressing, -1: free */
    int64_t slots;         /* a power of two */
};

/* In `arena`. TR_BAD_INPUT when a name is there twice. */
TR_MUST_CHECK enum tr_status tr_inner_table_make(struct tr_inner_table *table, struct tr_inner *inner, int64_t count,
                                                 struct tr_arena *arena, struct tr_err *err);
const struct tr_inner *tr_inner_find(const struct tr_inner_table *table, const char *name);

/* Reads `inner`, which must have the shape of `outer`, into our arrays. */
TR_MUST_CHECK enum tr_status tr_inner_read(const struct tr_inner *inner, const struct tr_outer *outer,
                                           const struct tr_weights *weights, float *const *w, struct tr_err *err);

/* Writes our arrays as `outer`, row by row, as numbers of `type`. */
TR_MUST_CHECK enum tr_status tr_outer_write(const struct tr_outer *outer, const struct tr_weights *weights,
                                            float *const *w, enum tr_element type, struct tr_file_out *out,
                                            struct tr_err *err);

#endif
