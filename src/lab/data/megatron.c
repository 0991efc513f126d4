#include "lab/data/megatron.h"

#include "base/num.h"
#include "base/os.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char magic[9] = {'M', 'M', 'I', 'D', 'I', 'D', 'X', 0, 0};
enum { AT_VERSION = 9, AT_KIND = 17, AT_SEQUENCES = 18, AT_DOCUMENTS = 26 };
enum { READ_BYTES = 4 << 20 };

static const struct {
    int width; /* 0: tokens cannot be that */
    bool is_signed;
} kinds[] = {[1] = {1, false}, [2] = {1, true}, [3] = {2, true}, [4] = {4, true}, [5] = {8, true}, [8] = {2, false}};
enum { KIND_COUNT = sizeof kinds / sizeof *kinds };

/* Two's complement, as numpy writes it. */
static int64_t get_signed(const uint8_t *at, int bytes)
{
    uint64_t value = tr_get_le(at, bytes), top = UINT64_C(1) << (8 * bytes - 1);
    return (int64_t)((value ^ top) - top);
}

/* ---- the index --------------------------------------------------------------------------------------------------- */

static enum tr_status check_sizes(const char *path, const struct tr_megatron *m, int64_t count, int64_t bin_bytes,
                                  struct tr_err *err)
{
    int64_t wanted = TR_MEGATRON_HEADER_BYTES + 12 * m->sequences + 8 * (m->documents + 1);
    if (count == wanted + m->sequences && m->sequences > 0)
        return tr_fail(err, TR_BAD_INPUT, "%s: has modes of sequences: multimodal data cannot be read", path);
    if (count != wanted)
        return tr_fail(err, TR_BAD_INPUT, "%s: %lld bytes; its header says %lld sequences and %lld documents, which makes "
                       "%lld: the file was cut off or added to", path, (long long)count, (long long)m->sequences,
                       (long long)m->documents, (long long)wanted);
    if (bin_bytes % m->width != 0)
        return tr_fail(err, TR_BAD_INPUT, "%s: the .bin beside it has %lld bytes, which are no tokens of %d bytes", path,
                       (long long)bin_bytes, m->width);
    return TR_OK;
}

enum tr_status tr_megatron_parse_header(const char *path, const void *bytes, int64_t count, int64_t bin_bytes,
                                        struct tr_megatron *out, struct tr_err *err)
{
    const uint8_t *at = bytes;
    if (count < TR_MEGATRON_HEADER_BYTES)
        return tr_fail(err, TR_BAD_INPUT, "%s: %lld bytes; an index of Megatron begins with a header of %d", path,
                       (long long)count, TR_MEGATRON_HEADER_BYTES);
    if (memcmp(at, magic, sizeof magic) != 0)
        return tr_fail(err, TR_BAD_INPUT, "%s: is no index of Megatron: it does not begin with \"MMIDIDX\"", path);
    if (tr_get_le(at + AT_VERSION, 8) != 1)
        return tr_fail(err, TR_BAD_INPUT, "%s: offset %d: version %llu; this program reads 1", path, AT_VERSION,
                       (unsigned long long)tr_get_le(at + AT_VERSION, 8));
    int kind = at[AT_KIND];
    if (kind >= KIND_COUNT || kinds[kind].width == 0)
        return tr_fail(err, TR_BAD_INPUT, "%s: offset %d: data of type %d; tokens are of type 1 (uint8), 2 (int8), 3 (int16), "
                       "4 (int32), 5 (int64) or 8 (uint16)", path, AT_KIND, kind);
    uint64_t sequences = tr_get_le(at + AT_SEQUENCES, 8), documents = tr_get_le(at + AT_DOCUMENTS, 8);
    if (sequences < 1 || documents < 2)
        return tr_fail(err, TR_BAD_INPUT, "%s: offset %d: %llu sequences, %llu borders of documents; expected at least 1 and 2",
                       path, AT_SEQUENCES, (unsigned long long)sequences, (unsigned long long)documents);
    if (sequences > (uint64_t)count / 12 || documents > (uint64_t)count / 8)
        return tr_fail(err, TR_BAD_INPUT, "%s: offset %d: %llu sequences, %llu borders of documents, for which %lld bytes have "
                       "no room: the file was cut off, or says what is not so", path, AT_SEQUENCES,
                       (unsigned long long)sequences, (unsigned long long)documents, (long long)count);
    struct tr_megatron m = {.kind = kind, .width = kinds[kind].width, .sequences = (int64_t)sequences,
                            .documents = (int64_t)documents - 1};
    enum tr_status status = check_sizes(path, &m, count, bin_bytes, err);
    m.tokens = bin_bytes / m.width;
    if (status == TR_OK)
        *out = m;
    return status;
}

/* Sequences stand one behind the other and fill the .bin: so nothing is outside, and nothing is read twice. */
static enum tr_status check_sequences(const char *path, const struct tr_megatron *m, const uint8_t *length,
                                      int64_t bin_bytes, struct tr_err *err)
{
    int64_t end = 0;
    for (int64_t i = 0; i < m->sequences; i++) {
        int64_t tokens = get_signed(length + 4 * i, 4), begin = get_signed(m->begin + 8 * i, 8);
        if (tokens < 0 || tokens > (bin_bytes - end) / m->width)
            return tr_fail(err, TR_BAD_INPUT, "%s: sequence %lld has %lld tokens of %d bytes from offset %lld of the .bin on, "
                           "which has %lld bytes", path, (long long)i, (long long)tokens, m->width, (long long)end,
                           (long long)bin_bytes);
        if (begin != end)
            return tr_fail(err, TR_BAD_INPUT, "%s: sequence %lld begins at offset %lld of the .bin, and the one before ends "
                           "at %lld", path, (long long)i, (long long)begin, (long long)end);
        end += tokens * m->width;
    }
    if (end == bin_bytes)
        return TR_OK;
    return tr_fail(err, TR_BAD_INPUT, "%s: its sequences end at offset %lld of the .bin, which has %lld bytes: they do not "
                   "belong together", path, (long long)end, (long long)bin_bytes);
}

static enum tr_status check_documents(const char *path, const struct tr_megatron *m, struct tr_err *err)
{
    int64_t before = 0;
    for (int64_t i = 0; i <= m->documents; i++) {
        int64_t sequence = get_signed(m->document + 8 * i, 8);
        if (sequence < before || sequence > m->sequences || (i == 0 && sequence != 0) ||
            (i == m->documents && sequence != m->sequences))
            return tr_fail(err, TR_BAD_INPUT, "%s: border %lld of %lld between documents is at sequence %lld; they go from "
                           "0 to %lld and never back", path, (long long)i, (long long)m->documents + 1,
                           (long long)sequence, (long long)m->sequences);
        before = sequence;
    }
    return TR_OK;
}

enum tr_status tr_megatron_parse(const char *path, const void *bytes, size_t count, int64_t bin_bytes,
                                 struct tr_megatron *out, struct tr_err *err)
{
    struct tr_megatron m;
    enum tr_status status = tr_megatron_parse_header(path, bytes, (int64_t)count, bin_bytes, &m, err);
    if (status != TR_OK)
        return status;
    const uint8_t *length = (const uint8_t *)bytes + TR_MEGATRON_HEADER_BYTES;
    m.begin = length + 4 * m.sequences;
    m.document = m.begin + 8 * m.sequences;
    status = check_sequences(path, &m, length, bin_bytes, err);
    if (status == TR_OK)
        status = check_documents(path, &m, err);
    if (status == TR_OK)
        *out = m;
    return status;
}

int64_t tr_megatron_document_end(const struct tr_megatron *m, int64_t document)
{
    int64_t sequence = get_signed(m->document + 8 * (document + 1), 8);
    return sequence == m->sequences ? m->tokens : get_signed(m->begin + 8 * sequence, 8) / m->width;
}

/* ---- its tokens -------------------------------------------------------------------------------------------------- */

/* NAME.bin of NAME.idx. */
static void bin_of(const char *path, char out[TR_PATH_BYTES])
{
    size_t stem = strlen(path) - strlen(TR_SHARD_IDX_ENDING);
    snprintf(out, TR_PATH_BYTES, "%.*s%s", (int)stem, path, TR_SHARD_BIN_ENDING);
}

enum tr_status tr_megatron_read_header(const char *path, struct tr_shard *out, struct tr_err *err)
{
    uint8_t header[TR_MEGATRON_HEADER_BYTES];
    char bin[TR_PATH_BYTES];
    int64_t count, bin_bytes, got;
    struct tr_megatron m;
    bin_of(path, bin);
    enum tr_status status = tr_file_bytes(path, &count, err);
    if (status == TR_OK)
        status = tr_file_bytes(bin, &bin_bytes, err);
    if (status == TR_OK)
        status = tr_file_read_at(path, 0, header, sizeof header, &got, err);
    if (status == TR_OK)
        status = tr_megatron_parse_header(path, header, tr_min_i64(count, got < TR_MEGATRON_HEADER_BYTES ? got : count),
                                          bin_bytes, &m, err);
    if (status == TR_OK)
        *out = (struct tr_shard){.kind = TR_SHARD_MEGATRON, .tokens = m.tokens + m.documents, .end = -1};
    return status;
}

/* The stream that is written, and what is read for it. */
struct pass {
    const struct tr_megatron *index;
    const char *bin;
    struct tr_shard *shard;
    void *to;
    int64_t read, written; /* tokens */
    int64_t document;      /* in which `read` is */
    int64_t last;          /* token that was written; -1: a document begins */
};

static void put(struct pass *p, int64_t id)
{
    TR_ASSERT(p->written < p->shard->tokens);
    if (p->shard->width == 2)
        ((uint16_t *)p->to)[p->written++] = (uint16_t)id;
    else
        ((uint32_t *)p->to)[p->written++] = (uint32_t)id;
    p->last = id;
}

static void end_documents(struct pass *p)
{
    while (p->document < p->index->documents && tr_megatron_document_end(p->index, p->document) == p->read) {
        if (p->last >= 0 && p->last != p->shard->end && p->shard->end >= 0)
            put(p, p->shard->end);
        p->last = -1;
        p->document++;
    }
}

static enum tr_status take(struct pass *p, const uint8_t *at, int64_t count, struct tr_err *err)
{
    int width = p->index->width;
    bool is_signed = kinds[p->index->kind].is_signed;
    for (int64_t i = 0; i < count; i++, at += width) {
        int64_t id = is_signed ? get_signed(at, width) : (int64_t)tr_get_le(at, width);
        if (id < 0 || id >= p->shard->vocab)
            return tr_fail(err, TR_BAD_INPUT, "%s: offset %lld: token %lld; the vocabulary is 0 to %lld", p->bin,
                           (long long)(p->read * width), (long long)id, (long long)p->shard->vocab - 1);
        put(p, id);
        p->read++;
        end_documents(p);
    }
    return TR_OK;
}

static enum tr_status read_bin(struct pass *p, struct tr_err *err)
{
    uint8_t *buffer = malloc(READ_BYTES);
    int64_t total = p->index->tokens * p->index->width, got;
    enum tr_status status = buffer ? TR_OK : tr_fail(err, TR_FAILED, "out of memory for %d bytes", READ_BYTES);
    end_documents(p); /* empty ones */
    for (int64_t at = 0; at < total && status == TR_OK; at += READ_BYTES) {
        int64_t want = tr_min_i64(total - at, READ_BYTES);
        status = tr_file_read_at(p->bin, at, buffer, want, &got, err);
        if (status == TR_OK && got < want)
            status = tr_fail(err, TR_BAD_INPUT, "%s: ends after %lld of %lld bytes: it has become shorter", p->bin,
                             (long long)(at + got), (long long)total);
        if (status == TR_OK)
            status = take(p, buffer, want / p->index->width, err);
    }
    free(buffer);
    return status;
}

enum tr_status tr_megatron_read(const char *path, struct tr_shard *shard, void *to, struct tr_err *err)
{
    char bin[TR_PATH_BYTES];
    struct tr_bytes file;
    struct tr_megatron m;
    int64_t bin_bytes;
    bin_of(path, bin);
    enum tr_status status = tr_file_bytes(bin, &bin_bytes, err);
    if (status == TR_OK)
        status = tr_file_read(path, TR_MEGATRON_INDEX_MAX_BYTES, &file, err);
    if (status != TR_OK)
        return status;
    status = tr_megatron_parse(path, file.at, file.len, bin_bytes, &m, err);
    if (status == TR_OK && m.tokens + m.documents != shard->tokens)
        status = tr_fail(err, TR_BAD_INPUT, "%s: has changed while it was read", path);
    if (status == TR_OK && m.documents > 1 && shard->end < 0)
        status = tr_fail(err, TR_BAD_INPUT, "%s: has %lld documents, and the tokenizer no token to put between them, such as "
                         "<|endoftext|>", path, (long long)m.documents);
    struct pass pass = {.index = &m, .bin = bin, .shard = shard, .to = to, .last = -1};
    if (status == TR_OK)
        status = read_bin(&pass, err);
    tr_bytes_free(&file);
    if (status == TR_OK)
        shard->tokens = pass.written;
    return status;
}
