#include "lab/data/document.h"

#include <stdlib.h>
#include <string.h>

enum tr_status tr_document_open(struct tr_document *document, const struct tr_token *token, bool needs_end,
                                struct tr_err *err)
{
    *document = (struct tr_document){.token = token, .end = tr_token_end_id(token)};
    if (needs_end && document->end < 0)
        return tr_fail(err, TR_BAD_INPUT, "the tokenizer has no token to put between documents, such as <|endoftext|>: "
                       "join the files to one, or add such a token");
    return tr_encoder_make(token, &document->encoder, err);
}

void tr_document_close(struct tr_document *document)
{
    tr_encoder_free(document->encoder);
    tr_ids_free(&document->ids);
    free(document->text);
    *document = (struct tr_document){0};
}

enum tr_status tr_document_read(struct tr_document *document, const struct tr_source_file *file, struct tr_err *err)
{
    if (file->bytes > document->room) {
        char *text = realloc(document->text, (size_t)file->bytes);
        if (!text)
            return tr_fail(err, TR_FAILED, "%s: out of memory for its %lld bytes", file->path, (long long)file->bytes);
        document->text = text;
        document->room = file->bytes;
    }
    document->bytes = 0;
    enum tr_status status = tr_source_read(file, document->text, err);
    if (status == TR_OK)
        document->bytes = file->bytes;
    return status;
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
