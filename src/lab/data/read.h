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

/* Conversations, packed into rows: fills in train_windows, train_tokens, val_tokens and marks too. */
TR_MUST_CHECK enum tr_status tr_data_read_talks(struct tr_data *data, const struct tr_data_config *config,
                                                const struct tr_source *source, struct tr_err *err);

/* What the tokenizer's tokens stand for, into data->about and width. */
TR_MUST_CHECK enum tr_status tr_data_describe(struct tr_data *data, const struct tr_token *token, struct tr_err *err);
/* The sum over the data and the tokenizer, into data->sha256. */
void tr_data_finish_sum(struct tr_data *data, struct tr_sha256 *sum, const struct tr_token *token);

/* Length and bytes of a file into the sum over the data. */
void tr_data_sum_file(struct tr_sha256 *sum, const void *bytes, int64_t count);

#endif
