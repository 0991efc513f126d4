#include "base/num.h"
#include "plan/lower/lower.h"

#include <math.h>
#include <string.h>

double tr_extent_elements(const struct tr_block *b, enum tr_extent extent)
{
    double t = (double)b->tokens;
    switch (extent) {
    case TR_EXTENT_WIDTH:
        return (double)(b->norm_tokens * b->width);
    case TR_EXTENT_WIDTH_FULL:
        return t * (double)b->width;
    case TR_EXTENT_QKV:
        return t * (double)(b->heads * b->dim_qk + b->kv_heads * (b->dim_qk + b->dim_v));
    case TR_EXTENT_HEADS:
        return t * (double)(b->heads * b->dim_v);
    case TR_EXTENT_LATENT:
        return b->kv_rank ? t * (double)(b->q_rank + b->kv_rank + b->rope_dim) : 0;
    case TR_EXTENT_SCORES:
        return (double)(b->seqs * b->heads) * (double)b->queries * (double)b->keys;
    case TR_EXTENT_FFN:
        return t * (double)b->ffn;
    case TR_EXTENT_ROUTED:
        return (double)b->routed * (double)b->expert_width;
    case TR_EXTENT_ROUTED_FFN:
        return (double)b->routed * (double)b->expert_ffn;
    case TR_EXTENT_SHARED_FFN:
        return t * (double)b->shared_ffn;
    case TR_EXTENT_EXPERTS:
        return (double)b->norm_tokens * (double)b->experts;
    case TR_EXTENT_SSM:
        return t * (double)(b->ssm_heads * b->ssm_head_dim);
    case TR_EXTENT_SSM_CONV:
        return t * (double)(b->ssm_heads * b->ssm_head_dim + 2 * b->ssm_groups * b->ssm_state);
    case TR_EXTENT_SSM_STATES:
        return t / TR_SSM_CHUNK * (double)(b->ssm_heads * b->ssm_head_dim * b->ssm_state);
    case TR_EXTENT_LOGITS:
        return b->kind == TR_BLOCK_HEAD ? t * (double)b->vocab : 0;
    case TR_EXTENT_WEIGHTS: {
        struct tr_block_weights w = tr_block_weights(b);
        return w.cut + w.whole + w.expert;
    }
    case TR_EXTENT_COUNT:
    default:
        TR_ASSERT(!"an extent");
    }
}

static double attention_weights(const struct tr_block *b)
{
    double c = (double)b->width, h = (double)b->heads, qk = (double)b->dim_qk, v = (double)b->dim_v;
    if (!b->kv_rank)
        return c * (h * qk + (double)b->kv_heads * (qk + v)) + c * h * v;
    double q = b->q_rank ? (double)b->q_rank * h * qk : c * h * qk;
    return q + (double)b->kv_rank * h * (qk - (double)b->rope_dim + v) + c * h * v;
}

static void add_attention(struct tr_block_weights *w, const struct tr_block *b)
{
    double c = (double)b->width;
    w->cut += attention_weights(b);
    if (b->kv_rank)
        w->whole += c * (double)(b->q_rank + b->kv_rank + b->rope_dim) + (double)(b->q_rank + b->kv_rank);
    if (b->qk_norm)
        w->whole += 2 * (double)b->dim_qk;
    if (b->biased || b->qkv_bias)
        w->cut += (double)(b->heads * b->dim_qk + b->kv_heads * (b->dim_qk + b->dim_v));
    if (b->biased)
        w->whole += c; /* of the projection back into the stream */
}

static void add_ffn(struct tr_block_weights *w, const struct tr_block *b)
{
    double c = (double)b->width, up = b->gated ? 3 : 2;
    w->cut += up * c * (double)(b->ffn + b->shared_ffn);
    if (b->biased) {
        w->whole += c;
        w->cut += (double)b->ffn * (b->gated ? 2 : 1);
    }
    if (!tr_block_has_experts(b->kind))
        return;
    w->whole += c * (double)b->experts;
    if (b->expert_width != b->width)
        w->whole += 2 * c * (double)b->expert_width;
    double bias = b->expert_bias ? (up - 1) * (double)b->expert_ffn + (double)b->expert_width : 0;
    w->expert += (double)b->local_experts * (up * (double)(b->expert_width * b->expert_ffn) + bias);
}

static void add_ssm(struct tr_block_weights *w, const struct tr_block *b)
{
    int64_t inner = b->ssm_heads * b->ssm_head_dim, shared = 2 * b->ssm_groups * b->ssm_state;
    w->cut += (double)(b->width * (tr_block_ssm_inputs(b) + inner)) + (double)((inner + shared) * (b->ssm_conv + 1)) +
              (double)(3 * b->ssm_heads + inner);
}

static double largest_matrix(const struct tr_block *b)
{
    int64_t columns = tr_max_i64(b->ffn, tr_max_i64(b->expert_ffn, b->shared_ffn));
    return (double)b->width * fmax((double)(b->heads * b->dim_qk), (double)columns * (b->gated ? 2 : 1));
}

struct tr_block_weights tr_block_weights(const struct tr_block *b)
{
    struct tr_block_weights w = {0};
    double c = (double)b->width;
    bool two = b->kind == TR_BLOCK_DENSE || b->kind == TR_BLOCK_MOE;
    if (b->kind == TR_BLOCK_EMBED || b->kind == TR_BLOCK_HEAD) {
        w.cut = c * (double)b->vocab;
        w.whole = b->kind == TR_BLOCK_HEAD ? c : c * (double)b->positions;
        return w; /* `largest`: its gradient is summed before those of the layers below begin */
    }
    w.whole = (two ? 2 : 1) * c * (b->biased ? 2 : 1);
    if (tr_block_has_attention(b->kind))
        add_attention(&w, b);
    if (tr_block_has_ffn(b->kind) || tr_block_has_experts(b->kind))
        add_ffn(&w, b);
    if (b->kind == TR_BLOCK_SSM)
        add_ssm(&w, b);
    if (b->kind == TR_BLOCK_JOIN) {
        w.whole += c;
        w.cut += 2 * c * c / b->tp;
    }
    w.largest = largest_matrix(b);
    return w;
}

bool tr_block_has_part(enum tr_block_kind kind, enum tr_part part)
{
    switch (part) {
    case TR_PART_EMBED:
        return kind == TR_BLOCK_EMBED;
    case TR_PART_ATTENTION:
    case TR_PART_CORE:
        return tr_block_has_attention(kind);
    case TR_PART_FFN:
        return tr_block_has_ffn(kind);
    case TR_PART_MOE:
        return tr_block_has_experts(kind);
    case TR_PART_SSM:
        return kind == TR_BLOCK_SSM;
    case TR_PART_HEAD:
        return kind == TR_BLOCK_HEAD;
    case TR_PART_COUNT:
    default:
        TR_ASSERT(!"a part");
    }
}

struct tr_block_kept tr_block_kept(const struct tr_block *b, const struct tr_stack *stack, enum tr_format format)
{
    struct tr_block_kept kept = {.full = 2.0 * (double)(b->norm_tokens * b->width)};
    for (int i = 0; i < stack->kept_count; i++) {
        const struct tr_stack_kept *k = &stack->kept[i];
        if (!tr_block_has_part(b->kind, k->part) || !tr_block_when(b, stack, format, k->when))
            continue;
        double bytes = k->bytes.value * tr_extent_elements(b, k->over);
        kept.all += bytes;
        if (!tr_stack_kept_again(stack, k))
            kept.selective += bytes;
    }
    if (b->kind == TR_BLOCK_EMBED || b->kind == TR_BLOCK_HEAD)
        kept.full = kept.selective;
    return kept;
}

/* Key-value heads of a rank: a group is never cut; fewer groups than ranks are copied. */
static int64_t local_kv_heads(const struct tr_model_shape *model, int32_t tp)
{
    return model->kv_heads >= tp ? model->kv_heads / tp : 1;
}

/* Megatron pads the vocabulary to a multiple of 128 tp. */
static int64_t local_vocab(int64_t vocab, int32_t tp) { return tr_round_up(vocab, 128 * (int64_t)tp) / tp; }

void tr_block_make(struct tr_block *b, const struct tr_model_shape *model, enum tr_block_kind kind, int64_t window,
                   const struct tr_layout *l, const struct tr_batch *batch)
{
    memset(b, 0, sizeof *b);
    b->kind = kind;
    b->seqs = l->micro_batch;
    b->queries = batch->seq_len / l->cp;
    b->keys = batch->seq_len;
    b->tokens = b->seqs * b->queries;
    b->norm_tokens = l->sp ? b->tokens / l->tp : b->tokens;
    b->window = window;
    b->width = model->width;
    b->vocab = local_vocab(model->vocab, l->tp);
    b->positions = model->learned ? model->positions : 0;
    b->heads = model->heads / l->tp;
    b->kv_heads = local_kv_heads(model, l->tp);
    b->dim_qk = model->head_dim;
    b->dim_v = model->value_dim ? model->value_dim : model->head_dim;
    b->q_rank = model->q_rank;
    b->kv_rank = model->kv_rank;
    b->rope_dim = model->rope_dim;
    b->gated = model->gated;
    b->rope = model->rope;
    b->qk_norm = model->qk_norm;
    b->qkv_bias = model->qkv_bias;
    b->expert_bias = model->expert_bias;
    b->biased = model->biased;
    b->tp = l->tp, b->cp = l->cp, b->ep = l->ep, b->etp = l->etp;
    b->sp = l->sp;
    b->context = l->context;
    if (tr_block_has_ffn(kind))
        b->ffn = model->ffn / l->tp;
    if (kind == TR_BLOCK_SSM) {
        b->ssm_heads = model->ssm_heads / l->tp;
        b->ssm_groups = model->ssm_groups / l->tp;
        b->ssm_head_dim = model->ssm_head_dim, b->ssm_state = model->ssm_state, b->ssm_conv = model->ssm_conv;
    }
    if (!tr_block_has_experts(kind))
        return;
    b->expert_width = model->latent ? model->latent : model->width;
    b->experts = model->experts;
    b->local_experts = model->experts / l->ep;
    b->top_k = model->top_k;
    b->expert_groups = model->expert_groups, b->top_groups = model->top_groups;
    b->expert_ffn = model->expert_ffn / l->etp;
    b->shared_ffn = model->shared_ffn / l->tp;
    /* Experts see the pieces of tokens that the tp ranks have; without sequence parallel each rank takes its share. */
    b->sent = tr_max_i64(1, b->tokens / l->tp) * b->top_k;
    b->routed = b->sent * b->etp;
}

static const char *const kind_names[TR_BLOCK_KIND_COUNT] = {"embedding", "dense layer", "expert layer",
                                                            "attention layer", "feed-forward layer", "experts",
                                                            "state-space layer", "join", "head"};
static const char *const mesh_names[TR_MESH_COUNT] = {"tp", "cp", "ep", "etp", "dp", "expert-dp", "replica", "pp"};

const char *tr_block_kind_name(enum tr_block_kind kind)
{
    TR_ASSERT((int)kind >= 0 && kind < TR_BLOCK_KIND_COUNT);
    return kind_names[kind];
}

const char *tr_mesh_name(enum tr_mesh mesh)
{
    TR_ASSERT((int)mesh >= 0 && mesh < TR_MESH_COUNT);
    return mesh_names[mesh];
}
