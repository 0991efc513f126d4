/* The hash of a run: one run, one hash. The oracle of every test that says "the same result".
 *
 * SHA-256 over, for each tensor in canonical order (lab/model/weights.h), all numbers little-endian:
 *     u32 bytes of the name, the name
 *     u32 rank, u64 dim[rank]
 *     the weight's elements as fp32, the optimiser's first moments m and its second moments v where it has them (AdamW
 *     both, Muon m, a frozen weight neither)
 * It is the same for a live run and for its checkpoint. It means something only beside the arithmetic id: the version
 * of the reduction contract, the number type and the logical widths, e.g.
 *     trine-1/f32 lanes=4 context=1 tensor=1 vocab=1
 */
#ifndef TR_LAB_TRAIN_HASH_H
#define TR_LAB_TRAIN_HASH_H

#include "base/err.h"
#include "base/os.h"
#include "lab/model/program.h"
#include "lab/model/weights.h"

enum { TR_ARITHMETIC_BYTES = 128 };

/* Weights and optimiser state as plain arrays, canonical order. m and v NULL: a model without optimiser state.
 * m[i] and v[i] are used where weights->weight[i].moments says that there are. */
struct tr_tensors {
    const struct tr_weights *weights;
    float *const *w, *const *m, *const *v;
};

/* Fills buf and returns it. */
const char *tr_arithmetic_id(char buf[TR_ARITHMETIC_BYTES], enum tr_dtype dtype, const struct tr_widths *widths);

/* Needs m and v. */
TR_MUST_CHECK enum tr_status tr_hash_tensors(const struct tr_tensors *tensors, char hex[TR_SHA256_HEX_BYTES],
                                             struct tr_err *err);

/* What stands before a tensor's elements in the hash: name, rank, dims. */
void tr_hash_head(struct tr_sha256 *sum, const struct tr_weight *weight);

struct tr_hash {
    char checkpoint[TR_PATH_BYTES]; /* the folder that was hashed */
    int64_t step;
    char arithmetic[TR_ARITHMETIC_BYTES];
    char hex[TR_SHA256_HEX_BYTES];
};

/* Of a checkpoint folder, or of a run folder: its newest checkpoint. The checkpoint is verified first; a damaged one is
 * refused (TR_BAD_INPUT), not passed over for an older one. Streams: takes no memory for the tensors. */
TR_MUST_CHECK enum tr_status tr_hash_path(const char *path, struct tr_hash *out, struct tr_err *err);

#endif
