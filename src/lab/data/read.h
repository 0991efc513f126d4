/* Data as tokens: text by a tokenizer, and shards. Internal to lab/data. */
#ifndef TR_LAB_DATA_READ_H
#define TR_LAB_DATA_READ_H

#include "lab/data/data.h"
#include "lab/data/source.h"

/* Fill in slab, tokens, counts, end, about and sha256. */
TR_MUST_CHECK enum tr_status tr_data_read_text(struct tr_data *data, const struct tr_token *token,
                                               const struct tr_source *source, enum tr_encoding encoding,
                                               struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_data_read_shards(struct tr_data *data, const struct tr_token *token,
                                                 const struct tr_source *source, struct tr_err *err);

/* Length and bytes of a file into the sum over the data. */
void tr_data_sum_file(struct tr_sha256 *sum, const void *bytes, int64_t count);

#endif
