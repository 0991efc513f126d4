/* Documents become tokens, part by part, one file, or one line of a JSONL file, in memory at a time: internal to lab/data
 * and for making shards.
 *
 *     struct tr_document document;
 *     tr_document_open(&document, token, true, err)
 *     tr_document_start(&document, file, err)
 *     while (tr_document_next(&document, err) == TR_OK)
 *         tr_document_encode(&document, true, sink, context, err)    (the sink gets some tokens at a time)
 *     tr_document_close(&document);
 *
 * Where only texts are wanted, no tokens, a zeroed struct is as good as an opened one. */
#ifndef TR_LAB_DATA_DOCUMENT_H
#define TR_LAB_DATA_DOCUMENT_H

#include "lab/data/jsonl.h"
#include "lab/data/source.h"
#include "lab/token/token.h"

enum { TR_DOCUMENT_PART_BYTES = 4 << 20 };

struct tr_document {
    const struct tr_token *token;
    enum tr_encoding encoding; /* of text files; set by the caller after opening */
    struct tr_encoder *encoder;
    struct tr_ids ids;
    int64_t end;          /* the token between documents, -1: none */
    bool needs_end;
    int64_t count;        /* documents so far */
    const char *text;     /* of the last one, never empty */
    int64_t bytes;
    const struct tr_source_file *file; /* a text file that was not given out yet */
    char *buffer;         /* [room] a text file */
    int64_t room;
    bool is_jsonl;
    struct tr_jsonl lines;
    struct tr_doc *line;
};

/* `needs_end`: a second document is refused when the tokenizer has no token that ends a text. To be closed in any case. */
TR_MUST_CHECK enum tr_status tr_document_open(struct tr_document *document, const struct tr_token *token,
                                              bool needs_end, struct tr_err *err);
void tr_document_close(struct tr_document *document);

/* The documents of a file: those of its lines if it is named *.jsonl, else one, itself. */
TR_MUST_CHECK enum tr_status tr_document_start(struct tr_document *document, const struct tr_source_file *file,
                                               struct tr_err *err);
/* Sets text and bytes. TR_NO: there are no more (empty ones are passed over). TR_BAD_INPUT with path:line. */
TR_MUST_CHECK enum tr_status tr_document_next(struct tr_document *document, struct tr_err *err);

typedef enum tr_status tr_ids_sink(void *context, const struct tr_ids *ids, struct tr_err *err);

/* What the tokenizer puts before a text, the text, and the end token if `ended`. */
TR_MUST_CHECK enum tr_status tr_document_encode(struct tr_document *document, bool ended, tr_ids_sink *sink,
                                                void *context, struct tr_err *err);

#endif
