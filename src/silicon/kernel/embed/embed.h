/* Rows of tables: token and position embeddings, the last token of a sequence, the rows of a KV cache, the parts that ranks exchange.
 *
 *     EMBED      y[t] = wte[token[t]] (+ wpe[position])      one fp32 addition, rounded once; without wpe a copy
 *     EMBED_BWD  dwte[leaf, token[t]] += dy[t], dwpe[position] += dy[t]
 *     LAST       y[s] = x[last token of sequence s]
 *     KV_APPEND  cache[s, g, values->position + i] = x[s, i, g]     each kv head's rows one after the other: what attention
 *                                                                   of one query reads is one stream a head
 *     SPLIT      dst = parts of src, tokens or heads (tr_op_split_part), of any type; INVERSE: src = the parts
 *     TAKE       y = the tokens of x that are in the op's sequence parts (tr_op_taken), context part after context part
 *
 * Accuracy: EMBED rounds once, LAST, KV_APPEND, SPLIT and TAKE never. EMBED_BWD is a chain of additions: an element that n tokens of a
 * leaf are added to is off by at most (n - 1) 2^-24 of the sum of their magnitudes, in fp32.
 *
 * The position of the token at index i of its sequence is values->position + tr_op_first_token + i, a row of wpe; with TR_OP_APART that
 * less start[t], and dwpe has a leaf for each context part, as dwte has. Tokens must lie in
 * [0, vocab): checking what comes from outside is the caller's. */
#ifndef TR_SILICON_KERNEL_EMBED_H
#define TR_SILICON_KERNEL_EMBED_H

#include "silicon/kernel/kernel.h"

void tr_embed_ref(const struct tr_call *call);
void tr_embed_bwd_ref(const struct tr_call *call);
void tr_last_ref(const struct tr_call *call);
void tr_kv_append_ref(const struct tr_call *call);
void tr_split_ref(const struct tr_call *call);
void tr_take_ref(const struct tr_call *call);

void tr_embed_avx2(const struct tr_call *call);
void tr_embed_bwd_avx2(const struct tr_call *call);

void tr_embed_avx512(const struct tr_call *call);
void tr_embed_bwd_avx512(const struct tr_call *call);

#endif
