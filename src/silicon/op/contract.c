/* The reduction contract as data: see op.h for the columns and reduce.h for the words. Everything that an operation
 * rounds or sums is in a row; what has no row copies bits. */
#include "silicon/op/op.h"

#define LANE TR_CUT_LANE
#define CONTEXT TR_CUT_CONTEXT
#define TENSOR TR_CUT_TENSOR
#define SEQUENCE TR_CUT_SEQUENCE
#define VOCAB TR_CUT_VOCAB
#define GROUP TR_CUT_GROUP_HEAD

static const struct tr_contract contract[] = {
    {TR_OP_EMBED, "", "y", TR_AXIS_NONE, TR_ORDER_NONE, 0, TR_ROUND_ACT,
     "The row is copied from the vocabulary part that owns it, never summed with zeros; with wpe one addition wte + "
     "wpe. APART: the row of wpe is that of the position in the document."},
    {TR_OP_EMBED_BWD, "", "dwte", TR_AXIS_TOKENS, TR_ORDER_ADDS, LANE | CONTEXT, TR_ROUND_F32,
     "acc[token] += dy, tokens of the leaf ascending (sequence, then position)."},
    {TR_OP_EMBED_BWD, "", "dwpe", TR_AXIS_TOKENS, TR_ORDER_ADDS, LANE, TR_ROUND_F32,
     "acc[position] += dy, sequences ascending; each row lies in one context part only, which owns it."},
    {TR_OP_EMBED_BWD, "APART", "dwpe", TR_AXIS_TOKENS, TR_ORDER_ADDS, LANE | CONTEXT, TR_ROUND_F32,
     "acc[position in the document] += dy, tokens of the leaf ascending (sequence, then position)."},

    {TR_OP_NORM, "LayerNorm", "mean", TR_AXIS_WIDTH, TR_ORDER_FOLD16, 0, TR_ROUND_F32,
     "mean = fold16(x) / C; a row is never cut."},
    {TR_OP_NORM, "LayerNorm", "rstd", TR_AXIS_WIDTH, TR_ORDER_FOLD16, 0, TR_ROUND_F32,
     "d = x - mean; var = fold16 of fma(d, d, p) / C; rstd = 1 / sqrt(var + eps)."},
    {TR_OP_NORM, "RMSNorm", "rstd", TR_AXIS_WIDTH, TR_ORDER_FOLD16, 0, TR_ROUND_F32,
     "ms = fold16 of fma(x, x, p) / C; rstd = 1 / sqrt(ms + eps); mean is stored as 0 and not subtracted."},
    {TR_OP_NORM, "", "y", TR_AXIS_NONE, TR_ORDER_NONE, 0, TR_ROUND_ACT,
     "xhat = (x - mean) * rstd (RMS: x * rstd); y = fma(xhat, gain, bias), without bias xhat * gain."},
    {TR_OP_NORM_BWD, "LayerNorm", "dx", TR_AXIS_WIDTH, TR_ORDER_FOLD16, 0, TR_ROUND_ACT,
     "g = dy * gain; a = fold16(g) / C; b = fold16 of fma(g, xhat, p) / C; d = rstd * fma(-xhat, b, g - a); "
     "dx = d, or dx + d with ADD_DX."},
    {TR_OP_NORM_BWD, "RMSNorm", "dx", TR_AXIS_WIDTH, TR_ORDER_FOLD16, 0, TR_ROUND_ACT,
     "g = dy * gain; b = fold16 of fma(g, xhat, p) / C; d = rstd * fma(-xhat, b, g); dx = d, or dx + d with ADD_DX."},
    {TR_OP_NORM_BWD, "heads = 1", "dgain, dbias", TR_AXIS_TOKENS, TR_ORDER_BLOCKS, LANE | CONTEXT | SEQUENCE,
     TR_ROUND_F32,
     "Block chains of fma(dy, xhat, p) and p + dy. `part` cuts the tokens of a context part in sequence parts, "
     "quantum 1."},
    {TR_OP_NORM_BWD, "heads > 1", "dgain", TR_AXIS_TOKENS, TR_ORDER_BLOCKS, LANE | CONTEXT | TENSOR, TR_ROUND_F32,
     "Query and key norms: `part` cuts the heads, quantum 1; a block is TR_TOKEN_BLOCK tokens, within it tokens "
     "ascending, then the heads of the part ascending."},

    {TR_OP_LINEAR, "column parallel", "y", TR_AXIS_IN, TR_ORDER_CHAIN, 0, TR_ROUND_ACT,
     "y = chain over in; then + bias; then residual + that: each one fp32 addition, in this order."},
    {TR_OP_LINEAR, "row parallel", "y", TR_AXIS_IN, TR_ORDER_CHAIN, TENSOR, TR_ROUND_ACT,
     "A chain for each tensor part of in (quantum[0]), joined by the tree; then + bias; then residual + that."},
    {TR_OP_LINEAR_PACKED, "f32, bf16", "y", TR_AXIS_IN, TR_ORDER_CHAIN, TENSOR, TR_ROUND_ACT, "As LINEAR, to the bit."},
    {TR_OP_LINEAR_PACKED, "int8, int4", "y", TR_AXIS_IN, TR_ORDER_CHAIN, 0, TR_ROUND_ACT,
     "Blocks of 32 of in, counted from 0; activations are rounded to 8 bits a block: a = the largest magnitude in the block (exact), "
     "qx = x * (127 / a), held to -127 .. 127 and rounded to a whole number, dx = a / 127; a below 2^-100 is 0 and all qx. "
     "Of each block s = sum of qx q in whole numbers (exact); acc = fma((float)s, dx * d, acc), blocks ascending from +0, "
     "dx * d rounded first; then + bias; then residual + that. Tensor parts do not cut it."},
    {TR_OP_LINEAR_DX, "column parallel", "dx", TR_AXIS_OUT, TR_ORDER_CHAIN, TENSOR, TR_ROUND_ACT,
     "A chain for each tensor part, over its share of out of segment 0, then of segment 1, then of segment 2 (q, k, v; "
     "gate, up), each cut by its own quantum; the parts joined by the tree."},
    {TR_OP_LINEAR_DX, "row parallel", "dx", TR_AXIS_OUT, TR_ORDER_CHAIN, 0, TR_ROUND_ACT,
     "One chain over out, segments in order."},
    {TR_OP_LINEAR_DW, "", "dw", TR_AXIS_TOKENS, TR_ORDER_BLOCKS, LANE | CONTEXT, TR_ROUND_F32,
     "Blocks of the tokens of one sequence in one context part, counted from the part's beginning; sequences "
     "ascending: dw = dw + chain(block)."},
    {TR_OP_LINEAR_DW, "column parallel", "db", TR_AXIS_TOKENS, TR_ORDER_BLOCKS, LANE | CONTEXT, TR_ROUND_F32,
     "As dw, a block is the sum p + dy from +0."},
    {TR_OP_LINEAR_DW, "row parallel", "db", TR_AXIS_TOKENS, TR_ORDER_BLOCKS, LANE | CONTEXT | SEQUENCE, TR_ROUND_F32,
     "The output is split by sequence parts under tensor parallelism: `part` cuts the tokens of a context part, "
     "quantum 1."},
    {TR_OP_LINEAR_END, "", "y", TR_AXIS_NONE, TR_ORDER_NONE, 0, TR_ROUND_ACT,
     "The sum of a LINEAR or LINEAR_DX whose parts several owners have: as if one had them, y = sum; then + bias; then "
     "residual + that."},

    {TR_OP_ROPE, "", "x", TR_AXIS_NONE, TR_ORDER_NONE, 0, TR_ROUND_ACT,
     "a = x[d], b = x[d + D/2]: fma(a, cos, -(b sin)) and fma(b, cos, a sin), the products b sin and a sin rounded "
     "first; INVERSE uses -sin. The table is fp32, computed in double (position * theta^(-2 d / D)). "
     "APART: the position is that in the document."},

    {TR_OP_ATTN, "", "s", TR_AXIS_HEAD_DIM, TR_ORDER_CHAIN, 0, TR_ROUND_NEVER,
     "s = chain of q k over d, times scale, scale = 1 / sqrt(D) in fp32; keys after the query's position are left out; "
     "APART: those before the document's first token too."},
    {TR_OP_ATTN, "", "stats", TR_AXIS_KEYS, TR_ORDER_SOFTMAX, CONTEXT, TR_ROUND_F32,
     "Per context part of the keys, key blocks ascending from (m, l, o) = (-inf, 0, 0): M = max(m, block max); "
     "a = exp(m - M) (0 for the first block); p_j = exp(s_j - M); l = fma(l, a, fold16 of p_j over the block's present "
     "keys, their index counted from the block's beginning); o = o * a, then a chain over the block's keys ascending of "
     "fma(p_j, v_j, o). bf16: p_j is rounded to bf16 for the product with v (a pair chain), l sums it unrounded. "
     "APART: blocks without a key of the document are passed over."},
    {TR_OP_ATTN, "", "join of parts", TR_AXIS_KEYS, TR_ORDER_NONE, CONTEXT, TR_ROUND_F32,
     "(m, l, o) of two subtrees: M = max(m1, m2); a1 = exp(m1 - M), a2 = exp(m2 - M); l = fma(l2, a2, l1 * a1); "
     "o = fma(o2, a2, o1 * a1). A part without a key for this query is skipped: the other side stands as it is."},
    {TR_OP_ATTN, "", "o", TR_AXIS_NONE, TR_ORDER_NONE, 0, TR_ROUND_ACT,
     "o / l as o * (1 / l), the reciprocal rounded first; stats are (m + 0, l): a largest score of -0 is stored as +0."},
    {TR_OP_ATTN_BWD, "", "delta", TR_AXIS_HEAD_DIM, TR_ORDER_FOLD16, 0, TR_ROUND_NEVER,
     "delta = fold16 of fma(do, o, p) over d."},
    {TR_OP_ATTN_BWD, "", "ds", TR_AXIS_HEAD_DIM, TR_ORDER_CHAIN, 0, TR_ROUND_NEVER,
     "s as in the forward pass; p = exp(s - m) * (1 / l); dp = chain of do v over d; ds = p * (dp - delta) * scale, "
     "multiplied left to right. bf16: p (for dv) and ds (for dq, dk) are rounded to bf16 before their products."},
    {TR_OP_ATTN_BWD, "", "dq", TR_AXIS_KEYS, TR_ORDER_CHAIN, CONTEXT, TR_ROUND_ACT,
     "For each context part of the keys one chain of fma(ds_j, k_j, acc), keys ascending; a part without a key for this "
     "query is skipped in the tree. APART: keys from the document's first on."},
    {TR_OP_ATTN_BWD, "", "dk, dv", TR_AXIS_QUERIES, TR_ORDER_CHAIN, CONTEXT | GROUP, TR_ROUND_ACT,
     "For each query head of the group and each context part of the queries one chain of fma(ds_i, q_i, acc) and of "
     "fma(p_i, do_i, acc), queries ascending from the key's own position, APART to the document's last; the tree over "
     "context parts (parts without such a query are skipped), then the tree over the heads of the group. bf16: pairs are "
     "absolute even and odd positions; a partner before the key counts as +0."},

    {TR_OP_GELU, "", "y", TR_AXIS_NONE, TR_ORDER_NONE, 0, TR_ROUND_ACT, "tr_gelu of fn.h."},
    {TR_OP_GELU_BWD, "", "dx", TR_AXIS_NONE, TR_ORDER_NONE, 0, TR_ROUND_ACT, "dy * tr_gelu_slope(x)."},
    {TR_OP_SWIGLU, "", "y", TR_AXIS_NONE, TR_ORDER_NONE, 0, TR_ROUND_ACT, "tr_silu(gate) * up."},
    {TR_OP_SWIGLU_BWD, "", "dgate, dup", TR_AXIS_NONE, TR_ORDER_NONE, 0, TR_ROUND_ACT,
     "dgate = (dy * up) * tr_silu_slope(gate); dup = dy * tr_silu(gate)."},

    {TR_OP_HEAD, "", "logit", TR_AXIS_WIDTH, TR_ORDER_CHAIN, 0, TR_ROUND_NEVER, "z = chain of x w over C."},
    {TR_OP_HEAD, "", "loss", TR_AXIS_VOCAB, TR_ORDER_FOLD16, VOCAB, TR_ROUND_F32,
     "m = max of the row (exact); for each vocabulary part (quantum 2) fold16 of exp(z - m), the index counted from the "
     "part's beginning; the tree gives l. loss = (float)tr_log(l) - (z_target - m), the logarithm in double rounded to "
     "fp32 first. A target of -1 has loss 0 and no gradient."},
    {TR_OP_HEAD, "GRAD", "dz", TR_AXIS_NONE, TR_ORDER_NONE, 0, TR_ROUND_NEVER,
     "dz = (exp(z - m) * (1 / l) - [target]) * loss_scale. bf16: dz is rounded to bf16 for both products."},
    {TR_OP_HEAD, "GRAD", "dx", TR_AXIS_VOCAB, TR_ORDER_CHAIN, VOCAB, TR_ROUND_ACT,
     "A chain of dz w for each vocabulary part, joined by the tree."},
    {TR_OP_HEAD, "GRAD", "dw", TR_AXIS_TOKENS, TR_ORDER_BLOCKS, LANE | CONTEXT, TR_ROUND_F32,
     "As LINEAR_DW; tiles of rows end at block ends."},

    {TR_OP_LOSS, "", "loss", TR_AXIS_VOCAB, TR_ORDER_FOLD16, 0, TR_ROUND_F32, "As of HEAD, one vocabulary part."},

    {TR_OP_FOLD, "", "leaves", TR_AXIS_ALL, TR_ORDER_NONE, CONTEXT | TENSOR | SEQUENCE, TR_ROUND_F32,
     "leaf index = context part * parts + part: the tree over `part` within each context part, then the tree over "
     "context parts."},
    {TR_OP_JOIN, "", "dst", TR_AXIS_ALL, TR_ORDER_NONE, LANE, TR_ROUND_F32,
     "One node of the tree over lanes, earlier + later. A tied weight: gradient as head + gradient as embedding, after "
     "both trees."},
    {TR_OP_LOSS_SUM, "", "loss_sum", TR_AXIS_ALL, TR_ORDER_EXACT, LANE | CONTEXT, TR_ROUND_NEVER,
     "exact.h; the mean loss is the sum rounded to double, divided by the number of targets."},
    {TR_OP_GRAD_SQ, "", "grad_sq", TR_AXIS_ALL, TR_ORDER_EXACT, TENSOR | VOCAB, TR_ROUND_NEVER,
     "exact.h, over the joined gradients of all tensors; norm = sqrt in double."},
    {TR_OP_CLIP, "", "clip_factor", TR_AXIS_NONE, TR_ORDER_NONE, 0, TR_ROUND_F32,
     "1 if clip_norm = 0 or norm <= clip_norm, else clip_norm / norm, in double, rounded to fp32."},
    {TR_OP_ADAMW, "", "w, m, v", TR_AXIS_NONE, TR_ORDER_NONE, 0, TR_ROUND_F32,
     "g = grad * clip_factor; m = fma(beta1, m, (1 - beta1) g); v = fma(beta2, v, (1 - beta2) (g g)); "
     "u = (m bias1) / (sqrt(v bias2) + eps); w = fma(-lr, u, w keep), keep = 1 - lr weight_decay with DECAY, else w."},
    {TR_OP_ADAMW, "", "copy", TR_AXIS_NONE, TR_ORDER_NONE, 0, TR_ROUND_ACT,
     "bf16: the new w, rounded. Other operations read the copy; the optimiser goes on from w."},
    {TR_OP_MUON_MOMENT, "", "m, y", TR_AXIS_ALL, TR_ORDER_EXACT, 0, TR_ROUND_F32,
     "g = grad * clip_factor; m = fma(momentum, m, (1 - momentum) g); n = fma(momentum, m, (1 - momentum) g); norm = sqrt "
     "in double of the exact sum of n^2; y = n * (float)(1 / max(norm, 1e-7)). The whole matrix: tensor parts do not cut "
     "it. The products that follow are those of LINEAR*, uncut."},
    {TR_OP_MIX, "", "dst", TR_AXIS_NONE, TR_ORDER_NONE, 0, TR_ROUND_ACT,
     "fma(alpha, dst, beta * src), beta * src rounded first; without src alpha * dst."},
    {TR_OP_MUON, "", "w", TR_AXIS_NONE, TR_ORDER_NONE, 0, TR_ROUND_F32,
     "w = fma(-(lr alpha), x, w keep), keep as in ADAMW."},
    {TR_OP_MUON, "", "copy", TR_AXIS_NONE, TR_ORDER_NONE, 0, TR_ROUND_ACT, "As of ADAMW."},
    {TR_OP_CAST, "", "dst", TR_AXIS_NONE, TR_ORDER_NONE, 0, TR_ROUND_ACT,
     "src, rounded: the copy of a weight that has been read from a file, or made from the seed."},
    {TR_OP_PACK, "", "dst", TR_AXIS_NONE, TR_ORDER_NONE, 0, TR_ROUND_F32,
     "f32 copied, bf16 rounded. int8: a = the largest magnitude in a block of 32 of in, d = a / 127 rounded to F16, q = w * (1 / d), held "
     "to -127 .. 127 and rounded to a whole number. int4: e = the number of largest magnitude (the first of them); for t "
     "in 0, 1, -0.75, -0.5, -0.25, 0.25, 0.5, 0.75: c = -8 + t, q = w * (c / e), held to -8 .. 7 and rounded; "
     "d = e / c for t = 0, else (sum of w q) / (sum of q q); d rounded to F16; the first d with the least sum of "
     "(w - d q)^2. Sums are chains over the block from +0. A d that is 0 has q = 0."},
    {TR_OP_PACK, "", "error", TR_AXIS_ALL, TR_ORDER_CHAIN, 0, TR_ROUND_F32,
     "Of each panel: acc + (w - w') * (w - w'), w' the rounded weight, and acc + w * w: for each output a chain over in, "
     "the outputs' sums added ascending."},
};

#undef LANE
#undef CONTEXT
#undef TENSOR
#undef SEQUENCE
#undef VOCAB
#undef GROUP

const struct tr_contract *tr_op_contract(int *row_count)
{
    *row_count = (int)(sizeof contract / sizeof contract[0]);
    return contract;
}

const char *tr_axis_name(enum tr_axis axis)
{
    static const char *const name[] = {"-", "in", "out", "tokens", "keys", "queries", "head_dim", "width", "vocab",
                                       "group", "all"};
    TR_ASSERT((int)axis >= 0 && axis <= TR_AXIS_ALL);
    return name[axis];
}

const char *tr_order_name(enum tr_order order)
{
    static const char *const name[] = {"-", "chain", "blocks", "adds", "fold16", "softmax", "exact"};
    TR_ASSERT((int)order >= 0 && order <= TR_ORDER_EXACT);
    return name[order];
}

const char *tr_cut_name(enum tr_cut_by cut)
{
    switch (cut) {
    case TR_CUT_LANE:
        return "lane";
    case TR_CUT_CONTEXT:
        return "context";
    case TR_CUT_TENSOR:
        return "tensor";
    case TR_CUT_SEQUENCE:
        return "sequence";
    case TR_CUT_VOCAB:
        return "vocab";
    case TR_CUT_GROUP_HEAD:
        return "head of group";
    }
    return "-";
}
