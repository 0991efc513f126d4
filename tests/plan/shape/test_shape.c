/* What models are to the planner: parameters as published, features that follow, models by name and by path. */
#include "plan/shape/shape.h"

#include "lab/model/config.h"
#include "lab/model/weights.h"
#include "lib/catalog.h"
#include "lib/scratch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int set_up(void **state)
{
    return tr_scratch_setup(state) || tr_catalog_setup(state);
}

static int tear_down(void **state)
{
    return tr_catalog_teardown(state) || tr_scratch_teardown(state);
}

static struct tr_model_shape find(const char *name)
{
    struct tr_model_shape shape;
    struct tr_err err = {""};
    if (tr_shape_find(catalog, name, &shape, &err) != TR_OK)
        fail_msg("%s", err.text);
    return shape;
}

static void every_model_of_the_catalog_keeps_the_rules(void **state)
{
    struct tr_err err = {""};
    (void)state;
    assert_true(tr_catalog_count(catalog, TR_SECTION_MODELS) >= 150);
    if (tr_shape_check_all(catalog, &err) != TR_OK)
        fail_msg("%s", err.text);
}

/* `exact`: counted from the weights that were published (safetensors headers, or the model's own report of its size); the
 * tolerance is what small tensors that a shape does not have amount to. Else as rounded in a paper's title or table. */
struct published {
    const char *name;
    double total, active; /* active 0: not published, or as total */
    double tolerance;
};

static const struct published exact[] = {
    {"gpt2", 124439808, 0, 0},
    {"gpt2-xl", 1557611200, 0, 0},
    {"gpt3-5b", 5050142720, 0, 3e-4},
    {"opt-125m", 125239296, 0, 2e-5},
    {"opt-1.3b", 1315758080, 0, 2e-5},
    {"opt-6.7b", 6658473984, 0, 2e-5},
    {"opt-13b", 12853473280, 0, 2e-5},
    {"opt-30b", 29974540288, 0, 2e-5},
    {"bloom-560m", 559214592, 0, 0},
    {"bloom-7b1", 7069016064, 0, 0},
    {"bloom-176b", 176247271424, 0, 0},
    {"pythia-70m", 70426624, 0, 0},
    {"pythia-410m", 405334016, 0, 0},
    {"pythia-1b", 1011781632, 0, 0},
    {"pythia-1.4b", 1414647808, 0, 0},
    {"pythia-2.8b", 2775208960, 0, 0},
    {"pythia-6.9b", 6857302016, 0, 0},
    {"gpt-neox-20b", 20556201984, 0, 1e-4},
    {"gpt-j-6b", 6050882784, 0, 2e-4},
    {"phi-2", 2779683840, 0, 1e-4},
    {"falcon-7b", 6921720704, 0, 1e-4},
    {"falcon-40b", 41303293952, 0, 1e-4},
    {"mpt-760m", 760470528, 0, 0},
    {"mpt-7b", 6658859008, 0, 0},
    {"mpt-30b", 29975214080, 0, 0},
    {"mpt-70b", 64862437376, 0, 0},
    {"llama-7b", 6738415616, 0, 0},
    {"llama-13b", 13015864320, 0, 0},
    {"llama-33b", 32528943616, 0, 0},
    {"llama-65b", 65285660672, 0, 0},
    {"llama2-70b", 68976648192, 0, 0},
    {"llama3-8b", 8030261248, 0, 0},
    {"llama3-70b", 70553706496, 0, 0},
    {"llama3.1-405b", 405853388800, 0, 0},
    {"llama3.1-405b-kv16", 410081247232, 0, 0},
    {"llama3.2-1b", 1235814400, 0, 0},
    {"llama3.2-3b", 3212749824, 0, 0},
    {"mistral-7b", 7241732096, 0, 0},
    {"mistral-7b-v0.3", 7248023552, 0, 0},
    {"mistral-nemo-12b", 12247782400, 0, 0},
    {"mistral-small-24b", 23572403200, 0, 0},
    {"mistral-large-123b", 122610069504, 0, 0},
    {"qwen2.5-0.5b", 494032768, 0, 0},
    {"qwen2.5-1.5b", 1543714304, 0, 0},
    {"qwen2.5-3b", 3085938688, 0, 0},
    {"qwen2.5-7b", 7615616512, 0, 0},
    {"qwen2.5-14b", 14770033664, 0, 0},
    {"qwen2.5-32b", 32763876352, 0, 0},
    {"qwen2.5-72b", 72706203648, 0, 0},
    {"qwen3-0.6b", 596049920, 0, 0},
    {"qwen3-1.7b", 1720574976, 0, 0},
    {"qwen3-4b", 4022468096, 0, 0},
    {"qwen3-8b", 8190735360, 0, 0},
    {"qwen3-14b", 14768307200, 0, 0},
    {"qwen3-32b", 32762123264, 0, 0},
    {"gemma-2b", 2506172416, 0, 0},
    {"gemma-7b", 8537680896, 0, 0},
    {"gemma2-2b", 2614341888, 0, 1e-4},
    {"gemma2-9b", 9241705984, 0, 1e-4},
    {"gemma2-27b", 27227128320, 0, 1e-4},
    {"gemma3-1b", 999885952, 0, 1e-4},
    {"tinyllama", 1100048384, 0, 0},
    {"smollm2-135m", 134515008, 0, 0},
    {"smollm2-360m", 361821120, 0, 0},
    {"smollm2-1.7b", 1711376384, 0, 0},
    {"smollm3-3b", 3075098624, 0, 0},
    {"internlm2-7b", 7737708544, 0, 0},
    {"internlm2-20b", 19861149696, 0, 0},
    {"phi-3-mini", 3821079552, 0, 0},
    {"phi-4", 14659507200, 0, 0},
    {"yi-6b", 6061035520, 0, 0},
    {"yi-34b", 34388917248, 0, 0},
    {"olmo2-7b", 7298879488, 0, 1e-4},
    {"nanotron-8.86b", 8858370048, 0, 1e-4},
    {"maxtext-16b", 15831400448, 0, 1e-4},
    {"maxtext-1024b", 997480988672, 0, 1e-4},
    {"kempner-29b", 28.7e9, 0, 2e-3},
    {"mixtral-8x7b", 46702792704, 12879925248, 0},
    {"mixtral-8x22b", 140620634112, 39150784512, 1e-4},
    {"deepseek-v2-lite", 15706484224, 2.66e9, 1e-3},
    {"deepseek-v2", 235741434880, 0, 0},
    {"deepseek-v3", 671026419200, 37.55e9, 1e-3},
    {"deepseek-moe-16b", 16375728128, 0, 0},
    {"kimi-k2", 1026408232448, 32.6e9, 2e-2},
    {"qwen1.5-moe-a2.7b", 14315784192, 0, 1e-5},
    {"qwen2-57b-a14b", 57409011712, 0, 1e-5},
    {"qwen3-30b-a3b", 30532122624, 3.345e9, 3e-3},
    {"qwen3-235b-a22b", 235093634560, 22.19e9, 1e-3},
    {"gpt-oss-20b", 20914757184, 3.61e9 + 201088. * 2880, 1e-3},
    {"gpt-oss-120b", 116829156672, 5.13e9 + 201088. * 2880, 2e-3},
    {"dbrx", 131596523520, 0, 1e-6},
    {"olmoe-1b-7b", 6919161856, 0, 1e-4},
    {"nemotron-h-8b", 8101210368, 0, 1e-4},
    {"nemotron-h-47b", 46.8e9, 0, 1e-2},
    {"nemotron-h-56b", 56.3e9, 0, 1e-2},
    {"nemotron-3-nano", 31577937344, 0, 1e-5},
    {"nemotron-3-super", 120668687360, 12770216960, 1e-6},
    {"grok-1-314b", 316489340928, 84557961216, 1e-4},
};

static void parameters_are_those_that_were_published(void **state)
{
    int wrong = 0;
    (void)state;
    for (size_t i = 0; i < sizeof exact / sizeof *exact; i++) {
        struct tr_model_shape shape = find(exact[i].name);
        struct tr_shape_params p = tr_shape_params(&shape);
        double off = p.total / exact[i].total - 1;
        double off_active = exact[i].active ? p.active / exact[i].active - 1 : 0;
        if (!(fabs(off) <= exact[i].tolerance) || !(fabs(off_active) <= fmax(exact[i].tolerance, 1e-9))) {
            print_error("%s: %.0f parameters (%+.5f %%), %.0f active (%+.3f %%)\n", exact[i].name, p.total, 100 * off,
                        p.active, 100 * off_active);
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
}

/* Total parameters by hand: what each feature adds to a small model. */
static void each_feature_counts_what_its_tensors_hold(void **state)
{
    (void)state;
    struct tr_model_shape s = {.layers = 2, .width = 8, .heads = 2, .kv_heads = 1, .head_dim = 4, .value_dim = 4,
                               .ffn = 16, .vocab = 10, .positions = 32, .gated = true, .rope = true};
    double q = 8 * 8, kv = 8 * 4, attention = q + 2 * kv + 8 * 8, ffn = 3 * 8 * 16, norms = 2 * 8;
    double plain = 2 * (attention + ffn + norms) + 8 + 2 * 10 * 8;
    assert_true(tr_shape_params(&s).total == plain);
    assert_true(tr_shape_params(&s).active == plain);
    assert_true(tr_shape_params(&s).matmul == 2 * (attention + ffn) + 80);

    struct tr_model_shape t = s;
    t.tied = true;
    assert_true(tr_shape_params(&t).total == plain - 80);
    assert_true(tr_shape_params(&t).matmul == tr_shape_params(&s).matmul);
    t = s, t.rope = false, t.learned = true;
    assert_true(tr_shape_params(&t).total == plain + 32 * 8);
    t = s, t.qkv_bias = true;
    assert_true(tr_shape_params(&t).total == plain + 2 * (8 + 4 + 4));
    t = s, t.qk_norm = true;
    assert_true(tr_shape_params(&t).total == plain + 2 * (4 + 4));
    t = s, t.embed_norm = true;
    assert_true(tr_shape_params(&t).total == plain + 2 * 8);
    t = s, t.ffn = 0, t.experts = 4, t.top_k = 2, t.expert_ffn = 16, t.moe_every = 1;
    const struct tr_shape_params without = tr_shape_params(&t);
    t.expert_bias = true; /* gate, up and down of each expert */
    assert_true(tr_shape_params(&t).total == without.total + 2 * 4 * (2 * 16 + 8));
    assert_true(tr_shape_params(&t).active == without.active + 2 * 2 * (2 * 16 + 8));
    assert_true(tr_shape_params(&t).matmul == without.matmul);
    t = s, t.gated = false, t.biased = true; /* q k v, o, up, down; two norms a layer and the last */
    assert_true(tr_shape_params(&t).total == plain - 2 * 8 * 16 + 2 * (16 + 8 + 16 + 8 + 2 * 8) + 8);

    t = s, t.ffn = 0, t.experts = 4, t.top_k = 2, t.expert_ffn = 6, t.shared_ffn = 5, t.moe_every = 1;
    double expert = 3 * 8 * 6, both = attention + norms + 3 * 8 * 5 + 8 * 4;
    assert_true(tr_shape_params(&t).total == 2 * (both + 4 * expert) + 8 + 160);
    assert_true(tr_shape_params(&t).active == 2 * (both + 2 * expert) + 8 + 160);
    assert_true(tr_shape_params(&t).expert == 2 * 4 * expert);
    t.dense_layers = 1, t.ffn = 16;
    assert_true(tr_shape_params(&t).total == both + 4 * expert + attention + norms + ffn + 8 + 160);

    t.ffn = 0, t.dense_layers = 0, t.latent = 3; /* down to 3 and up again, once a layer */
    assert_true(tr_shape_params(&t).total == 2 * (both + 2 * 8 * 3 + 4 * 3 * 3 * 6) + 8 + 160);

    /* A state-space layer: x, its gate, B and C of 2 groups of 3 states, 4 steps; back from 4 heads of 5. */
    t = s, t.layers = 3, t.ffn = 16;
    memcpy(t.pattern, "M*-", 4);
    t.ssm_heads = 4, t.ssm_head_dim = 5, t.ssm_groups = 2, t.ssm_state = 3, t.ssm_conv = 2;
    double ssm = 8 * (20 + 20 + 12 + 4) + 20 * 8, small = (20 + 12) * 3 + 3 * 4 + 20;
    assert_true(tr_shape_params(&t).total == ssm + small + attention + ffn + 3 * 8 + 8 + 160);
    assert_true(tr_shape_params(&t).matmul == ssm + attention + ffn + 80);
    assert_true(tr_shape_kv_elements(&t) == 8);
    assert_true(tr_shape_flop_per_token(&t, 1) == 6 * tr_shape_params(&t).matmul + 3 * (2 * 2 * 8 + 7 * 20 * 3));

    /* Latent attention: down to 6, and to 5 + 2; up to 2 heads of 4 (2 with positions), and of 2 + 3. */
    t = s, t.kv_heads = 2, t.q_rank = 6, t.kv_rank = 5, t.rope_dim = 2, t.value_dim = 3;
    double latent = 8 * 6 + 6 * 8 + 8 * (5 + 2) + 5 * 2 * (2 + 3) + 2 * 3 * 8;
    assert_true(tr_shape_params(&t).total == 2 * (latent + 6 + 5 + ffn + norms) + 8 + 160);
    assert_true(tr_shape_kv_elements(&t) == 2 * 7);
    assert_true(tr_shape_kv_elements(&s) == 2 * 8);
}

static void layers_are_what_the_counts_say(void **state)
{
    static const char *const names[] = {"deepseek-v3", "llama4-maverick", "gpt-oss-20b", "gemma3-4b", "mistral-7b",
                                        "llama3-8b", "nemotron-3-super", "nemotron-h-8b"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct tr_model_shape s = find(names[i]);
        int32_t attention = 0, ssm = 0, dense = 0, experts = 0, windows = 0;
        for (int32_t l = 0; l < s.layers; l++) {
            struct tr_shape_layer layer = tr_shape_layer(&s, l);
            attention += layer.attention, ssm += layer.ssm, dense += layer.dense, experts += layer.experts;
            windows += layer.window > 0;
        }
        assert_int_equal(attention, tr_shape_attention_layers(&s));
        assert_int_equal(ssm, tr_shape_ssm_layers(&s));
        assert_int_equal(dense, tr_shape_dense_layers(&s));
        assert_int_equal(experts, tr_shape_moe_layers(&s));
        assert_int_equal(windows, tr_shape_window_layers(&s));
    }
    struct tr_model_shape s = find("deepseek-v3");
    assert_int_equal(tr_shape_moe_layers(&s), 58);
    s = find("llama4-maverick");
    assert_int_equal(tr_shape_moe_layers(&s), 24);
    assert_true(!tr_shape_layer(&s, 0).experts && tr_shape_layer(&s, 1).experts);
    s = find("gemma3-4b"); /* five of six, and four more */
    assert_int_equal(tr_shape_window_layers(&s), 29);
    assert_true(tr_shape_layer(&s, 0).window == 1024 && tr_shape_layer(&s, 5).window == 0);
    s = find("nemotron-3-super");
    assert_true(tr_shape_ssm_layers(&s) == 40 && tr_shape_attention_layers(&s) == 8 && tr_shape_moe_layers(&s) == 40);
}

static void work_counts_pairs_that_attention_sees(void **state)
{
    (void)state;
    struct tr_model_shape s = {.layers = 2, .width = 8, .heads = 2, .kv_heads = 2, .head_dim = 4, .value_dim = 4,
                               .ffn = 16, .vocab = 10, .positions = 32, .gated = true, .rope = true};
    double matmul = 6 * tr_shape_params(&s).matmul, pair = 3 * 2 * 2 * (4 + 4);
    assert_true(fabs(tr_shape_flop_per_token(&s, 7) - matmul - 2 * pair * 4) < 1e-6);
    s.window = 3; /* 1 2 3 3 3 3 3 */
    assert_true(fabs(tr_shape_flop_per_token(&s, 7) - matmul - 2 * pair * 18 / 7) < 1e-6);
    s.window_every = 2;
    assert_true(fabs(tr_shape_flop_per_token(&s, 7) - matmul - pair * (4 + 18. / 7)) < 1e-6);
}

/* What Megatron-Bridge and MaxText print for one token of training (TFLOP/s a chip over tokens/s a chip in their tables,
 * 25.09 to 26.08), GFLOP; both count attention causal, and with a head. Modules that predict further tokens are left out. */
static void work_is_what_others_count(void **state)
{
    static const struct {
        const char *name;
        int64_t seq_len;
        double gflop;
    } printed[] = {{"qwen3-30b-a3b", 4096, 23.01},  {"qwen3-235b-a22b", 4096, 148.0}, {"deepseek-v3", 4096, 249.7},
                   {"deepseek-v3", 8192, 281.15},   {"gpt-oss-120b", 4096, 32.6},     {"llama3-8b", 8192, 51.5},
                   {"llama3-70b", 8192, 449.1},     {"llama3.1-405b", 8192, 2524.3},  {"kimi-k2", 4096, 204.55}};
    (void)state;
    for (size_t i = 0; i < sizeof printed / sizeof *printed; i++) {
        struct tr_model_shape s = find(printed[i].name);
        double off = tr_shape_flop_per_token(&s, printed[i].seq_len) / (1e9 * printed[i].gflop) - 1;
        if (fabs(off) > 0.005)
            fail_msg("%s, sequences of %lld: %+.2f %%", printed[i].name, (long long)printed[i].seq_len, 100 * off);
    }
    static const struct {
        const char *name;
        int64_t seq_len;
        double gflop;
    } further[] = {{"deepseek-v3", 4096, 260.0}, {"nemotron-3-super", 8192, 84.7}};
    for (size_t i = 0; i < sizeof further / sizeof *further; i++) {
        struct tr_model_shape s = find(further[i].name);
        double flop = tr_shape_flop_per_token(&s, further[i].seq_len) + tr_shape_mtp_flop_per_token(&s, further[i].seq_len);
        if (fabs(flop / (1e9 * further[i].gflop) - 1) > 0.015)
            fail_msg("%s with its modules for further tokens: %.2f GFLOP", further[i].name, flop / 1e9);
    }
    struct tr_model_shape none = find("llama3-8b");
    assert_true(tr_shape_mtp_flop_per_token(&none, 8192) == 0 && tr_shape_mtp_params(&none) == 0);
    /* "11.5B unique parameters, excluding the shared 0.9B Embedding and 0.9B output Head": README_WEIGHTS.md of DeepSeek-V3 */
    struct tr_model_shape v3 = find("deepseek-v3");
    assert_true(fabs(tr_shape_mtp_params(&v3) / 11.5e9 - 1) < .01);
}

static void the_trainers_presets_are_the_same_to_the_planner(void **state)
{
    (void)state;
    for (int i = 0; tr_model_preset(i); i++) {
        const struct tr_model_config *c = tr_model_preset(i);
        struct tr_model_shape shape;
        struct tr_err err = {""};
        struct tr_weights weights;
        tr_shape_from_config(c, &shape);
        if (tr_shape_check(&shape, c->name, &err) != TR_OK)
            fail_msg("%s", err.text);
        assert_true(tr_shape_params(&shape).matmul == (double)tr_model_matmul_params(c));
        assert_true(fabs(tr_shape_flop_per_token(&shape, c->positions) / tr_model_flop_per_token(c, c->positions) - 1) <
                    1e-12);
        if (c->layers > 12)
            continue;
        assert_int_equal(tr_weights_make(&weights, c, &err), TR_OK);
        assert_true(tr_shape_params(&shape).total == (double)weights.element_count);
        tr_weights_free(&weights);
    }
}

/* ---- config.json -------------------------------------------------------------------------------------------------- */

static enum tr_status read_text(const char *text, struct tr_model_shape *out, struct tr_err *err)
{
    struct tr_doc *doc;
    enum tr_status status = tr_doc_parse("config.json", TR_DOC_JSON, text, strlen(text), &doc, err);
    if (status != TR_OK)
        return status;
    status = tr_shape_from_hf(doc, out, err);
    tr_doc_free(doc);
    return status;
}

static const char *corpus(const char *name)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/fuzz/corpus/shape/%s", getenv("TRINE_SOURCE_DIR"), name);
    return path;
}

static void config_json_and_catalog_say_the_same(void **state)
{
    /* Files as their authors published them, without the keys that change no shape. */
    static const char *const names[] = {
        "gpt2",        "gpt-neox-20b",    "gpt-j-6b",      "opt-1.3b",         "bloom-176b",     "mpt-7b",
        "falcon-7b",   "falcon-40b",      "phi-2",         "starcoder2-3b",    "llama2-70b",     "nemotron-4-340b",
        "llama3.2-1b", "mistral-7b",      "mistral-7b-v0.3", "mixtral-8x7b",   "qwen2.5-7b",     "qwen3-0.6b",
        "qwen3-30b-a3b", "qwen2-57b-a14b", "deepseek-v2-lite", "deepseek-v3",  "kimi-k2",        "gpt-oss-20b",
        "gemma-2b",    "gemma2-27b",      "gemma3-4b",     "llama4-scout",     "llama4-maverick", "dbrx",
        "glm-4.5",     "grok-1",          "internlm-7b",   "nemotron-3-super"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct tr_model_shape ours = find(names[i]), theirs = find(corpus(names[i]));
        assert_string_equal(ours.name, names[i]);
#define SAME(field)                                                                                                    \
    if (ours.field != theirs.field)                                                                                    \
    fail_msg("%s: " #field " is %lld in the catalog, %lld in config.json", names[i], (long long)ours.field,            \
             (long long)theirs.field)
        SAME(layers); SAME(width); SAME(heads); SAME(kv_heads); SAME(head_dim); SAME(value_dim); SAME(q_rank);
        SAME(kv_rank); SAME(rope_dim); SAME(ffn); SAME(vocab); SAME(positions); SAME(experts); SAME(top_k);
        SAME(expert_groups); SAME(top_groups); SAME(expert_ffn); SAME(shared_ffn); SAME(dense_layers); SAME(moe_every); SAME(window); SAME(window_every); SAME(latent);
        if (ours.ssm_heads == 0) /* Super was trained with one more than its file says */
            SAME(mtp);
        SAME(ssm_heads); SAME(ssm_head_dim); SAME(ssm_groups); SAME(ssm_state); SAME(ssm_conv);
        assert_string_equal(ours.pattern, theirs.pattern);
        SAME(gated); SAME(tied); SAME(rope); SAME(learned); SAME(biased); SAME(expert_bias); SAME(qk_norm); SAME(embed_norm);
        if (!ours.biased)
            SAME(qkv_bias);
    }
}

static void a_config_json_is_found_by_file_and_by_folder(void **state)
{
    struct tr_model_shape shape;
    struct tr_err err = {""};
    (void)state;
    tr_scratch_put_text("My-Model/config.json",
                        "{\"model_type\": \"llama\", \"hidden_size\": 64, \"num_hidden_layers\": 2, \"vocab_size\": 100,"
                        " \"num_attention_heads\": 4, \"intermediate_size\": 128, \"max_position_embeddings\": 32}");
    static const char *const ways[] = {"My-Model", "My-Model/config.json"};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(tr_shape_find(catalog, tr_scratch(ways[i]), &shape, &err), TR_OK);
        assert_string_equal(shape.name, "My-Model");
        assert_int_equal(shape.layers, 2);
        assert_int_equal(shape.kv_heads, 4);
    }
    assert_int_equal(tr_shape_find(catalog, tr_scratch("other.json"), &shape, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "other.json");
}

static void an_unknown_model_names_the_nearest(void **state)
{
    static const char *const wrong[][2] = {
        {"gpt3-175", "gpt3-175b"}, {"llama3.1-450b", "llama3.1-405b"}, {"tiny-lama", "tiny-llama"},
        {"deepseek-v33", "deepseek-v3"}, {"something else", "no path of a config.json"}};
    struct tr_model_shape shape;
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct tr_err err = {""};
        assert_int_equal(tr_shape_find(catalog, wrong[i][0], &shape, &err), TR_BAD_INPUT);
        if (!strstr(err.text, wrong[i][0]) || !strstr(err.text, wrong[i][1]))
            fail_msg("%s", err.text);
    }
}

static void names_are_as_tables_write_them(void **state)
{
    static const char *const same[][2] = {
        {"LLAMA3.1_405B", "llama3.1-405b"},   {"Qwen3_235B_a22B", "qwen3-235b-a22b"}, {"DeepSeekV3", "deepseek-v3"},
        {"DeepSeek V3 671B", "deepseek-v3"},  {"GPT OSS 120B", "gpt-oss-120b"},       {"Kimi K2", "kimi-k2"},
        {"Nemotron4-340B", "nemotron-4-340b"}, {"Llama-2-70B", "llama2-70b"},          {"GPT3-175B", "gpt3-175b"},
        {"GPT-3-175B", "gpt3-175b"},          {"MPT-30b", "mpt-30b"},                 {"OPT-175B", "opt-175b"}};
    (void)state;
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        assert_string_equal(find(same[i][0]).name, same[i][1]);
}

#define SIZES "\"num_hidden_layers\": 4, \"vocab_size\": 100, \"max_position_embeddings\": 64, "

static void what_is_wrong_with_a_config_json_is_said(void **state)
{
    static const char *const wrong[][2] = {
        {"[]", "config.json"},
        {"{}", "num_hidden_layers"},
        {"{" SIZES "\"num_attention_heads\": 2}", "the key \"hidden_size\" is missing"},
        {"{" SIZES "\"hidden_size\": 30, \"num_attention_heads\": 4}", "4 heads do not divide the width of 30"},
        {"{" SIZES "\"hidden_size\": \"32\", \"num_attention_heads\": 4}", "hidden_size: expected a whole number"},
        {"{" SIZES "\"hidden_size\": 32, \"num_attention_heads\": 0}", "num_attention_heads: expected a whole number from 1"},
        {"{" SIZES "\"hidden_size\": 32, \"num_attention_heads\": 4, \"num_key_value_heads\": 3}",
         "heads 4 is no multiple of kv_heads 3"},
        {"{" SIZES "\"hidden_size\": 32, \"num_attention_heads\": 4, \"num_local_experts\": 8}",
         "top_k is 0; expected 1 to 8"},
        {"{" SIZES "\"hidden_size\": 32, \"num_attention_heads\": 4, \"num_experts\": 8, \"num_experts_per_tok\": 2, \"n_group\": 3,"
         " \"topk_group\": 2}", "expert_groups 3 does not divide the 8 experts"},
        {"{" SIZES "\"hidden_size\": 32, \"num_attention_heads\": 4, \"num_experts\": 8, \"num_experts_per_tok\": 3, \"n_group\": 4,"
         " \"topk_group\": 1}", "top_groups 1 hold 2 experts, fewer than top_k 3"},
        {"{" SIZES "\"hidden_size\": 32, \"num_attention_heads\": 4, \"num_experts\": 2, \"num_experts_per_tok\": 1,"
         " \"moe_layer_freq\": [1, 0, 1, 1]}", "moe_layer_freq[1]: a layer without experts after one with them"},
        {"{" SIZES "\"hidden_size\": 32, \"num_attention_heads\": 4, \"num_experts\": 2, \"num_experts_per_tok\": 1,"
         " \"mlp_only_layers\": [3]}", "layer 3 has no experts"},
        {"{" SIZES "\"hidden_size\": 32, \"num_attention_heads\": 4, \"layer_types\": [\"linear_attention\"]}",
         "layer_types[0]: "},
        {"{\"model_type\": \"bert\"}", "\"bert\" has an encoder"},
        {"{\"model_type\": \"falcon_h1\"}", "state-space layers"},
        {"{" SIZES "\"hidden_size\": 32, \"num_attention_heads\": 4, \"mamba_num_heads\": 2}", "hybrid_override_pattern"},
        {"{" SIZES "\"hidden_size\": 32, \"num_attention_heads\": 4, \"hybrid_override_pattern\": \"M*\"}",
         "a pattern of 2 layers, and layers is 4"},
        {"{" SIZES "\"hidden_size\": 32, \"num_attention_heads\": 4, \"hybrid_override_pattern\": \"*-*X\"}",
         "\"X\" in the pattern"},
        {"{" SIZES "\"hidden_size\": 32, \"num_attention_heads\": 4, \"hybrid_override_pattern\": \"*-M-\"}",
         "the letter M and ssm_heads"},
        {"{" SIZES "\"hidden_size\": 32, \"num_attention_heads\": 4, \"layers_block_type\": [\"recurrent\"]}",
         "layers_block_type[0]: "},
        {"{\"model_type\": 3}", "model_type: "},
        {"{\"is_encoder_decoder\": true}", "is_encoder_decoder: an encoder"},
        {"{\"text_config\": []}", "text_config: "},
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct tr_model_shape shape = {.layers = -7};
        struct tr_err err = {""};
        assert_int_equal(read_text(wrong[i][0], &shape, &err), TR_BAD_INPUT);
        assert_int_equal(shape.layers, -7);
        if (!strstr(err.text, wrong[i][1]) || strncmp(err.text, "config.json: ", 13) != 0)
            fail_msg("%s: %s", wrong[i][0], err.text);
    }
    struct tr_model_shape shape;
    struct tr_err err = {""};
    assert_int_equal(tr_shape_find(catalog, corpus("opt-350m"), &shape, &err), TR_BAD_INPUT);
    assert_non_null(strstr(err.text, "word_embed_proj_dim"));
}

static void a_type_that_nobody_has_heard_of_is_a_llama_with_what_its_keys_name(void **state)
{
    (void)state;
    struct tr_model_shape s = find(corpus("nobody-heard-of-it"));
    assert_true(s.gated && s.rope && s.qkv_bias && s.qk_norm && s.tied && !s.biased && !s.learned);
    assert_true(s.experts == 4 && s.top_k == 2 && s.expert_ffn == 256 && s.dense_layers == 1 && s.ffn == 1024);
    assert_true(s.window == 64 && s.window_every == 2);
    s = find(corpus("mpt-7b-alibi"));
    assert_true(!s.rope && !s.learned && !s.biased);
    assert_true(tr_shape_params(&s).total == 6649286656);
    s = find(corpus("refinedweb-7b"));
    assert_int_equal(s.kv_heads, 1);
    s = find(corpus("refinedweb-40b"));
    assert_int_equal(s.kv_heads, 8);
}

/* ---- the catalog's form ------------------------------------------------------------------------------------------- */

static void what_is_wrong_with_a_model_of_the_catalog_is_said(void **state)
{
    static const char *const wrong[][2] = {
        {"name: x, layers: 2, width: 64, heads: 4, ffn: 128, vocab: 100", "positions"},
        {"name: x, layers: 2, width: 64, heads: 4, ffn: 128, vocab: 100, positions: 64, witdh: 3", "witdh"},
        {"name: x, layers: 2, width: 64, heads: 4, vocab: 100, positions: 64", "ffn is missing"},
        {"name: x, layers: 2, width: 64, heads: 4, ffn: 128, vocab: 100, positions: 64, experts: 4", "top_k is 0"},
        {"name: x, layers: 2, width: 64, heads: 4, vocab: 100, positions: 64, experts: 4, top_k: 1, expert_ffn: 64, expert_groups: 2",
         "expert_groups and top_groups go together"},
        {"name: x, layers: 2, width: 64, heads: 4, kv_heads: 3, ffn: 128, vocab: 100, positions: 64", "no multiple"},
        {"name: x, layers: 2, width: 64, heads: 4, ffn: 128, vocab: 100, positions: 64, top_k: 2", "without experts"},
        {"name: x, layers: 2, width: 64, heads: 4, ffn: 128, vocab: 100, positions: 64, q_rank: 2", "kv_rank"},
        {"name: x, layers: 2, width: 64, heads: 4, ffn: 128, vocab: 100, positions: 64, learned: true", "not both"},
        {"name: x, layers: 2, width: 64, heads: 4, ffn: 128, vocab: 100, positions: 64, window_every: 2", "a window"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct tr_catalog *own;
        struct tr_err err = {""};
        char text[512];
        snprintf(text, sizeof text, "models:\n  x: {%s}\n", wrong[i][0]);
        assert_int_equal(tr_catalog_open_empty(&own, &err), TR_OK);
        assert_int_equal(tr_catalog_add_text(own, "own.yaml", text, strlen(text), &err), TR_OK);
        assert_int_equal(tr_shape_check_all(own, &err), TR_BAD_INPUT);
        if (strncmp(err.text, "own.yaml:2:", 11) != 0 || !strstr(err.text, wrong[i][1]))
            fail_msg("%s: %s", wrong[i][0], err.text);
        tr_catalog_free(own);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_model_of_the_catalog_keeps_the_rules),
        cmocka_unit_test(parameters_are_those_that_were_published),
        cmocka_unit_test(each_feature_counts_what_its_tensors_hold),
        cmocka_unit_test(layers_are_what_the_counts_say),
        cmocka_unit_test(work_counts_pairs_that_attention_sees),
        cmocka_unit_test(work_is_what_others_count),
        cmocka_unit_test(the_trainers_presets_are_the_same_to_the_planner),
        cmocka_unit_test(config_json_and_catalog_say_the_same),
        cmocka_unit_test(a_config_json_is_found_by_file_and_by_folder),
        cmocka_unit_test(an_unknown_model_names_the_nearest),
        cmocka_unit_test(names_are_as_tables_write_them),
        cmocka_unit_test(what_is_wrong_with_a_config_json_is_said),
        cmocka_unit_test(a_type_that_nobody_has_heard_of_is_a_llama_with_what_its_keys_name),
        cmocka_unit_test(what_is_wrong_with_a_model_of_the_catalog_is_said),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
