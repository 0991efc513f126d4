#include "lib/model64.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct model {
    const struct tr_model_config *c;
    const struct tr_weights *weights;
    double *const *weight;
    int tokens, seq_len; /* all tokens of all sequences; of one */
};

static double *zeros(int64_t count) { return calloc((size_t)count, sizeof(double)); }

/* NULL when the model has no such tensor. */
static const double *find(const struct model *m, enum tr_weight_role role, int layer)
{
    int32_t index = tr_weight_find(m->weights, role, layer);
    return index < 0 ? NULL : m->weight[index];
}

/* y[t] = w x[t] + b */
static double *linear(int tokens, int64_t in, int64_t out, const double *x, const double *w, const double *b)
{
    double *y = zeros(tokens * out);
    for (int t = 0; t < tokens; t++)
        for (int64_t o = 0; o < out; o++) {
            double sum = b ? b[o] : 0;
            for (int64_t i = 0; i < in; i++)
                sum += w[o * in + i] * x[t * in + i];
            y[t * out + o] = sum;
        }
    return y;
}

/* LayerNorm with a bias, RMSNorm without a mean. */
static double *norm(int64_t rows, int64_t width, double eps, bool rms, const double *x, const double *gain,
                    const double *bias)
{
    double *y = zeros(rows * width);
    for (int64_t r = 0; r < rows; r++) {
        const double *a = x + r * width;
        double mean = 0, variance = 0;
        for (int64_t i = 0; i < width && !rms; i++)
            mean += a[i] / width;
        for (int64_t i = 0; i < width; i++)
            variance += (a[i] - mean) * (a[i] - mean) / width;
        for (int64_t i = 0; i < width; i++)
            y[r * width + i] = (a[i] - mean) / sqrt(variance + eps) * gain[i] + (bias ? bias[i] : 0);
    }
    return y;
}

static double *stream_norm(const struct model *m, const double *x, enum tr_weight_role gain, enum tr_weight_role bias,
                           int layer)
{
    return norm(m->tokens, m->c->width, m->c->norm_eps, m->c->family == TR_LLAMA, x, find(m, gain, layer),
                find(m, bias, layer));
}

/* The angle by which pair d turns at a position; the rule of Llama 3.1 from its wavelengths. */
static double angle(const struct tr_model_config *c, int position, int d)
{
    double frequency = pow(c->rope_theta, -2.0 * d / c->head_dim);
    const struct tr_rope_scaling *s = &c->rope_scaling;
    if (s->factor > 0) {
        double wavelength = 2 * acos(-1) / frequency;
        double turns = s->original_positions / wavelength;
        double keep = (turns - s->low_freq) / (s->high_freq - s->low_freq);
        keep = keep < 0 ? 0 : keep > 1 ? 1 : keep;
        frequency = keep * frequency + (1 - keep) * frequency / s->factor;
    }
    return position * frequency;
}

/* Turns the pairs (d, d + D/2) of each head. */
static void rope(const struct model *m, int heads, double *x)
{
    int dim = m->c->head_dim, half = dim / 2;
    for (int t = 0; t < m->tokens; t++)
        for (int h = 0; h < heads; h++)
            for (int d = 0; d < half; d++) {
                double *head = x + ((int64_t)t * heads + h) * dim;
                double a = head[d], b = head[d + half], turn = angle(m->c, t % m->seq_len, d);
                head[d] = a * cos(turn) - b * sin(turn);
                head[d + half] = b * cos(turn) + a * sin(turn);
            }
}

/* Each query head looks at the keys of its own sequence up to its own position. */
static double *attention(const struct model *m, const double *q, const double *k, const double *v)
{
    int heads = m->c->heads, groups = m->c->kv_heads, dim = m->c->head_dim;
    double *y = zeros((int64_t)m->tokens * heads * dim), *p = zeros(m->seq_len);
    for (int t = 0; t < m->tokens; t++)
        for (int h = 0; h < heads; h++) {
            int group = h / (heads / groups), first = t - t % m->seq_len;
            const double *query = q + ((int64_t)t * heads + h) * dim;
            double *out = y + ((int64_t)t * heads + h) * dim, largest = -INFINITY, sum = 0;
            for (int s = first; s <= t; s++) {
                const double *key = k + ((int64_t)s * groups + group) * dim;
                double score = 0;
                for (int d = 0; d < dim; d++)
                    score += query[d] * key[d];
                p[s - first] = score / sqrt(dim);
                largest = fmax(largest, p[s - first]);
            }
            for (int s = first; s <= t; s++)
                sum += p[s - first] = exp(p[s - first] - largest);
            for (int s = first; s <= t; s++)
                for (int d = 0; d < dim; d++)
                    out[d] += p[s - first] / sum * v[((int64_t)s * groups + group) * dim + d];
        }
    free(p);
    return y;
}

/* y += alpha / rank (x A^T) B^T, when the target has an adapter. */
static void adapt(const struct model *m, enum tr_lora_target target, int layer, int64_t in, int64_t out,
                  const double *x, double *y)
{
    const struct tr_lora *lora = &m->c->lora;
    const double *a = find(m, (enum tr_weight_role)(TR_W_LORA_A + (int)target), layer);
    const double *b = find(m, (enum tr_weight_role)(TR_W_LORA_B + (int)target), layer);
    if (!a)
        return;
    double *low = linear(m->tokens, in, lora->rank, x, a, NULL), *high = linear(m->tokens, lora->rank, out, low, b, NULL);
    for (int64_t i = 0; i < m->tokens * out; i++)
        y[i] += lora->alpha / lora->rank * high[i];
    free(low), free(high);
}

static double *attention_block(const struct model *m, const double *x, int layer)
{
    const struct tr_model_config *c = m->c;
    int64_t q_width = (int64_t)c->heads * c->head_dim, kv_width = (int64_t)c->kv_heads * c->head_dim;
    double *n = stream_norm(m, x, TR_W_NORM1_GAIN, TR_W_NORM1_BIAS, layer);
    double *q = linear(m->tokens, c->width, q_width, n, find(m, TR_W_Q, layer), find(m, TR_W_Q_BIAS, layer));
    double *k = linear(m->tokens, c->width, kv_width, n, find(m, TR_W_K, layer), find(m, TR_W_K_BIAS, layer));
    double *v = linear(m->tokens, c->width, kv_width, n, find(m, TR_W_V, layer), find(m, TR_W_V_BIAS, layer));
    adapt(m, TR_LORA_Q, layer, c->width, q_width, n, q);
    adapt(m, TR_LORA_K, layer, c->width, kv_width, n, k);
    adapt(m, TR_LORA_V, layer, c->width, kv_width, n, v);
    if (c->qk_norm) {
        double *q_normed = norm((int64_t)m->tokens * c->heads, c->head_dim, c->norm_eps, true, q,
                                find(m, TR_W_Q_NORM, layer), NULL);
        double *k_normed = norm((int64_t)m->tokens * c->kv_heads, c->head_dim, c->norm_eps, true, k,
                                find(m, TR_W_K_NORM, layer), NULL);
        free(q), free(k);
        q = q_normed, k = k_normed;
    }
    if (c->family == TR_LLAMA) {
        rope(m, c->heads, q);
        rope(m, c->kv_heads, k);
    }
    double *a = attention(m, q, k, v);
    double *y = linear(m->tokens, q_width, c->width, a, find(m, TR_W_ATTN_OUT, layer),
                       find(m, TR_W_ATTN_OUT_BIAS, layer));
    adapt(m, TR_LORA_O, layer, q_width, c->width, a, y);
    free(n), free(q), free(k), free(v), free(a);
    return y;
}

static double gelu(double x) { return 0.5 * x * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x))); }
static double silu(double x) { return x / (1 + exp(-x)); }

static double *feed_forward(const struct model *m, const double *x, int layer)
{
    const struct tr_model_config *c = m->c;
    bool gpt2 = c->family == TR_GPT2;
    double *n = stream_norm(m, x, TR_W_NORM2_GAIN, TR_W_NORM2_BIAS, layer);
    double *h = linear(m->tokens, c->width, c->ffn, n, find(m, gpt2 ? TR_W_FC : TR_W_GATE, layer),
                       find(m, TR_W_FC_BIAS, layer));
    double *up = gpt2 ? NULL : linear(m->tokens, c->width, c->ffn, n, find(m, TR_W_UP, layer), NULL);
    adapt(m, gpt2 ? TR_LORA_FC : TR_LORA_GATE, layer, c->width, c->ffn, n, h);
    adapt(m, TR_LORA_UP, layer, c->width, c->ffn, n, up);
    for (int64_t i = 0; i < m->tokens * c->ffn; i++)
        h[i] = gpt2 ? gelu(h[i]) : silu(h[i]) * up[i];
    double *y = linear(m->tokens, c->ffn, c->width, h, find(m, TR_W_DOWN, layer), find(m, TR_W_DOWN_BIAS, layer));
    adapt(m, TR_LORA_DOWN, layer, c->ffn, c->width, h, y);
    free(n), free(h), free(up);
    return y;
}

static void add(double *x, double *y, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        x[i] += y[i];
    free(y);
}

static double *embed(const struct model *m, const int32_t *token)
{
    int64_t width = m->c->width;
    const double *wte = find(m, TR_W_WTE, -1), *wpe = find(m, TR_W_WPE, -1);
    double *x = zeros(m->tokens * width);
    for (int t = 0; t < m->tokens; t++)
        for (int64_t i = 0; i < width; i++)
            x[t * width + i] = wte[token[t] * width + i] + (wpe ? wpe[t % m->seq_len * width + i] : 0);
    return x;
}

static double cross_entropy(const double *z, int64_t vocab, int32_t target)
{
    double largest = -INFINITY, sum = 0;
    for (int64_t i = 0; i < vocab; i++)
        largest = fmax(largest, z[i]);
    for (int64_t i = 0; i < vocab; i++)
        sum += exp(z[i] - largest);
    return log(sum) + largest - z[target];
}

double model64_loss(const struct tr_model_config *c, const struct tr_weights *weights, double *const *weight, int seqs,
                    int seq_len, const int32_t *tokens, const int32_t *targets, double *logits)
{
    struct model m = {c, weights, weight, seqs * seq_len, seq_len};
    double *x = embed(&m, tokens);
    for (int layer = 0; layer < c->layers; layer++) {
        add(x, attention_block(&m, x, layer), m.tokens * c->width);
        add(x, feed_forward(&m, x, layer), m.tokens * c->width);
    }
    double *n = stream_norm(&m, x, TR_W_NORM_GAIN, TR_W_NORM_BIAS, -1);
    double *z = linear(m.tokens, c->width, c->vocab, n, find(&m, c->tied ? TR_W_WTE : TR_W_HEAD, -1), NULL);
    double sum = 0;
    int counted = 0;
    for (int t = 0; t < m.tokens; t++)
        if (targets[t] >= 0) {
            sum += cross_entropy(z + t * c->vocab, c->vocab, targets[t]);
            counted++;
        }
    if (logits)
        memcpy(logits, z, (size_t)(m.tokens * c->vocab) * sizeof *z);
    free(x), free(n), free(z);
    return counted ? sum / counted : 0;
}

double **model64_new(const struct tr_weights *weights)
{
    double **weight = calloc((size_t)weights->count, sizeof *weight);
    for (int32_t i = 0; i < weights->count; i++)
        weight[i] = zeros(weights->weight[i].count);
    return weight;
}

void model64_free(const struct tr_weights *weights, double **weight)
{
    for (int32_t i = 0; i < weights->count; i++)
        free(weight[i]);
    free(weight);
}
