#include "lab/data/document.h"

#include "base/arena.h"

#include <stdlib.h>
#include <string.h>

enum tr_status tr_document_open(struct tr_document *document, const struct tr_token *token, bool needs_end,
                                struct tr_err *err)
{
    *document = (struct tr_document){.token = token, .end = tr_token_end_id(token), .needs_end = needs_end};
    return tr_encoder_make(token, &document->encoder, err);
}

void tr_document_close(struct tr_document *document)
{
    tr_encoder_free(document->encoder);
    tr_ids_free(&document->ids);
    tr_jsonl_close(&document->lines);
    tr_doc_free(document->line);
    free(document->buffer);
    *document = (struct tr_document){0};
}

enum tr_status tr_document_start(struct tr_document *document, const struct tr_source_file *file, struct tr_err *err)
{
    document->is_jsonl = tr_jsonl_is_name(file->path);
    if (document->is_jsonl) {
        tr_jsonl_close(&document->lines);
        return tr_jsonl_open(&document->lines, file->path, file->bytes, err);
    }
    if (file->bytes > document->room) {
        char *buffer = realloc(document->buffer, (size_t)file->bytes);
        if (!buffer)
            return tr_fail(err, TR_FAILED, "%s: out of memory for its %lld bytes", file->path, (long long)file->bytes);
        tr_memory_wish_huge(buffer, file->bytes);
        document->buffer = buffer;
        document->room = file->bytes;
    }
    document->file = file;
    return TR_OK;
}

static enum tr_status next_line(struct tr_document *document, struct tr_err *err)
{
    struct tr_string text = {0};
    do {
        const char *line;
        size_t bytes;
        tr_doc_free(document->line);
        document->line = NULL;
        enum tr_status status = tr_jsonl_next(&document->lines, &line, &bytes, err);
        if (status == TR_OK)
            status = tr_jsonl_parse(document->lines.path, document->lines.line, line, bytes, &document->line, &text, err);
        if (status != TR_OK)
            return status;
    } while (text.bytes == 0);
    document->text = text.at;
    document->bytes = text.bytes;
    return TR_OK;
}

static enum tr_status next_file(struct tr_document *document, struct tr_err *err)
{
    const struct tr_source_file *file = document->file;
    if (!file)
        return TR_NO;
    document->file = NULL;
    document->text = document->buffer;
    document->bytes = file->bytes;
    return tr_source_read_text(file, document->encoding, document->buffer, err);
}

enum tr_status tr_document_next(struct tr_document *document, struct tr_err *err)
{
    enum tr_status status = document->is_jsonl ? next_line(document, err) : next_file(document, err);
    if (status != TR_OK)
        return status;
    if (document->count++ > 0 && document->needs_end && document->end < 0)
        return tr_fail(err, TR_BAD_INPUT, "the tokenizer has no token to put between documents, such as <|endoftext|>: "
                       "join the files to one, or add such a token");
    return TR_OK;
}

enum tr_status tr_document_encode(struct tr_document *document, bool ended, tr_ids_sink *sink, void *context,
                                  struct tr_err *err)
{
    size_t at = 0, bytes = (size_t)document->bytes;
    enum tr_status status = TR_OK;
    do {
        size_t part = tr_token_part(document->token, document->text + at, bytes - at, TR_DOCUMENT_PART_BYTES);
        document->ids.count = 0;
        status = tr_encode(document->encoder, document->text + at, part, at == 0 ? TR_ENCODE_BEFORE : 0,
                           &document->ids, err);
        at += part;
        if (status == TR_OK && at == bytes && ended && document->end >= 0)
            status = tr_ids_add(&document->ids, (int32_t)document->end, err);
        if (status == TR_OK)
            status = sink(context, &document->ids, err);
    } while (status == TR_OK && at < bytes);
    return status;
}
