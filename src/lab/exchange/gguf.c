#include "lab/exchange/gguf.h"

#include "base/num.h"
#include "base/os.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARENA_MAX_BYTES ((int64_t)512 << 20)

enum { FIRST_BYTES = 1 << 20, MAGIC_BYTES = 4, VERSION_MIN = 2, VERSION_MAX = 3 };

/* ---- what the numbers mean --------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    int bytes; /* 0: of no fixed size */
} kinds[TR_GGUF_KIND_COUNT] = {
    [TR_GGUF_U8] = {"a number u8", 1},   [TR_GGUF_I8] = {"a number i8", 1},   [TR_GGUF_U16] = {"a number u16", 2},
    [TR_GGUF_I16] = {"a number i16", 2}, [TR_GGUF_U32] = {"a number u32", 4}, [TR_GGUF_I32] = {"a number i32", 4},
    [TR_GGUF_F32] = {"a number f32", 4}, [TR_GGUF_BOOL] = {"a boolean", 1},   [TR_GGUF_STRING] = {"a string", 0},
    [TR_GGUF_ARRAY] = {"an array", 0},   [TR_GGUF_U64] = {"a number u64", 8}, [TR_GGUF_I64] = {"a number i64", 8},
    [TR_GGUF_F64] = {"a number f64", 8},
};

/* ggml's numbers of types, those that it has taken back left out. */
static const struct {
    uint32_t number;
    const char *name;
    enum tr_element element; /* TR_ELEMENT_COUNT: not read */
} types[] = {
    {0, "F32", TR_ELEMENT_F32},        {1, "F16", TR_ELEMENT_F16},        {2, "Q4_0", TR_ELEMENT_Q4_0},
    {3, "Q4_1", TR_ELEMENT_Q4_1},      {6, "Q5_0", TR_ELEMENT_COUNT},     {7, "Q5_1", TR_ELEMENT_COUNT},
    {8, "Q8_0", TR_ELEMENT_Q8_0},      {9, "Q8_1", TR_ELEMENT_COUNT},     {10, "Q2_K", TR_ELEMENT_COUNT},
    {11, "Q3_K", TR_ELEMENT_COUNT},    {12, "Q4_K", TR_ELEMENT_COUNT},    {13, "Q5_K", TR_ELEMENT_COUNT},
    {14, "Q6_K", TR_ELEMENT_COUNT},    {15, "Q8_K", TR_ELEMENT_COUNT},    {16, "IQ2_XXS", TR_ELEMENT_COUNT},
    {17, "IQ2_XS", TR_ELEMENT_COUNT},  {18, "IQ3_XXS", TR_ELEMENT_COUNT}, {19, "IQ1_S", TR_ELEMENT_COUNT},
    {20, "IQ4_NL", TR_ELEMENT_COUNT},  {21, "IQ3_S", TR_ELEMENT_COUNT},   {22, "IQ2_S", TR_ELEMENT_COUNT},
    {23, "IQ4_XS", TR_ELEMENT_COUNT},  {24, "I8", TR_ELEMENT_COUNT},      {25, "I16", TR_ELEMENT_COUNT},
    {26, "I32", TR_ELEMENT_COUNT},     {27, "I64", TR_ELEMENT_COUNT},     {28, "F64", TR_ELEMENT_COUNT},
    {29, "IQ1_M", TR_ELEMENT_COUNT},   {30, "BF16", TR_ELEMENT_BF16},     {34, "TQ1_0", TR_ELEMENT_COUNT},
    {35, "TQ2_0", TR_ELEMENT_COUNT},   {39, "MXFP4", TR_ELEMENT_COUNT},
};

enum { TYPE_COUNT = sizeof types / sizeof *types };

/* ---- the cursor: all bytes go through take() ---------------------------------------------------------------------- */

struct cursor {
    const char *source;
    const uint8_t *data;
    int64_t at, have;   /* have: bytes in memory, a beginning of the file */
    int64_t file_bytes;
    struct tr_err *err;
    enum tr_status status; /* of a failure: TR_FAILED, out of memory, until something says otherwise */
    bool more;          /* what is missing lies in the file, but not in memory */
};

/* The next `bytes` bytes; NULL, with a sentence or `more`, when there are not so many. */
static const uint8_t *take(struct cursor *c, int64_t bytes, const char *what)
{
    if (bytes <= c->have - c->at) {
        c->at += bytes;
        return c->data + c->at - bytes;
    }
    if (bytes <= c->file_bytes - c->at && c->have < TR_GGUF_HEADER_MAX)
        c->more = true;
    else if (bytes <= c->file_bytes - c->at)
        c->status = tr_fail(c->err, TR_BAD_INPUT, "%s: the header is more than the limit of %lld bytes", c->source,
                      (long long)TR_GGUF_HEADER_MAX);
    else
        c->status = tr_fail(c->err, TR_BAD_INPUT, "%s: %s needs %lld bytes, and the file ends %lld bytes after its beginning",
                      c->source, what, (long long)bytes, (long long)(c->file_bytes - c->at));
    return NULL;
}

static uint64_t load(const uint8_t *at, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

static bool take_u32(struct cursor *c, const char *what, uint32_t *out)
{
    const uint8_t *at = take(c, 4, what);
    if (at)
        *out = (uint32_t)load(at, 4);
    return at != NULL;
}

/* A u64 that counts something of at least `each` bytes still to come, at most `max` of them: so it is bounded by the
 * file before anybody multiplies by it. */
static bool take_count(struct cursor *c, const char *what, int64_t each, int64_t max, int64_t *out)
{
    const uint8_t *at = take(c, 8, what);
    if (!at)
        return false;
    uint64_t count = load(at, 8);
    int64_t left = c->file_bytes - c->at;
    if (count > (uint64_t)max) {
        c->status = tr_fail(c->err, TR_BAD_INPUT, "%s: %s: %llu is more than the limit of %lld", c->source, what,
                      (unsigned long long)count, (long long)max);
        return false;
    }
    if (count > (uint64_t)(left / each)) {
        c->status = tr_fail(c->err, TR_BAD_INPUT, "%s: %s: %llu do not fit into the %lld bytes that the file still has",
                      c->source, what, (unsigned long long)count, (long long)left);
        return false;
    }
    *out = (int64_t)count;
    return true;
}

static bool take_string(struct cursor *c, const char *what, int64_t max, struct tr_string *out)
{
    int64_t bytes;
    if (!take_count(c, what, 1, max, &bytes))
        return false;
    const uint8_t *at = take(c, bytes, what);
    if (at)
        *out = (struct tr_string){(const char *)at, bytes};
    return at != NULL;
}

/* A name as a C string: its sentences can be printed, and no two names look the same. */
static const char *take_name(struct cursor *c, const char *what, struct tr_arena *arena)
{
    struct tr_string name;
    if (!take_string(c, what, TR_GGUF_NAME_MAX, &name))
        return NULL;
    bool right = name.bytes > 0;
    for (int64_t i = 0; i < name.bytes; i++)
        right = right && name.at[i] > 0x20 && name.at[i] < 0x7F;
    if (!right) {
        c->status = tr_fail(c->err, TR_BAD_INPUT, "%s: %s at byte %lld is empty, or has other characters than printable ASCII",
                      c->source, what, (long long)(c->at - name.bytes));
        return NULL;
    }
    return tr_arena_copy(arena, name.at, name.bytes, c->err);
}

/* ---- metadata ---------------------------------------------------------------------------------------------------- */

static bool take_kind(struct cursor *c, const char *key, enum tr_gguf_kind *out)
{
    uint32_t kind;
    if (!take_u32(c, key, &kind))
        return false;
    if (kind >= TR_GGUF_KIND_COUNT) {
        c->status = tr_fail(c->err, TR_BAD_INPUT, "%s: %.64s: a value of type %u; GGUF has 0 to %d", c->source, key, kind,
                      TR_GGUF_KIND_COUNT - 1);
        return false;
    }
    *out = (enum tr_gguf_kind)kind;
    return true;
}

/* `count` values of one kind, plain or strings. */
static bool skip_values(struct cursor *c, const char *key, enum tr_gguf_kind kind, int64_t count)
{
    struct tr_string ignored;
    if (kind != TR_GGUF_STRING) /* cannot overflow: count has been held against the file's bytes */
        return take(c, count * kinds[kind].bytes, key) != NULL;
    for (int64_t i = 0; i < count; i++)
        if (!take_string(c, key, TR_GGUF_HEADER_MAX, &ignored))
            return false;
    return true;
}

static bool read_value(struct cursor *c, struct tr_gguf_value *value, struct tr_arena *arena)
{
    value->key = take_name(c, "a key of the metadata", arena);
    if (!value->key || !take_kind(c, value->key, &value->kind))
        return false;
    enum tr_gguf_kind kind = value->kind;
    value->count = 1;
    if (kind == TR_GGUF_ARRAY) {
        if (!take_kind(c, value->key, &value->item))
            return false;
        if (value->item == TR_GGUF_ARRAY) {
            c->status = tr_fail(c->err, TR_BAD_INPUT, "%s: %.64s: an array of arrays; expected one of numbers, booleans or "
                          "strings", c->source, value->key);
            return false;
        }
        kind = value->item;
        int64_t each = kind == TR_GGUF_STRING ? 8 : kinds[kind].bytes;
        if (!take_count(c, value->key, each, TR_GGUF_HEADER_MAX, &value->count))
            return false;
    }
    value->at = c->data + c->at;
    return skip_values(c, value->key, kind, value->count);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* `names` is sorted by this. */
static bool check_distinct(struct cursor *c, const char *what, const char **names, int64_t count)
{
    qsort(names, (size_t)count, sizeof *names, by_name);
    for (int64_t i = 1; i < count; i++)
        if (strcmp(names[i - 1], names[i]) == 0) {
            c->status = tr_fail(c->err, TR_BAD_INPUT, "%s: %s %.96s is there twice", c->source, what, names[i]);
            return false;
        }
    return true;
}

static bool read_values(struct cursor *c, struct tr_gguf *file)
{
    file->value = tr_arena_array(&file->arena, file->key_count, sizeof *file->value, c->err);
    const char **names = file->value ? tr_arena_array(&file->arena, file->key_count, sizeof *names, c->err) : NULL;
    if (!names)
        return false;
    for (int64_t i = 0; i < file->key_count; i++) {
        if (!read_value(c, &file->value[i], &file->arena))
            return false;
        names[i] = file->value[i].key;
    }
    return check_distinct(c, "key", names, file->key_count);
}

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

static bool read_type(struct cursor *c, struct tr_gguf_tensor *tensor)
{
    uint32_t number;
    const char *name = "not one of ggml's";
    if (!take_u32(c, tensor->name, &number))
        return false;
    tensor->type = TR_ELEMENT_COUNT;
    for (int i = 0; i < TYPE_COUNT; i++)
        if (types[i].number == number) {
            tensor->type = types[i].element;
            name = types[i].name;
        }
    if (tensor->type == TR_ELEMENT_COUNT)
        c->status = tr_fail(c->err, TR_BAD_INPUT, "%s: tensor %.64s is of type %u (%s); trine reads F32, F16, BF16, Q8_0, Q4_0, "
                      "Q4_1", c->source, tensor->name, number, name);
    return tensor->type != TR_ELEMENT_COUNT;
}

/* The file has the shortest stride first. */
static bool read_shape(struct cursor *c, struct tr_gguf_tensor *tensor)
{
    uint32_t rank;
    if (!take_u32(c, tensor->name, &rank))
        return false;
    if (rank < 1 || rank > TR_GGUF_RANK_MAX) {
        c->status = tr_fail(c->err, TR_BAD_INPUT, "%s: tensor %.64s has %u dimensions; expected 1 to %d", c->source,
                      tensor->name, rank, TR_GGUF_RANK_MAX);
        return false;
    }
    tensor->rank = (int)rank;
    for (int i = 0; i < TR_GGUF_RANK_MAX; i++)
        tensor->dim[i] = 1;
    for (int i = tensor->rank - 1; i >= 0; i--) {
        const uint8_t *at = take(c, 8, tensor->name);
        if (!at)
            return false;
        uint64_t dim = load(at, 8);
        if (dim == 0 || dim > INT64_MAX) {
            c->status = tr_fail(c->err, TR_BAD_INPUT, "%s: tensor %.64s has a dimension of %llu; expected 1 or more", c->source,
                          tensor->name, (unsigned long long)dim);
            return false;
        }
        tensor->dim[i] = (int64_t)dim;
    }
    return true;
}

static bool count_bytes(struct cursor *c, struct tr_gguf_tensor *tensor)
{
    int64_t columns = tensor->dim[tensor->rank - 1], block = tr_element_block(tensor->type), bytes;
    if (columns % block) {
        c->status = tr_fail(c->err, TR_BAD_INPUT, "%s: tensor %.64s has rows of %lld, which is no multiple of the %lld of %s",
                      c->source, tensor->name, (long long)columns, (long long)block, tr_element_name(tensor->type));
        return false;
    }
    bool fits = tr_mul_i64(columns / block, tr_element_block_bytes(tensor->type), &bytes);
    for (int i = 0; i + 1 < tensor->rank && fits; i++)
        fits = tr_mul_i64(bytes, tensor->dim[i], &bytes);
    if (!fits || bytes > c->file_bytes) {
        c->status = tr_fail(c->err, TR_BAD_INPUT, "%s: tensor %.64s has more bytes than the file's %lld", c->source,
                      tensor->name, (long long)c->file_bytes);
        return false;
    }
    tensor->bytes = bytes;
    return true;
}

static bool read_tensor(struct cursor *c, struct tr_gguf_tensor *tensor, struct tr_arena *arena)
{
    const uint8_t *at;
    tensor->name = take_name(c, "the name of a tensor", arena);
    if (!tensor->name || !read_shape(c, tensor) || !read_type(c, tensor) || !count_bytes(c, tensor) ||
        !(at = take(c, 8, tensor->name)))
        return false;
    uint64_t begin = load(at, 8);
    if (begin > (uint64_t)c->file_bytes) {
        c->status = tr_fail(c->err, TR_BAD_INPUT, "%s: tensor %.64s begins at byte %llu of the data of a file of %lld bytes",
                      c->source, tensor->name, (unsigned long long)begin, (long long)c->file_bytes);
        return false;
    }
    tensor->begin = (int64_t)begin;
    return true;
}

static bool read_tensors(struct cursor *c, struct tr_gguf *file)
{
    file->tensor = tr_arena_array(&file->arena, file->tensor_count, sizeof *file->tensor, c->err);
    const char **names = file->tensor ? tr_arena_array(&file->arena, file->tensor_count, sizeof *names, c->err) : NULL;
    if (!names)
        return false;
    for (int64_t i = 0; i < file->tensor_count; i++) {
        if (!read_tensor(c, &file->tensor[i], &file->arena))
            return false;
        names[i] = file->tensor[i].name;
    }
    return check_distinct(c, "tensor", names, file->tensor_count);
}

static bool read_alignment(struct cursor *c, const struct tr_gguf *file, int64_t *align)
{
    *align = TR_GGUF_ALIGN;
    c->status = tr_gguf_int(file, "general.alignment", TR_OPTIONAL, 8, TR_GGUF_ALIGN_MAX, align, c->err);
    if (c->status != TR_OK)
        return false;
    if (*align & (*align - 1)) {
        c->status = tr_fail(c->err, TR_BAD_INPUT, "%s: general.alignment: %lld is no power of two", c->source,
                      (long long)*align);
        return false;
    }
    return true;
}

/* From here on `begin` counts from the file's beginning. */
static bool place_tensors(struct cursor *c, struct tr_gguf *file)
{
    int64_t align, at = 0;
    if (!read_alignment(c, file, &align))
        return false;
    file->data_begin = tr_round_up(c->at, align);
    for (int64_t i = 0; i < file->tensor_count; i++) {
        struct tr_gguf_tensor *tensor = &file->tensor[i];
        if (tensor->begin != at) {
            c->status = tr_fail(c->err, TR_BAD_INPUT, "%s: tensor %.64s begins at byte %lld of the data; the next free one is "
                          "%lld", c->source, tensor->name, (long long)tensor->begin, (long long)at);
            return false;
        }
        /* No sum can overflow: each tensor is smaller than the file, and so is `at` until the line below says no. */
        if (file->data_begin + at + tensor->bytes > c->file_bytes) {
            c->status = tr_fail(c->err, TR_BAD_INPUT, "%s: tensor %.64s ends at byte %lld of a file of %lld: the file is cut "
                          "off", c->source, tensor->name, (long long)(file->data_begin + at + tensor->bytes),
                          (long long)c->file_bytes);
            return false;
        }
        tensor->begin = file->data_begin + at;
        at = tr_round_up(at + tensor->bytes, align);
    }
    return true;
}

/* ---- the header -------------------------------------------------------------------------------------------------- */

static bool read_version(struct cursor *c)
{
    uint32_t version;
    const uint8_t *magic = take(c, MAGIC_BYTES, "the magic number");
    if (!magic)
        return false;
    if (memcmp(magic, "GGUF", MAGIC_BYTES) != 0) {
        c->status = tr_fail(c->err, TR_BAD_INPUT, "%s: is no GGUF file: it does not begin with \"GGUF\"", c->source);
        return false;
    }
    if (!take_u32(c, "the version", &version))
        return false;
    if (version >= VERSION_MIN && version <= VERSION_MAX)
        return true;
    bool swapped = version > 0 && (version & 0xFFFFu) == 0;
    c->status = tr_fail(c->err, TR_BAD_INPUT, "%s: GGUF version %u%s; trine reads %d and %d, little-endian", c->source, version,
                  swapped ? " (a big-endian file)" : "", VERSION_MIN, VERSION_MAX);
    return false;
}

static bool read_header(struct cursor *c, struct tr_gguf *file)
{
    /* A tensor has a name's length, a rank, a dimension, a type and a place, a key a length, a type and a value. */
    return read_version(c) &&
           take_count(c, "the number of tensors", 8 + 1 + 4 + 8 + 4 + 8, TR_GGUF_TENSORS_MAX, &file->tensor_count) &&
           take_count(c, "the number of keys", 8 + 1 + 4 + 1, TR_GGUF_KEYS_MAX, &file->key_count) &&
           read_values(c, file) && read_tensors(c, file) && place_tensors(c, file);
}

/* TR_NO: the header goes on behind `have`. */
static enum tr_status parse(const char *source, const void *data, int64_t have, int64_t file_bytes, struct tr_gguf *out,
                            struct tr_err *err)
{
    struct tr_err reason = {""};
    struct cursor c = {.source = source, .data = data, .have = have, .file_bytes = file_bytes, .err = &reason,
                       .status = TR_FAILED};
    struct tr_gguf new = {.source = source};
    tr_arena_init(&new.arena, "GGUF header", ARENA_MAX_BYTES);
    if (read_header(&c, &new)) {
        *out = new;
        return TR_OK;
    }
    tr_arena_free(&new.arena);
    if (c.more)
        return TR_NO;
    *err = reason;
    return c.status;
}

enum tr_status tr_gguf_parse(const char *source, const void *data, size_t bytes, struct tr_gguf *out,
                             struct tr_err *err)
{
    enum tr_status status = parse(source, data, (int64_t)bytes, (int64_t)bytes, out, err);
    TR_ASSERT(status != TR_NO);
    return status;
}

static enum tr_status read_more(int fd, const char *path, uint8_t *to, int64_t *have, int64_t want, struct tr_err *err)
{
    while (*have < want) {
        ssize_t got = pread(fd, to + *have, (size_t)(want - *have), *have);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return tr_fail(err, TR_FAILED, "%s: cannot be read at byte %lld: %s", path, (long long)*have,
                           got < 0 ? strerror(errno) : "it has become shorter");
        *have += got;
    }
    return TR_OK;
}

/* A header does not say how long it is: ever more of the file is read until it is whole. */
static enum tr_status open_growing(int fd, const char *path, int64_t file_bytes, struct tr_gguf *out,
                                   struct tr_err *err)
{
    uint8_t *data = NULL;
    int64_t have = 0;
    enum tr_status status = TR_NO;
    for (int64_t want = FIRST_BYTES; status == TR_NO; want *= 4) {
        want = tr_min_i64(tr_min_i64(want, file_bytes), TR_GGUF_HEADER_MAX);
        uint8_t *grown = realloc(data, (size_t)tr_max_i64(want, 1));
        if (!grown) {
            status = tr_fail(err, TR_FAILED, "%s: out of memory for %lld bytes", path, (long long)want);
            break;
        }
        data = grown;
        status = read_more(fd, path, data, &have, want, err);
        if (status == TR_OK)
            status = parse(path, data, have, file_bytes, out, err);
    }
    if (status == TR_OK)
        out->header = data;
    else
        free(data);
    return status;
}

enum tr_status tr_gguf_open(const char *path, struct tr_gguf *out, struct tr_err *err)
{
    int64_t file_bytes;
    enum tr_status status = tr_file_bytes(path, &file_bytes, err);
    if (status != TR_OK)
        return status;
    int fd;
    status = tr_open_read(path, &fd, err);
    if (status != TR_OK)
        return status;
    status = open_growing(fd, path, file_bytes, out, err);
    close(fd);
    return status;
}

void tr_gguf_free(struct tr_gguf *file)
{
    tr_arena_free(&file->arena);
    free(file->header);
    *file = (struct tr_gguf){0};
}

/* ---- values by key ----------------------------------------------------------------------------------------------- */

const struct tr_gguf_value *tr_gguf_find(const struct tr_gguf *file, const char *key)
{
    for (int64_t i = 0; i < file->key_count; i++)
        if (strcmp(file->value[i].key, key) == 0)
            return &file->value[i];
    return NULL;
}

static enum tr_status find(const struct tr_gguf *file, const char *key, enum tr_need need,
                           const struct tr_gguf_value **out, struct tr_err *err)
{
    *out = tr_gguf_find(file, key);
    if (!*out && need == TR_REQUIRED)
        return tr_fail(err, TR_BAD_INPUT, "%s: has no %s", file->source, key);
    return TR_OK;
}

static enum tr_status fail_kind(const struct tr_gguf *file, const struct tr_gguf_value *value, const char *expected,
                                struct tr_err *err)
{
    return tr_fail(err, TR_BAD_INPUT, "%s: %.64s: expected %s, got %s%s%s", file->source, value->key, expected,
                   kinds[value->kind].name, value->kind == TR_GGUF_ARRAY ? " of " : "",
                   value->kind == TR_GGUF_ARRAY ? kinds[value->item].name : "");
}

static bool is_int(enum tr_gguf_kind kind)
{
    return kind != TR_GGUF_F32 && kind != TR_GGUF_F64 && kind != TR_GGUF_BOOL && kind != TR_GGUF_STRING &&
           kind != TR_GGUF_ARRAY;
}

/* A u64 beyond int64_t becomes INT64_MAX, which no limit allows. */
static int64_t load_int(const uint8_t *at, enum tr_gguf_kind kind)
{
    int bytes = kinds[kind].bytes;
    uint64_t value = load(at, bytes);
    if (kind == TR_GGUF_U64)
        return value > INT64_MAX ? INT64_MAX : (int64_t)value;
    if (kind == TR_GGUF_I8 || kind == TR_GGUF_I16 || kind == TR_GGUF_I32) {
        uint64_t sign = UINT64_C(1) << (8 * bytes - 1);
        return (int64_t)(value ^ sign) - (int64_t)sign;
    }
    int64_t out;
    memcpy(&out, &value, sizeof out); /* I64: two's complement */
    return out;
}

enum tr_status tr_gguf_int(const struct tr_gguf *file, const char *key, enum tr_need need, int64_t min, int64_t max,
                           int64_t *out, struct tr_err *err)
{
    const struct tr_gguf_value *value;
    enum tr_status status = find(file, key, need, &value, err);
    if (status != TR_OK || !value)
        return status;
    if (!is_int(value->kind))
        return fail_kind(file, value, "a whole number", err);
    int64_t got = load_int(value->at, value->kind);
    if (got < min || got > max)
        return tr_fail(err, TR_BAD_INPUT, "%s: %s: %lld: expected %lld to %lld", file->source, key, (long long)got,
                       (long long)min, (long long)max);
    *out = got;
    return TR_OK;
}

enum tr_status tr_gguf_double(const struct tr_gguf *file, const char *key, enum tr_need need, double min, double max,
                              double *out, struct tr_err *err)
{
    const struct tr_gguf_value *value;
    enum tr_status status = find(file, key, need, &value, err);
    if (status != TR_OK || !value)
        return status;
    double got;
    float single;
    if (value->kind == TR_GGUF_F32) {
        memcpy(&single, value->at, sizeof single);
        got = (double)single;
    } else if (value->kind == TR_GGUF_F64) {
        memcpy(&got, value->at, sizeof got);
    } else {
        return fail_kind(file, value, "a number f32 or f64", err);
    }
    if (!(got >= min && got <= max))
        return tr_fail(err, TR_BAD_INPUT, "%s: %s: %g: expected %g to %g", file->source, key, got, min, max);
    *out = got;
    return TR_OK;
}

enum tr_status tr_gguf_bool(const struct tr_gguf *file, const char *key, enum tr_need need, bool *out,
                            struct tr_err *err)
{
    const struct tr_gguf_value *value;
    enum tr_status status = find(file, key, need, &value, err);
    if (status != TR_OK || !value)
        return status;
    if (value->kind != TR_GGUF_BOOL || value->at[0] > 1)
        return fail_kind(file, value, "a boolean, 0 or 1", err);
    *out = value->at[0] == 1;
    return TR_OK;
}

enum tr_status tr_gguf_string(const struct tr_gguf *file, const char *key, enum tr_need need, struct tr_string *out,
                              struct tr_err *err)
{
    const struct tr_gguf_value *value;
    enum tr_status status = find(file, key, need, &value, err);
    if (status != TR_OK || !value)
        return status;
    if (value->kind != TR_GGUF_STRING)
        return fail_kind(file, value, "a string", err);
    *out = (struct tr_string){(const char *)value->at + 8, (int64_t)load(value->at, 8)};
    return TR_OK;
}

enum tr_status tr_gguf_strings(const struct tr_gguf *file, const char *key, enum tr_need need, struct tr_arena *arena,
                               const struct tr_string **out, int64_t *count, struct tr_err *err)
{
    const struct tr_gguf_value *value;
    enum tr_status status = find(file, key, need, &value, err);
    if (status != TR_OK || !value)
        return status;
    if (value->kind != TR_GGUF_ARRAY || value->item != TR_GGUF_STRING)
        return fail_kind(file, value, "an array of strings", err);
    struct tr_string *strings = tr_arena_array(arena, value->count, sizeof *strings, err);
    if (!strings)
        return TR_FAILED;
    const uint8_t *at = value->at;
    for (int64_t i = 0; i < value->count; i++) {
        int64_t bytes = (int64_t)load(at, 8);
        strings[i] = (struct tr_string){(const char *)at + 8, bytes};
        at += 8 + bytes;
    }
    *out = strings;
    *count = value->count;
    return TR_OK;
}

enum tr_status tr_gguf_int_array(const struct tr_gguf *file, const char *key, enum tr_need need,
                                 const struct tr_gguf_value **out, struct tr_err *err)
{
    const struct tr_gguf_value *value;
    enum tr_status status = find(file, key, need, &value, err);
    if (status != TR_OK || !value)
        return status;
    if (value->kind != TR_GGUF_ARRAY || !is_int(value->item))
        return fail_kind(file, value, "an array of whole numbers", err);
    *out = value;
    return TR_OK;
}

int64_t tr_gguf_item_int(const struct tr_gguf_value *array, int64_t index)
{
    TR_ASSERT(array->kind == TR_GGUF_ARRAY && is_int(array->item) && index >= 0 && index < array->count);
    return load_int(array->at + index * kinds[array->item].bytes, array->item);
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static void put(struct tr_text *out, uint64_t value, int bytes)
{
    uint8_t little[8];
    for (int i = 0; i < bytes; i++)
        little[i] = (uint8_t)(value >> (8 * i));
    tr_text_append_bytes(out, little, (size_t)bytes);
}

static void put_key(struct tr_text *out, const char *key, enum tr_gguf_kind kind)
{
    enum { COUNT_AT = MAGIC_BYTES + 4 + 8 };
    for (size_t i = COUNT_AT; i < COUNT_AT + 8 && i < out->len && (uint8_t)++out->at[i] == 0; i++)
        ; /* carries */
    tr_gguf_put_item_string(out, key, strlen(key));
    put(out, kind, 4);
}

void tr_gguf_put_start(struct tr_text *out, int64_t tensor_count)
{
    TR_ASSERT(out->len == 0);
    tr_text_append(out, "GGUF");
    put(out, VERSION_MAX, 4);
    put(out, (uint64_t)tensor_count, 8);
    put(out, 0, 8);
}

void tr_gguf_put_u32(struct tr_text *out, const char *key, uint32_t value)
{
    put_key(out, key, TR_GGUF_U32);
    put(out, value, 4);
}

void tr_gguf_put_f32(struct tr_text *out, const char *key, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_key(out, key, TR_GGUF_F32);
    put(out, bits, 4);
}

void tr_gguf_put_bool(struct tr_text *out, const char *key, bool value)
{
    put_key(out, key, TR_GGUF_BOOL);
    put(out, value, 1);
}

void tr_gguf_put_string(struct tr_text *out, const char *key, const char *value, size_t bytes)
{
    put_key(out, key, TR_GGUF_STRING);
    tr_gguf_put_item_string(out, value, bytes);
}

void tr_gguf_put_array(struct tr_text *out, const char *key, enum tr_gguf_kind item, int64_t count)
{
    put_key(out, key, TR_GGUF_ARRAY);
    put(out, item, 4);
    put(out, (uint64_t)count, 8);
}

void tr_gguf_put_item_string(struct tr_text *out, const char *value, size_t bytes)
{
    put(out, bytes, 8);
    tr_text_append_bytes(out, value, bytes);
}

void tr_gguf_put_item_i32(struct tr_text *out, int32_t value) { put(out, (uint32_t)value, 4); }

static uint32_t type_number(enum tr_element element)
{
    for (int i = 0; i < TYPE_COUNT; i++)
        if (types[i].element == element)
            return types[i].number;
    TR_ASSERT(!"a type that GGUF does not have");
    return 0;
}

void tr_gguf_put_tensors(struct tr_text *out, struct tr_gguf_tensor *tensors, int64_t count)
{
    int64_t at = 0;
    for (int64_t i = 0; i < count; i++) {
        const struct tr_gguf_tensor *t = &tensors[i];
        tr_gguf_put_item_string(out, t->name, strlen(t->name));
        put(out, (uint64_t)t->rank, 4);
        for (int d = t->rank - 1; d >= 0; d--)
            put(out, (uint64_t)t->dim[d], 8);
        put(out, type_number(t->type), 4);
        put(out, (uint64_t)at, 8);
        at = tr_round_up(at + t->bytes, TR_GGUF_ALIGN);
    }
    while (out->len % TR_GGUF_ALIGN && !out->failed)
        tr_text_char(out, 0);
    at = (int64_t)out->len;
    for (int64_t i = 0; i < count; i++) {
        tensors[i].begin = at;
        at = tr_round_up(at + tensors[i].bytes, TR_GGUF_ALIGN);
    }
}
