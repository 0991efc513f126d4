/* Conversations become rows of tokens: internal to lab/data (read.h). */
#include "base/num.h"
#include "lab/data/read.h"
#include "lab/data/talk.h"

#include <stdlib.h>
#include <string.h>

/* Conversations one behind the other, as they were read. */
struct talks {
    int32_t *ids;      /* [count] */
    uint8_t *marks;    /* [count] TR_MARK_... */
    int64_t count, room;
    int64_t *end;      /* [talk_count] in ids */
    int64_t talk_count, talk_room;
};

struct reading {
    struct tr_data *data;
    struct tr_talk talk;
    struct tr_sha256 sum;
    struct talks talks;
};

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static enum tr_status grow(void **at, int64_t *room, int64_t need, size_t size, struct tr_err *err)
{
    int64_t more = tr_max_i64(*room, 1024);
    while (more < need)
        more += more / 2;
    if (more == *room)
        return TR_OK;
    void *larger = realloc(*at, (size_t)more * size);
    if (!larger)
        return tr_fail(err, TR_FAILED, "out of memory for the tokens of the conversations");
    *at = larger;
    *room = more;
    return TR_OK;
}

/* A conversation that is longer than a row keeps its beginning. */
static enum tr_status keep(struct reading *r, struct tr_err *err)
{
    struct talks *t = &r->talks;
    int64_t count = tr_min_i64(r->talk.tokens.ids.count, r->data->seq_len), mark_room = t->room;
    enum tr_status status = grow((void **)&t->ids, &t->room, t->count + count, sizeof *t->ids, err);
    if (status == TR_OK)
        status = grow((void **)&t->marks, &mark_room, t->count + count, sizeof *t->marks, err);
    if (status == TR_OK)
        status = grow((void **)&t->end, &t->talk_room, t->talk_count + 1, sizeof *t->end, err);
    if (status != TR_OK)
        return status;
    for (int64_t i = 0; i < count; i++, t->count++) {
        t->ids[t->count] = r->talk.tokens.ids.at[i];
        t->marks[t->count] = (uint8_t)((r->talk.tokens.learned[i] ? TR_MARK_LEARNED : 0) | (i == 0 ? TR_MARK_BEGIN : 0));
    }
    t->end[t->talk_count++] = t->count;
    r->data->cut_count += count < r->talk.tokens.ids.count;
    return TR_OK;
}

static enum tr_status read_file(struct reading *r, const struct tr_source_file *file, struct tr_err *err)
{
    const struct tr_text *text = &r->talk.text.text;
    enum tr_status status = tr_talk_start(&r->talk, file, err);
    while (status == TR_OK && (status = tr_talk_next(&r->talk, err)) == TR_OK) {
        tr_data_sum_file(&r->sum, tr_text_str(text), (int64_t)text->len);
        r->data->byte_count += (int64_t)text->len;
        r->data->document_count++;
        status = keep(r, err);
    }
    return status == TR_NO ? TR_OK : status;
}

/* ---- packing ----------------------------------------------------------------------------------------------------- */

/* Rows of `length` tokens, filled with whole conversations: the longest first, each where it leaves the least room (best
 * fit, decreasing: Ding and others 2024, arXiv 2404.10830). Which row that is depends on lengths and order alone. */
struct packing {
    int64_t length;
    int64_t row_count;
    int64_t *used;     /* [talks] of a row */
    int64_t *next;     /* [talks] the row before it with as much room; -1: none */
    int64_t *newest;   /* [length + 1] the newest row with so much room; -1: none */
    uint64_t *any;     /* [length / 64 + 1] a bit for each room that some row has */
};

struct piece {
    int64_t begin, count; /* in the talks' ids */
    int64_t index;
};

static int longest_first(const void *a, const void *b)
{
    const struct piece *x = a, *y = b;
    if (x->count != y->count)
        return x->count < y->count ? 1 : -1;
    return x->index < y->index ? -1 : 1;
}

/* The least room of at least `need` that a row has; -1: none. */
static int64_t least_room(const struct packing *p, int64_t need)
{
    for (int64_t word = need / 64; word <= p->length / 64; word++) {
        uint64_t bits = p->any[word];
        if (word == need / 64)
            bits &= ~UINT64_C(0) << (need % 64);
        if (bits)
            return 64 * word + __builtin_ctzll(bits);
    }
    return -1;
}

static void set_room(struct packing *p, int64_t row, int64_t room)
{
    p->next[row] = p->newest[room];
    p->newest[room] = row;
    p->any[room / 64] |= UINT64_C(1) << (room % 64);
}

/* Takes the newest row with the least room that is enough, or a new one; returns where in the stream the piece goes. */
static int64_t place(struct packing *p, int64_t count)
{
    int64_t room = least_room(p, count), row = p->row_count;
    if (room >= 0) {
        row = p->newest[room];
        p->newest[room] = p->next[row];
        if (p->newest[room] < 0)
            p->any[room / 64] &= ~(UINT64_C(1) << (room % 64));
    } else {
        p->used[row] = 0;
        p->row_count++;
    }
    int64_t at = row * p->length + p->used[row];
    p->used[row] += count;
    set_room(p, row, p->length - p->used[row]);
    return at;
}

static enum tr_status packing_make(struct packing *p, int64_t talks, int64_t length, struct tr_err *err)
{
    *p = (struct packing){.length = length};
    p->used = malloc((size_t)tr_max_i64(talks, 1) * sizeof *p->used);
    p->next = malloc((size_t)tr_max_i64(talks, 1) * sizeof *p->next);
    p->newest = malloc((size_t)(length + 1) * sizeof *p->newest);
    p->any = calloc((size_t)(length / 64 + 1), sizeof *p->any);
    if (!p->used || !p->next || !p->newest || !p->any)
        return tr_fail(err, TR_FAILED, "out of memory for %lld conversations", (long long)talks);
    for (int64_t i = 0; i <= length; i++)
        p->newest[i] = -1;
    return TR_OK;
}

static void packing_free(struct packing *p)
{
    free(p->used);
    free(p->next);
    free(p->newest);
    free(p->any);
}

/* Where conversations [first, last) go: at[i] in a stream that begins at 0. Returns the rows it has in *rows. */
static enum tr_status pack(const struct talks *t, int64_t first, int64_t last, int64_t length, int64_t *at, int64_t *rows,
                           struct tr_err *err)
{
    struct packing p;
    enum tr_status status = packing_make(&p, last - first, length, err);
    struct piece *pieces = malloc((size_t)tr_max_i64(last - first, 1) * sizeof *pieces);
    if (status == TR_OK && !pieces)
        status = tr_fail(err, TR_FAILED, "out of memory for %lld conversations", (long long)(last - first));
    for (int64_t i = first; i < last && status == TR_OK; i++) {
        int64_t begin = i > 0 ? t->end[i - 1] : 0;
        pieces[i - first] = (struct piece){.begin = begin, .count = t->end[i] - begin, .index = i};
    }
    if (status == TR_OK) {
        qsort(pieces, (size_t)(last - first), sizeof *pieces, longest_first);
        for (int64_t i = 0; i < last - first; i++)
            at[pieces[i].index] = place(&p, pieces[i].count);
        *rows = p.row_count;
    }
    free(pieces);
    packing_free(&p);
    return status;
}

static void put_token(struct tr_data *data, int64_t at, int32_t id)
{
    if (data->width == 2)
        ((uint16_t *)data->slab.at)[at] = (uint16_t)id;
    else
        ((uint32_t *)data->slab.at)[at] = (uint32_t)id;
}

/* The rest of a row is a document of token 0, of which nothing is learned; the slab is zeros. */
static void lay_out(struct tr_data *data, const struct talks *t, const int64_t *at, int64_t first, int64_t last,
                    int64_t base, uint8_t *marks)
{
    for (int64_t i = first; i < last; i++) {
        int64_t begin = i > 0 ? t->end[i - 1] : 0, count = t->end[i] - begin;
        for (int64_t k = 0; k < count; k++)
            put_token(data, base + at[i] + k, t->ids[begin + k]);
        memcpy(marks + base + at[i], t->marks + begin, (size_t)count);
        int64_t end = base + at[i] + count;
        if (marks[end] == 0)
            marks[end] = TR_MARK_BEGIN; /* of the rest, unless another conversation begins there */
    }
}

/* The last conversations are for validation. */
static enum tr_status pack_all(struct tr_data *data, const struct tr_data_config *config, const struct talks *t,
                               struct tr_err *err)
{
    int64_t talks = t->talk_count, train_rows = 0, val_rows = 0;
    int64_t train = config->only_val ? 0 : talks - (int64_t)(config->val_fraction * (double)talks);
    int64_t *at = malloc((size_t)talks * sizeof *at);
    enum tr_status status = at ? TR_OK : tr_fail(err, TR_FAILED, "out of memory for %lld conversations", (long long)talks);
    if (status == TR_OK && !config->only_val && (train == 0 || (config->val_fraction > 0 && train == talks)))
        status = tr_fail(err, TR_BAD_INPUT, "%s: too small: of %lld conversations %lld are for training and %lld for "
                         "validation: use more, or another data.val_fraction", config->path, (long long)talks,
                         (long long)train, (long long)(talks - train));
    if (status == TR_OK)
        status = pack(t, 0, train, data->seq_len, at, &train_rows, err);
    if (status == TR_OK)
        status = pack(t, train, talks, data->seq_len, at, &val_rows, err);
    int64_t count = (train_rows + val_rows) * data->seq_len + 1; /* the last row's last target is a token too */
    if (status == TR_OK)
        status = tr_slab_map(count * (data->width + 1), &data->slab, err);
    if (status == TR_OK) {
        uint8_t *marks = (uint8_t *)data->slab.at + count * data->width;
        lay_out(data, t, at, 0, train, 0, marks);
        lay_out(data, t, at, train, talks, train_rows * data->seq_len, marks);
        data->tokens = data->slab.at;
        data->marks = marks;
        data->token_count = count;
        data->train_windows = train_rows;
        data->train_tokens = train_rows * data->seq_len;
        data->val_tokens = count - data->train_tokens;
        for (int64_t i = 0; i < count; i++)
            data->learned_count += marks[i] & TR_MARK_LEARNED;
        data->talk_tokens = t->count;
    }
    free(at);
    return status;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static void reading_free(struct reading *r)
{
    tr_talk_close(&r->talk);
    tr_sha256_drop(&r->sum);
    free(r->talks.ids);
    free(r->talks.marks);
    free(r->talks.end);
}

enum tr_status tr_data_read_talks(struct tr_data *data, const struct tr_data_config *config,
                                  const struct tr_source *source, struct tr_err *err)
{
    struct reading r = {.data = data};
    enum tr_status status = tr_talk_open(&r.talk, config->chat, config->token, err);
    if (status == TR_OK)
        status = tr_data_describe(data, config->token, err);
    if (status == TR_OK)
        status = tr_sha256_start(&r.sum, err);
    for (int64_t i = 0; i < source->count && status == TR_OK; i++)
        status = read_file(&r, &source->file[i], err);
    if (status == TR_OK && r.talks.talk_count == 0)
        status = tr_fail(err, TR_BAD_INPUT, "%s: holds no conversation", config->path);
    if (status == TR_OK)
        status = pack_all(data, config, &r.talks, err);
    if (status == TR_OK) {
        data->end = -1;
        tr_data_finish_sum(data, &r.sum, config->token);
    }
    reading_free(&r);
    return status;
}

enum tr_status tr_data_is_chat(const char *path, bool *out, struct tr_err *err)
{
    struct tr_source source;
    struct tr_jsonl lines = {.fd = -1};
    const char *line;
    size_t bytes;
    *out = false;
    enum tr_status status = tr_source_find(&source, path, err);
    if (status == TR_OK && !source.shards && tr_jsonl_is_name(source.file[0].path)) {
        status = tr_jsonl_open(&lines, source.file[0].path, source.file[0].bytes, err);
        if (status == TR_OK)
            status = tr_jsonl_next(&lines, &line, &bytes, err);
        if (status == TR_OK)
            *out = tr_jsonl_is_talk(line, bytes);
        tr_jsonl_close(&lines);
    }
    tr_source_free(&source);
    return status == TR_NO ? TR_OK : status;
}
