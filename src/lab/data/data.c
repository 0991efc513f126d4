#include "lab/data/data.h"

#include "base/memory.h"
#include "base/num.h"
#include "base/quantity.h"
#include "base/rng.h"
#include "lab/data/document.h"
#include "lab/data/read.h"
#include "lab/data/shard.h"
#include "lab/data/source.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DATA_ARENA_MAX_BYTES ((int64_t)1 << 28)

__extension__ typedef unsigned __int128 tr_u128;

/* Only a constant, but libm's M_LN2 is not ISO C: ln 2 to double. */
#define LN2 0x1.62e42fefa39efp-1

static enum tr_status check_memory(int64_t bytes, struct tr_err *err)
{
    struct tr_memory memory;
    char have[TR_MEMORY_WORDS_BYTES], need[TR_QUANTITY_BYTES];
    tr_memory_read("", &memory);
    if (bytes <= memory.free_bytes)
        return TR_OK;
    return tr_fail(err, TR_NO, "the data are %s, and %s: train on a part of them", tr_print_bytes(need, bytes), tr_memory_words(&memory, have));
}

/* One more document, whose bytes end at data->byte_count. */
static enum tr_status end_document(struct tr_data *data, int64_t *room, struct tr_err *err)
{
    if (data->document_count == *room) {
        int64_t more = *room ? 2 * *room : 64;
        int64_t *end = realloc(data->document_end, (size_t)more * sizeof *end);
        if (!end)
            return tr_fail(err, TR_FAILED, "out of memory for the ends of %lld documents", (long long)more);
        data->document_end = end;
        *room = more;
    }
    data->document_end[data->document_count++] = data->byte_count;
    return TR_OK;
}

/* The documents of a file go behind those that are there: a text file is read in place. */
static enum tr_status read_file(struct tr_data *data, const struct tr_source_file *file, struct tr_document *document,
                                struct tr_sha256 *sum, int64_t *room, struct tr_err *err)
{
    uint8_t *slab = data->slab.at;
    enum tr_status status;
    if (!tr_jsonl_is_name(file->path)) {
        if ((status = tr_source_read_text(file, document->encoding, slab + data->byte_count, err)) != TR_OK)
            return status;
        tr_data_sum_file(sum, slab + data->byte_count, file->bytes);
        data->byte_count += file->bytes;
        return end_document(data, room, err);
    }
    status = tr_document_start(document, file, err);
    while (status == TR_OK && (status = tr_document_next(document, err)) == TR_OK) {
        /* A string has no more bytes than the JSON that spells it, so the slab, as large as the files, has the room. */
        TR_ASSERT(document->bytes <= data->slab.bytes - data->byte_count);
        memcpy(slab + data->byte_count, document->text, (size_t)document->bytes);
        tr_data_sum_file(sum, document->text, document->bytes);
        data->byte_count += document->bytes;
        status = end_document(data, room, err);
    }
    return status == TR_NO ? TR_OK : status;
}

static enum tr_status read_bytes(struct tr_data *data, const struct tr_source *source, enum tr_encoding encoding,
                                 struct tr_err *err)
{
    struct tr_sha256 sum;
    struct tr_document document = {.encoding = encoding};
    uint8_t digest[TR_SHA256_BYTES];
    int64_t room = 0;
    enum tr_status status = tr_slab_map(source->bytes, &data->slab, err);
    if (status != TR_OK || (status = tr_sha256_start(&sum, err)) != TR_OK)
        return status;
    for (int64_t i = 0; i < source->count && status == TR_OK; i++)
        status = read_file(data, &source->file[i], &document, &sum, &room, err);
    tr_document_close(&document);
    if (status != TR_OK) {
        tr_sha256_drop(&sum);
        return status;
    }
    tr_sha256_finish(&sum, digest);
    tr_sha256_hex(digest, data->sha256);
    data->bytes = data->slab.at;
    data->token_count = tr_max_i64(0, data->byte_count + data->document_count - 1);
    data->end = TR_TOKEN_END;
    return TR_OK;
}

static enum tr_status read_documents(struct tr_data *data, const struct tr_data_config *config,
                                     const struct tr_source *source, struct tr_err *err)
{
    enum tr_status status = check_memory(source->bytes, err);
    if (status != TR_OK)
        return status;
    if (config->chat)
        return tr_data_read_talks(data, config, source, err);
    if (source->shards && !config->token)
        return tr_fail(err, TR_BAD_INPUT, "%s: shards of tokens need the tokenizer that made them", config->path);
    if (source->shards)
        return tr_data_read_shards(data, config->token, source, err);
    status = config->token ? tr_data_read_text(data, config->token, source, config->encoding, err)
                           : read_bytes(data, source, config->encoding, err);
    if (status == TR_OK && data->document_count == 0)
        return tr_fail(err, TR_BAD_INPUT, "%s: no line of it has a text: training needs text", config->path);
    return status;
}

/* Document that holds token `token`, or whose end-of-text token it is. Document d's tokens are
 * [end[d-1] + d, end[d] + d), its end-of-text is end[d] + d. */
static int64_t document_of(const struct tr_data *data, int64_t token)
{
    int64_t low = 0, high = data->document_count - 1;
    while (low < high) {
        int64_t mid = low + (high - low) / 2;
        if (token <= data->document_end[mid] + mid)
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

void tr_data_tokens(const struct tr_data *data, int64_t first, int64_t count, int32_t *tokens)
{
    TR_ASSERT(first >= 0 && count >= 0 && first + count <= data->token_count);
    if (data->tokens) {
        for (int64_t i = 0; i < count; i++)
            tokens[i] = tr_shard_token(data->tokens, data->width, first + i);
        return;
    }
    if (count == 0)
        return;
    int64_t document = document_of(data, first), done = 0;
    while (done < count) {
        int64_t byte = first + done - document;
        int64_t run = tr_min_i64(count - done, data->document_end[document] - byte);
        for (int64_t i = 0; i < run; i++)
            tokens[done + i] = data->bytes[byte + i];
        done += run;
        if (done < count) {
            tokens[done++] = TR_TOKEN_END;
            document++;
        }
    }
}

static bool ends_line(const struct tr_data *data, int64_t token)
{
    int32_t value;
    tr_data_tokens(data, token, 1, &value);
    if (data->tokens)
        return value == data->end || data->about[value].ends_line;
    return value == '\n' || value == TR_TOKEN_END;
}

static int64_t find_cut(const struct tr_data *data, double val_fraction)
{
    int64_t wanted = data->token_count - (int64_t)(val_fraction * (double)data->token_count);
    if (val_fraction == 0)
        return data->token_count;
    int64_t lowest = tr_max_i64(wanted - TR_DATA_CUT_SEARCH_BYTES, 1);
    for (int64_t cut = wanted; cut >= lowest; cut--)
        if (ends_line(data, cut - 1))
            return cut;
    return wanted;
}

static enum tr_status check_train(const struct tr_data *data, const struct tr_data_config *config, struct tr_err *err)
{
    int64_t length = config->seq_len;
    if (data->train_tokens < length + 1)
        return tr_fail(err, TR_BAD_INPUT,
                       "%s: too small: %lld tokens, of which %lld are for training; one window of data.seq_len %lld "
                       "needs %lld: use more text or a smaller data.seq_len",
                       config->path, (long long)data->token_count, (long long)data->train_tokens, (long long)length,
                       (long long)length + 1);
    if (config->val_fraction > 0 && data->val_tokens < 2)
        return tr_fail(err, TR_BAD_INPUT,
                       "%s: too small: %lld tokens leave %lld for validation, which needs at least 2: use more text, "
                       "or data.val_fraction 0",
                       config->path, (long long)data->token_count, (long long)data->val_tokens);
    return TR_OK;
}

static void count_val_windows(struct tr_data *data, int64_t at_most)
{
    data->val_windows_all = data->val_tokens > 1;
    if (data->val_tokens - 1 > data->seq_len)
        data->val_windows_all += tr_ceil_div(data->val_tokens - 1 - data->seq_len, data->val_stride);
    data->val_windows = at_most > 0 ? tr_min_i64(at_most, data->val_windows_all) : data->val_windows_all;
}

static enum tr_status split(struct tr_data *data, const struct tr_data_config *config, struct tr_err *err)
{
    int64_t length = config->seq_len;
    if (data->marks) { /* packed apart */
        count_val_windows(data, config->val_windows);
        return TR_OK;
    }
    data->train_tokens = config->only_val ? 0 : find_cut(data, config->val_fraction);
    data->val_tokens = data->token_count - data->train_tokens;
    if (config->only_val && data->val_tokens < 2)
        return tr_fail(err, TR_BAD_INPUT, "%s: too small: one token has to follow another to be predicted, and there is %s",
                       config->path, data->val_tokens == 1 ? "only one" : "none");
    enum tr_status status = config->only_val ? TR_OK : check_train(data, config, err);
    if (status != TR_OK)
        return status;
    data->train_windows = config->only_val ? 0 : tr_max_i64(1, (data->train_tokens - 1) / length - 1);
    count_val_windows(data, config->val_windows);
    return TR_OK;
}

enum tr_status tr_data_open(struct tr_data *data, const struct tr_data_config *config, struct tr_err *err)
{
    TR_ASSERT(config->seq_len > 0 && config->batch > 0 && config->val_fraction >= 0 && config->val_fraction <= 0.9);
    TR_ASSERT(config->val_stride >= 0 && config->val_stride <= config->seq_len);
    TR_ASSERT(!config->chat || (config->token && (config->val_stride == 0 || config->val_stride == config->seq_len)));
    struct tr_data new = {.seq_len = config->seq_len, .batch = config->batch, .seed = config->seed,
                          .apart = config->apart || config->chat};
    new.val_stride = config->val_stride ? config->val_stride : config->seq_len;
    tr_arena_init(&new.arena, "data", DATA_ARENA_MAX_BYTES);
    struct tr_source source;
    enum tr_status status = tr_source_find(&source, config->path, err);
    if (status == TR_OK)
        status = read_documents(&new, config, &source, err);
    if (status == TR_OK)
        status = split(&new, config, err);
    tr_source_free(&source);
    if (status != TR_OK) {
        tr_data_close(&new);
        return status;
    }
    *data = new;
    return TR_OK;
}

void tr_data_close(struct tr_data *data)
{
    tr_slab_unmap(&data->slab);
    tr_arena_free(&data->arena);
    free(data->document_end);
    *data = (struct tr_data){0};
}

enum tr_status tr_data_measure(const char *path, int64_t *bytes, struct tr_err *err)
{
    struct tr_source source;
    enum tr_status status = tr_source_find(&source, path, err);
    if (status == TR_OK)
        *bytes = source.bytes;
    tr_source_free(&source);
    return status;
}

int64_t tr_data_window(const struct tr_data *data, int64_t step, int64_t row)
{
    TR_ASSERT(step >= 0 && row >= 0 && row < data->batch && data->train_windows > 0);
    uint64_t windows = (uint64_t)data->train_windows;
    uint64_t sample = (uint64_t)step * (uint64_t)data->batch + (uint64_t)row;
    uint64_t epoch = sample / windows;
    uint64_t shifts = (uint64_t)(data->train_tokens - data->train_windows * data->seq_len);
    uint64_t shift = data->marks ? 0 : tr_rng_below(tr_rng_key(data->seed, "data shift", epoch), 0, shifts);
    uint64_t window = tr_permute(sample % windows, windows, tr_rng_key(data->seed, "data order", epoch));
    return (int64_t)(shift + window * (uint64_t)data->seq_len);
}

/* Of conversations, whose tokens are marked: where they begin in a row, and what is no target. Returns how many were. */
static int64_t set_apart_marked(const uint8_t *marks, int64_t count, int32_t *targets, int32_t *starts)
{
    int32_t start = 0;
    int64_t taken = 0;
    for (int64_t i = 0; i < count; i++) {
        if (marks[i] & TR_MARK_BEGIN)
            start = (int32_t)i;
        starts[i] = start;
        if (marks[i + 1] & TR_MARK_LEARNED)
            continue;
        taken += targets[i] >= 0;
        targets[i] = -1;
    }
    return taken;
}

/* Where documents begin in a row of `count` tokens, the first of which is token `begin`; the token that ends one has no
 * target. Returns how many it had. */
static int64_t set_apart(const struct tr_data *data, int64_t begin, int64_t count, const int32_t *tokens,
                         int32_t *targets, int32_t *starts)
{
    int32_t start = 0;
    int64_t taken = 0;
    if (data->marks)
        return set_apart_marked(data->marks + begin, count, targets, starts);
    for (int64_t i = 0; i < count; i++) {
        starts[i] = start;
        if (tokens[i] != data->end)
            continue;
        start = (int32_t)i + 1;
        taken += targets[i] >= 0;
        targets[i] = -1;
    }
    return taken;
}

int64_t tr_data_batch(const struct tr_data *data, int64_t step, int64_t first, int64_t count, int32_t *tokens,
                      int32_t *targets, int32_t *starts)
{
    TR_ASSERT(data->apart == (starts != NULL));
    int64_t length = data->seq_len, target_count = count * length;
    for (int64_t at = 0; at < count * length; at += length) {
        int64_t begin = tr_data_window(data, step, first + at / length);
        tr_data_tokens(data, begin, length, tokens + at);
        tr_data_tokens(data, begin + 1, length, targets + at);
        if (starts)
            target_count -= set_apart(data, begin, length, tokens + at, targets + at, starts + at);
    }
    return target_count;
}

/* Which of all validation windows the evaluation's window `index` is: spread evenly, the first one always in. */
static int64_t val_window(const struct tr_data *data, int64_t index)
{
    return (int64_t)((tr_u128)index * (tr_u128)data->val_windows_all / (tr_u128)data->val_windows);
}

/* Tokens and targets of a validation window; those that the window before has predicted are no targets. Returns how
 * many tokens it has. */
static int64_t read_val_window(const struct tr_data *data, int64_t window, int32_t *tokens, int32_t *targets)
{
    int64_t begin = data->train_tokens + window * data->val_stride;
    int64_t here = tr_min_i64(data->seq_len, data->token_count - 1 - begin);
    tr_data_tokens(data, begin, here, tokens);
    tr_data_tokens(data, begin + 1, here, targets);
    for (int64_t i = 0; window > 0 && i < data->seq_len - data->val_stride; i++)
        targets[i] = -1;
    return here;
}

struct tr_val_count tr_data_val_batch(const struct tr_data *data, int64_t first, int64_t count, int32_t *tokens,
                                      int32_t *targets, int32_t *starts)
{
    TR_ASSERT(data->apart == (starts != NULL));
    struct tr_val_count total = {0};
    int64_t length = data->seq_len;
    for (int64_t row = 0; row < count; row++) {
        int32_t *row_tokens = tokens + row * length, *row_targets = targets + row * length;
        int64_t here = 0, window = 0;
        if (first + row < data->val_windows) {
            window = val_window(data, first + row);
            here = read_val_window(data, window, row_tokens, row_targets);
        }
        if (starts)
            set_apart(data, data->train_tokens + window * data->val_stride, here, row_tokens, row_targets, starts + row * length);
        for (int64_t i = 0; i < here; i++) {
            if (row_targets[i] < 0)
                continue;
            total.bytes += data->tokens ? data->about[row_targets[i]].bytes : row_targets[i] != TR_TOKEN_END;
            total.targets++;
        }
        for (int64_t i = here; i < length; i++) {
            row_tokens[i] = 0;
            row_targets[i] = -1;
            if (starts)
                starts[row * length + i] = (int32_t)i;
        }
    }
    return total;
}

double tr_bits_per_byte(double nats, int64_t bytes) { return bytes > 0 ? nats / LN2 / (double)bytes : NAN; }
