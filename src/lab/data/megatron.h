/* Indexed data sets of Megatron-LM (megatron/core/datasets/indexed_dataset.py): internal to lab/data, which reads them as
 * shards (shard.h).
 *
 * NAME.bin is tokens, one sequence behind the other. NAME.idx is, little-endian, for N sequences and D documents:
 *
 *       0  "MMIDIDX", 0, 0
 *       9  u64  version, 1
 *      17  u8   what a token is: 1 uint8, 2 int8, 3 int16, 4 int32, 5 int64, 8 uint16 (6 and 7 are floating point)
 *      18  u64  N
 *      26  u64  D + 1
 *      34  i32 [N]      tokens of each sequence
 *          i64 [N]      where it begins in NAME.bin, in bytes: where the one before ends
 *          i64 [D + 1]  the sequence with which each document begins; the last: N
 *          i8  [N]      modes, of multimodal data only, which are refused
 *
 * A document is the tokens of its sequences, and the tokenizer's end token if they do not end with it (preprocess_data.py
 * puts it there with --append-eod only); documents without a token are passed over. */
#ifndef TR_LAB_DATA_MEGATRON_H
#define TR_LAB_DATA_MEGATRON_H

#include "lab/data/shard.h"

enum { TR_MEGATRON_HEADER_BYTES = 34 };
#define TR_MEGATRON_INDEX_MAX_BYTES ((int64_t)16 << 30)

/* An index that was checked; points into its bytes. */
struct tr_megatron {
    int kind;  /* what a token is */
    int width; /* its bytes */
    int64_t tokens, sequences, documents;
    const uint8_t *begin;    /* [sequences] i64 */
    const uint8_t *document; /* [documents + 1] i64 */
};

/* All of NAME.idx, beside a NAME.bin of `bin_bytes` bytes. TR_BAD_INPUT with path and offset: what the description above
 * does not allow, or anything that the sizes of the two files contradict. */
TR_MUST_CHECK enum tr_status tr_megatron_parse(const char *path, const void *bytes, size_t count, int64_t bin_bytes,
                                               struct tr_megatron *out, struct tr_err *err);
/* Its first TR_MEGATRON_HEADER_BYTES only, of `count` bytes. */
TR_MUST_CHECK enum tr_status tr_megatron_parse_header(const char *path, const void *bytes, int64_t count,
                                                      int64_t bin_bytes, struct tr_megatron *out, struct tr_err *err);
/* The token of that many in NAME.bin at which document `index` ends. */
int64_t tr_megatron_document_end(const struct tr_megatron *index, int64_t document);

/* tr_shard_read_header and tr_shard_read of such a shard; path: NAME.idx. TR_BAD_INPUT also: several documents, and the
 * tokenizer has no end token. */
TR_MUST_CHECK enum tr_status tr_megatron_read_header(const char *path, struct tr_shard *out, struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_megatron_read(const char *path, struct tr_shard *shard, void *to, struct tr_err *err);

#endif
