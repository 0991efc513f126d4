/* Documents become tokens, part by part, one file in memory at a time: internal to lab/data and for making shards.
 *
 *     struct tr_document document;
 *     tr_document_open(&document, token, true, err)
 *     tr_document_read(&document, file, err)
 *     tr_document_encode(&document, true, sink, context, err)        (the sink gets some tokens at a time)
 *     tr_document_close(&document); */
#ifndef TR_LAB_DATA_DOCUMENT_H
#define TR_LAB_DATA_DOCUMENT_H

#include "lab/data/source.h"
#include "lab/token/token.h"

enum { TR_DOCUMENT_PART_BYTES = 4 << 20 };

struct tr_document {
    const struct tr_token *token;
    struct tr_encoder *encoder;
    struct tr_ids ids;
    int64_t end;  /* the token between documents, -1: none */
    char *text;   /* the file that was read last */
    int64_t bytes, room;
};

/* `needs_end`: TR_BAD_INPUT when the tokenizer has no token that ends a text. To be closed in any case. */
TR_MUST_CHECK enum tr_status tr_document_open(struct tr_document *document, const struct tr_token *token,
                                              bool needs_end, struct tr_err *err);
void tr_document_close(struct tr_document *document);

TR_MUST_CHECK enum tr_status tr_document_read(struct tr_document *document, const struct tr_source_file *file,
                                              struct tr_err *err);

typedef enum tr_status tr_ids_sink(void *context, const struct tr_ids *ids, struct tr_err *err);

/* What the tokenizer puts before a text, the text, and the end token if `ended`. */
TR_MUST_CHECK enum tr_status tr_document_encode(struct tr_document *document, bool ended, tr_ids_sink *sink,
                                                void *context, struct tr_err *err);

#endif
