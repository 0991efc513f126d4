/* The GGUF file format (ggml's docs/gguf.md), strictly: "GGUF", version (2 or 3, little-endian), counts, metadata (keys
 * with values), descriptions of tensors, padding, data. Files come from strangers, so the reader refuses with a sentence
 * whatever is not exactly right, before it allocates for it:
 *   - a header of at most TR_GGUF_HEADER_MAX bytes that lies inside the file; every count fits into what is left of it
 *   - keys and names of tensors: no duplicates, no characters U+0000, bounded
 *   - arrays of plain values and strings only: no arrays of arrays, so nothing nests
 *   - general.alignment: a power of two from 8 to TR_GGUF_ALIGN_MAX
 *   - tensors of rank 1 to 4 without zero dimensions; type x shape = bytes, multiplied without overflow, whole blocks;
 *     each begins at the next multiple of the alignment behind the one before it, and ends inside the file
 *
 *     struct tr_gguf file;
 *     tr_gguf_open("model.gguf", &file, err)
 *     tr_gguf_int(&file, "llama.block_count", TR_REQUIRED, 1, 1024, &layers, err)
 *     tr_gguf_free(&file)
 */
#ifndef TR_LAB_EXCHANGE_GGUF_H
#define TR_LAB_EXCHANGE_GGUF_H

#include "base/arena.h"
#include "base/doc.h"
#include "base/err.h"
#include "base/text.h"
#include "lab/exchange/element.h"
#include "lab/token/token.h"

#include <stdbool.h>
#include <stdint.h>

#define TR_GGUF_HEADER_MAX ((int64_t)256 << 20)
enum {
    TR_GGUF_KEYS_MAX = 4096,
    TR_GGUF_TENSORS_MAX = 200 * 1000,
    TR_GGUF_NAME_MAX = 1 << 10,   /* bytes of a key or a tensor's name */
    TR_GGUF_RANK_MAX = 4,
    TR_GGUF_ALIGN_MAX = 1 << 16,
    TR_GGUF_ALIGN = 32            /* where the file does not say; what our writer uses */
};

/* The numbers are the file's. */
enum tr_gguf_kind {
    TR_GGUF_U8, TR_GGUF_I8, TR_GGUF_U16, TR_GGUF_I16, TR_GGUF_U32, TR_GGUF_I32, TR_GGUF_F32, TR_GGUF_BOOL,
    TR_GGUF_STRING, TR_GGUF_ARRAY, TR_GGUF_U64, TR_GGUF_I64, TR_GGUF_F64,
    TR_GGUF_KIND_COUNT
};

struct tr_gguf_value {
    const char *key;
    enum tr_gguf_kind kind;
    enum tr_gguf_kind item;  /* of an array */
    int64_t count;           /* items of an array, else 1 */
    const uint8_t *at;       /* its bytes; all of them lie inside the header */
};

struct tr_gguf_tensor {
    const char *name;
    enum tr_element type;
    int rank;
    int64_t dim[TR_GGUF_RANK_MAX]; /* row-major: the file's order turned round; 1 behind the rank */
    int64_t begin, bytes;          /* begin: from the file's beginning */
};

struct tr_gguf {
    const char *source;
    int64_t key_count, tensor_count;
    struct tr_gguf_value *value;
    struct tr_gguf_tensor *tensor; /* in the order of their data */
    int64_t data_begin;
    void *header;                  /* owned; NULL when the caller keeps the bytes (tr_gguf_parse) */
    struct tr_arena arena;
};

/* Checks a whole file in memory, which the caller keeps as long as *out lives. `source` is what sentences call it. */
TR_MUST_CHECK enum tr_status tr_gguf_parse(const char *source, const void *data, size_t bytes, struct tr_gguf *out,
                                           struct tr_err *err);

/* Opens `path`, reads and checks its header. */
TR_MUST_CHECK enum tr_status tr_gguf_open(const char *path, struct tr_gguf *out, struct tr_err *err);
void tr_gguf_free(struct tr_gguf *file); /* right on a zeroed struct */

/* NULL when there is none. */
const struct tr_gguf_value *tr_gguf_find(const struct tr_gguf *file, const char *key);

/* By key: TR_BAD_INPUT that names file and key when absent (TR_REQUIRED; else *out stays as it was) or not of that kind
 * and range. Whole numbers of any width are whole numbers; a boolean is none. min..max inclusive. */
TR_MUST_CHECK enum tr_status tr_gguf_int(const struct tr_gguf *file, const char *key, enum tr_need need, int64_t min,
                                         int64_t max, int64_t *out, struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_gguf_double(const struct tr_gguf *file, const char *key, enum tr_need need, double min,
                                            double max, double *out, struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_gguf_bool(const struct tr_gguf *file, const char *key, enum tr_need need, bool *out,
                                          struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_gguf_string(const struct tr_gguf *file, const char *key, enum tr_need need,
                                            struct tr_string *out, struct tr_err *err);

/* An array of strings, each pointing into the header, in `arena`. */
TR_MUST_CHECK enum tr_status tr_gguf_strings(const struct tr_gguf *file, const char *key, enum tr_need need,
                                             struct tr_arena *arena, const struct tr_string **out, int64_t *count,
                                             struct tr_err *err);

/* An array of whole numbers of any width; item `index` of it. */
TR_MUST_CHECK enum tr_status tr_gguf_int_array(const struct tr_gguf *file, const char *key, enum tr_need need,
                                               const struct tr_gguf_value **out, struct tr_err *err);
int64_t tr_gguf_item_int(const struct tr_gguf_value *array, int64_t index);

/* ---- writing: a header is built in a text, which is nothing else; keys count themselves --------------------------- */

void tr_gguf_put_start(struct tr_text *out, int64_t tensor_count);
void tr_gguf_put_u32(struct tr_text *out, const char *key, uint32_t value);
void tr_gguf_put_f32(struct tr_text *out, const char *key, float value);
void tr_gguf_put_bool(struct tr_text *out, const char *key, bool value);
void tr_gguf_put_string(struct tr_text *out, const char *key, const char *value, size_t bytes);

/* An array's beginning; its items follow by the two below, for strings and i32. */
void tr_gguf_put_array(struct tr_text *out, const char *key, enum tr_gguf_kind item, int64_t count);
void tr_gguf_put_item_string(struct tr_text *out, const char *value, size_t bytes);
void tr_gguf_put_item_i32(struct tr_text *out, int32_t value);

/* The descriptions of all tensors, whose `begin` is filled in by this call, and the padding up to the first. */
void tr_gguf_put_tensors(struct tr_text *out, struct tr_gguf_tensor *tensors, int64_t count);

#endif
