/* What tensor parallel ranks have of the weights. The tensor parts of a run (widths.tensor) cut attention heads, in whole groups of
 * query heads with their key/value head, and the columns of the feed-forward network; a rank has a range of these parts, and with
 * them rows of the matrices that lead there (q, k, v, gate, up, fc, with their biases) and columns of those that lead back. Of all
 * else every rank has all: embeddings, head, norms, biases of the residual stream.
 *
 * The elements of a portion are counted row by row, as it lies in memory. */
#ifndef TR_LAB_MODEL_PORTION_H
#define TR_LAB_MODEL_PORTION_H

#include "lab/model/place.h"
#include "lab/model/weights.h"
#include "silicon/op/op.h"

struct tr_portion {
    int32_t axis;        /* of weight->dim, the one that is cut; -1: this is all of it */
    int64_t first, last; /* along it */
};

/* The tensor parts of member `index` of the tensor parallel ranks, of `width` in all; context parts of those who share them. */
struct tr_parts tr_degrees_tensor(const struct tr_degrees *degrees, int32_t width, int32_t index);
struct tr_parts tr_degrees_context(const struct tr_degrees *degrees, int32_t width, int32_t index);

/* Columns of the feed-forward network are cut in multiples of this: pairs of bf16. */
enum { TR_FFN_QUANTUM = 2 };

/* Query heads are cut in multiples of this many columns: whole groups, as long as there are enough. */
int64_t tr_head_quantum(const struct tr_model_config *config, int32_t tensor_width);

/* What these tensor parts have of a weight. */
struct tr_portion tr_portion_of(const struct tr_model_config *config, const struct tr_weight *whole, struct tr_parts tensor);

/* The weight as its portion is: dimensions and count. */
struct tr_weight tr_portion_weight(const struct tr_weight *whole, struct tr_portion portion);

/* Where element `element` of the portion lies in the whole: *at. Returns how many elements from there on lie one after the other in both. */
int64_t tr_portion_run(const struct tr_weight *whole, struct tr_portion portion, int64_t element, int64_t *at);

/* Elements `range` of the portion, from the whole and into it. */
void tr_portion_take(const struct tr_weight *whole, struct tr_portion portion, struct tr_range range, const float *from_whole, float *to);
void tr_portion_put(const struct tr_weight *whole, struct tr_portion portion, struct tr_range range, const float *from, float *to_whole);

#endif
