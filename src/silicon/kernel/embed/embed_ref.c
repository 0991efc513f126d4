/* The meaning of EMBED, EMBED_BWD, LAST, KV_APPEND, SPLIT and TAKE. */
#include "silicon/kernel/embed/embed.h"
#include "silicon/kernel/ref.h"

static int64_t token_at(const struct tr_call *call, int operand, int64_t t)
{
    int64_t token = ((const int32_t *)call->operand[operand])[t];
    TR_ASSERT(token >= 0 && token < call->op->vocab);
    return token;
}

void tr_embed_ref(const struct tr_call *call)
{
    const struct tr_op *op = call->op;
    const void *wte = call->operand[TR_EMBED_WTE], *wpe = call->operand[TR_EMBED_WPE];
    bool apart = (op->flags & TR_OP_APART) != 0;
    struct tr_tally tally = {0};
    for (int64_t t = 0; t < op->seqs * op->seq_len; t++) {
        int64_t token = token_at(call, TR_EMBED_TOKENS, t), index = t % op->seq_len;
        int64_t position = call->values->position + tr_op_first_token(op) + index - tr_call_start(call, TR_EMBED_START, t);
        TR_ASSERT(wpe == NULL || (position >= 0 && position < op->positions));
        tally.read_bytes += (apart ? 2 : 1) * (int64_t)sizeof(int32_t);
        for (int64_t c = 0; c < op->width; c++) {
            float y = tr_load(wte, op->weight, token * op->width + c);
            if (wpe != NULL)
                y = y + tr_load(wpe, op->weight, position * op->width + c);
            tr_store(call->operand[TR_EMBED_Y], op->act, t * op->width + c, y);
            tally.read_bytes += (wpe != NULL && (apart || t < op->seq_len) ? 2 : 1) * tr_dtype_bytes(op->weight);
            tally.write_bytes += tr_dtype_bytes(op->act);
        }
    }
    tr_tally_add(call, &tally);
}

/* One channel: every token of the leaf in order. */
static void embed_bwd_channel(const struct tr_call *call, int64_t c)
{
    const struct tr_op *op = call->op;
    float *dwte = call->operand[TR_EMBED_BWD_DWTE], *dwpe = call->operand[TR_EMBED_BWD_DWPE];
    bool apart = (op->flags & TR_OP_APART) != 0;
    struct tr_tally tally = {0};
    for (int64_t leaf = 0; leaf < tr_op_leaves(op, TR_EMBED_BWD_DWTE); leaf++) {
        struct tr_range tokens = tr_op_leaf_tokens(op, TR_EMBED_BWD_DWTE, leaf);
        for (int64_t s = 0; s < op->seqs; s++) {
            for (int64_t i = tokens.first; i < tokens.last; i++) {
                int64_t t = s * op->seq_len + i;
                int64_t token = token_at(call, TR_EMBED_BWD_TOKENS, t);
                float dy = tr_load(call->operand[TR_EMBED_BWD_DY], op->act, t * op->width + c);
                float *sum = dwte + (leaf * op->vocab + token) * op->width + c;
                *sum = *sum + dy;
                tally.read_bytes += (c == 0 ? (apart ? 2 : 1) * (int64_t)sizeof(int32_t) : 0) + tr_dtype_bytes(op->act) + 4;
                tally.write_bytes += 4;
                if (dwpe == NULL)
                    continue;
                int64_t position = call->values->position + tr_op_first_token(op) + i - tr_call_start(call, TR_EMBED_BWD_START, t);
                TR_ASSERT(position >= 0 && position < op->positions);
                sum = dwpe + ((apart ? leaf : 0) * op->positions + position) * op->width + c;
                *sum = *sum + dy;
                tally.read_bytes += apart || s == 0 ? 4 : 0;
                tally.write_bytes += apart || s == op->seqs - 1 ? 4 : 0;
            }
        }
    }
    tr_tally_add(call, &tally);
}

void tr_embed_bwd_ref(const struct tr_call *call)
{
#pragma omp parallel for num_threads(call->threads)
    for (int64_t c = 0; c < call->op->width; c++)
        embed_bwd_channel(call, c);
}

/* Copies one row of n elements, bits as they are. */
static void copy_row(const struct tr_call *call, int from, int64_t from_row, int to, int64_t to_row, int64_t n)
{
    int64_t bytes = n * tr_dtype_bytes(call->op->act);
    memcpy((char *)call->operand[to] + to_row * bytes, (const char *)call->operand[from] + from_row * bytes,
           (size_t)bytes);
}

static void count_copied(const struct tr_call *call, int64_t elements)
{
    const int64_t bytes = elements * tr_dtype_bytes(call->op->act);
    tr_count_add(call->count, 0, bytes, bytes);
}

void tr_last_ref(const struct tr_call *call)
{
    for (int64_t s = 0; s < call->op->seqs; s++)
        copy_row(call, TR_LAST_X, (s + 1) * call->op->seq_len - 1, TR_LAST_Y, s, call->op->width);
    count_copied(call, call->op->seqs * call->op->width);
}

void tr_kv_append_ref(const struct tr_call *call)
{
    const struct tr_op *op = call->op;
    int64_t position = call->values->position;
    TR_ASSERT(position >= 0 && position + op->seq_len <= op->positions);
    for (int64_t s = 0; s < op->seqs; s++)
        for (int64_t i = 0; i < op->seq_len; i++)
            for (int64_t g = 0; g < op->kv_heads; g++)
                copy_row(call, TR_KV_APPEND_X, (s * op->seq_len + i) * op->kv_heads + g, TR_KV_APPEND_CACHE,
                         (s * op->kv_heads + g) * op->positions + position + i, op->head_dim);
    count_copied(call, op->seqs * op->seq_len * op->kv_heads * op->head_dim);
}

/* Part p of SPLIT, which begins with element `at` of all parts; returns how many elements it has. */
static int64_t copy_part(const struct tr_call *call, int64_t p, int64_t at)
{
    const struct tr_op *op = call->op;
    const struct tr_op_box box = tr_op_split_part(op, p);
    int64_t tokens = box.tokens.last - box.tokens.first, heads = box.heads.last - box.heads.first;
    int64_t element = tr_dtype_bytes(op->act), bytes = heads * op->head_dim * element;
    const char *src = call->operand[TR_SPLIT_SRC];
    char *dst = call->operand[TR_SPLIT_DST];
#pragma omp parallel for num_threads(call->threads)
    for (int64_t row = 0; row < op->seqs * tokens; row++) {
        int64_t token = row / tokens * op->seq_len + box.tokens.first + row % tokens;
        int64_t in_whole = (token * op->heads + box.heads.first) * op->head_dim * element, in_parts = at * element + row * bytes;
        if (op->flags & TR_OP_INVERSE)
            memcpy(dst + in_whole, src + in_parts, (size_t)bytes);
        else
            memcpy(dst + in_parts, src + in_whole, (size_t)bytes);
    }
    return op->seqs * tokens * heads * op->head_dim;
}

void tr_split_ref(const struct tr_call *call)
{
    int64_t copied = 0;
    for (int64_t p = call->op->part.first; p < call->op->part.last; p++)
        copied += copy_part(call, p, copied);
    count_copied(call, copied);
}

/* Tokens of one context part of each sequence; `at`: where they begin in a sequence of y, which has `taken`. */
static void take_part(const struct tr_call *call, struct tr_range tokens, int64_t at, int64_t taken)
{
    const struct tr_op *op = call->op;
    int64_t n = tokens.last - tokens.first;
#pragma omp parallel for num_threads(call->threads)
    for (int64_t row = 0; row < op->seqs * n; row++)
        copy_row(call, TR_TAKE_X, row / n * op->seq_len + tokens.first + row % n, TR_TAKE_Y, row / n * taken + at + row % n, op->width);
}

void tr_take_ref(const struct tr_call *call)
{
    const struct tr_op *op = call->op;
    int64_t taken = tr_op_operand_shape(op, TR_TAKE_Y).dim[0] / op->seqs, at = 0;
    for (int64_t c = op->context.first; c < op->context.last; c++) {
        struct tr_range tokens = tr_op_taken(op, c);
        take_part(call, tokens, at, taken);
        at += tokens.last - tokens.first;
    }
    count_copied(call, op->seqs * taken * op->width);
}
