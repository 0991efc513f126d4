/* What a config must satisfy, and Hugging Face's config.json in and out. */
#include "lab/model/config.h"

#include "base/doc.h"
#include "base/json.h"
#include "base/os.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct tr_model_config preset(const char *name)
{
    struct tr_model_config config;
    struct tr_err err = {""};
    if (tr_model_config_find(&config, name, &err) != TR_OK)
        fail_msg("%s", err.text);
    return config;
}

static enum tr_status read_text(struct tr_model_config *config, const char *text, struct tr_err *err)
{
    struct tr_doc *doc;
    enum tr_status status = tr_doc_parse("config.json", TR_DOC_JSON, text, strlen(text), &doc, err);
    if (status == TR_OK) {
        status = tr_model_config_read(config, doc, err);
        tr_doc_free(doc);
    }
    return status;
}

static void assert_equal(const struct tr_model_config *a, const struct tr_model_config *b)
{
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->family, b->family);
    assert_int_equal(a->vocab, b->vocab);
    assert_int_equal(a->width, b->width);
    assert_int_equal(a->layers, b->layers);
    assert_int_equal(a->heads, b->heads);
    assert_int_equal(a->kv_heads, b->kv_heads);
    assert_int_equal(a->head_dim, b->head_dim);
    assert_int_equal(a->ffn, b->ffn);
    assert_int_equal(a->positions, b->positions);
    assert_true(a->norm_eps == b->norm_eps);
    assert_true(a->rope_theta == b->rope_theta);
    assert_true(a->rope_scaling.factor == b->rope_scaling.factor);
    assert_true(a->rope_scaling.low_freq == b->rope_scaling.low_freq);
    assert_true(a->rope_scaling.high_freq == b->rope_scaling.high_freq);
    assert_int_equal(a->rope_scaling.original_positions, b->rope_scaling.original_positions);
    assert_int_equal(a->tied, b->tied);
    assert_int_equal(a->qkv_bias, b->qkv_bias);
    assert_int_equal(a->qk_norm, b->qk_norm);
    assert_true(a->init_std == b->init_std);
}

/* ---- the check -------------------------------------------------------------------------------------------------- */

static void assert_refused(struct tr_model_config config, const char *sentence)
{
    struct tr_err err = {""};
    assert_int_equal(tr_model_check(&config, "x", &err), TR_BAD_INPUT);
    assert_string_equal(err.text, sentence);
}

#define REFUSED(name, change, sentence)                                                                               \
    do {                                                                                                              \
        struct tr_model_config c = preset(name);                                                                      \
        change;                                                                                                       \
        assert_refused(c, sentence);                                                                                  \
    } while (0)

static void every_relation_is_refused_by_key_and_value_with_what_would_be_right(void **state)
{
    (void)state;
    REFUSED("gpt2", c.heads = c.kv_heads = 7, "x: n_head 7 does not divide n_embd 768; 6 or 8 would");
    REFUSED("gpt2", c.heads = c.kv_heads = 5, "x: n_head 5 does not divide n_embd 768; 4 or 6 would");
    REFUSED("gpt2", c.heads = c.kv_heads = 1000, "x: n_head 1000 does not divide n_embd 768; 384 would");
    REFUSED("gpt2", c.head_dim = 32, "x: head_dim 32: in the GPT-2 family it is n_embd 768 / n_head 12 = 64");
    REFUSED("gpt2", c.kv_heads = 4, "x: 4 key-value heads for n_head 12: the GPT-2 family has as many");
    REFUSED("gpt2", c.qk_norm = true, "x: qk_norm: the GPT-2 family has no query and key norms");
    REFUSED("gpt2", c.rope_scaling.factor = 8,
            "x: rope_scaling: the GPT-2 family has learned positions, not RoPE");
    REFUSED("gpt2", (c.heads = c.kv_heads = 2, c.head_dim = 384), "x: head_dim 384: expected 2 to 256");
    REFUSED("gpt2", (c.width = 36, c.head_dim = 3), "x: head_dim 3 is odd (RoPE turns pairs, bf16 multiplies them); "
                                                    "2 or 4 would do");
    REFUSED("llama3-8b", c.kv_heads = 7,
            "x: num_key_value_heads 7 does not divide num_attention_heads 32; 4 or 8 would");
    REFUSED("llama3-8b", c.kv_heads = 33, "x: num_key_value_heads 33: expected 1 to 32");
    REFUSED("llama3-8b", c.kv_heads = 0, "x: num_key_value_heads 0: expected 1 to 32");
    REFUSED("llama3-8b", c.head_dim = 127,
            "x: head_dim 127 is odd (RoPE turns pairs, bf16 multiplies them); 126 or 128 would do");
    REFUSED("llama3-8b", c.head_dim = 258, "x: head_dim 258: expected 2 to 256");
    REFUSED("llama3-8b", c.ffn = 14337,
            "x: intermediate_size 14337 is odd (bf16 multiplies pairs); 14336 or 14338 would do");
    REFUSED("llama3-8b", c.rope_theta = 0, "x: rope_theta 0: expected more than 1, up to 1e+12");
    REFUSED("llama3-405b", c.rope_scaling.factor = 0.5, "x: rope_scaling.factor 0.5: expected 1 to 1e+06");
    REFUSED("llama3-405b", c.rope_scaling.low_freq = 0,
            "x: rope_scaling.low_freq_factor 0: expected more than 0, up to 1e+06");
    REFUSED("llama3-405b", c.rope_scaling.high_freq = 1,
            "x: rope_scaling.high_freq_factor 1: expected more than low_freq_factor 1, up to 1e+06");
    REFUSED("llama3-405b", c.rope_scaling.original_positions = 0,
            "x: rope_scaling.original_max_position_embeddings 0: expected 1 to 4194304");
}

static void every_size_has_limits_and_its_familys_key(void **state)
{
    (void)state;
    REFUSED("gpt2", c.vocab = 0, "x: vocab_size 0: expected 1 to 1048576");
    REFUSED("gpt2", c.width = 1 << 18, "x: n_embd 262144: expected 1 to 131072");
    REFUSED("gpt2", c.layers = 0, "x: n_layer 0: expected 1 to 1024");
    REFUSED("gpt2", c.heads = -12, "x: n_head -12: expected 1 to 1024");
    REFUSED("gpt2", c.ffn = INT64_MAX, "x: n_inner 9223372036854775807: expected 1 to 524288");
    REFUSED("gpt2", c.positions = 0, "x: n_positions 0: expected 1 to 4194304");
    REFUSED("gpt2", c.norm_eps = 0, "x: layer_norm_epsilon 0: expected more than 0, up to 1");
    REFUSED("gpt2", c.init_std = NAN, "x: initializer_range nan: expected more than 0, up to 10");
    REFUSED("llama3-8b", c.width = 0, "x: hidden_size 0: expected 1 to 131072");
    REFUSED("llama3-8b", c.layers = 1025, "x: num_hidden_layers 1025: expected 1 to 1024");
    REFUSED("llama3-8b", c.heads = 1025, "x: num_attention_heads 1025: expected 1 to 1024");
    REFUSED("llama3-8b", c.positions = -1, "x: max_position_embeddings -1: expected 1 to 4194304");
    REFUSED("llama3-8b", c.norm_eps = INFINITY, "x: rms_norm_eps inf: expected more than 0, up to 1");
    REFUSED("llama3-8b", c.family = (enum tr_family)2, "x: family 2: expected GPT-2 (0) or Llama (1)");
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

/* Keys and values as published for these models, the harmless ones too. */
static const char gpt2_json[] =
    "{\"activation_function\": \"gelu_new\", \"architectures\": [\"GPT2LMHeadModel\"], \"attn_pdrop\": 0.1,"
    " \"bos_token_id\": 50256, \"embd_pdrop\": 0.1, \"eos_token_id\": 50256, \"initializer_range\": 0.02,"
    " \"layer_norm_epsilon\": 1e-05, \"model_type\": \"gpt2\", \"n_ctx\": 1024, \"n_embd\": 768, \"n_head\": 12,"
    " \"n_layer\": 12, \"n_positions\": 1024, \"resid_pdrop\": 0.1, \"summary_activation\": null,"
    " \"summary_first_dropout\": 0.1, \"summary_proj_to_labels\": true, \"summary_type\": \"cls_index\","
    " \"summary_use_proj\": true, \"task_specific_params\": {\"text-generation\": {\"do_sample\": true,"
    " \"max_length\": 50}}, \"vocab_size\": 50257}";

static const char qwen3_json[] =
    "{\"architectures\": [\"Qwen3ForCausalLM\"], \"attention_bias\": false, \"attention_dropout\": 0.0,"
    " \"bos_token_id\": 151643, \"eos_token_id\": 151645, \"head_dim\": 128, \"hidden_act\": \"silu\","
    " \"hidden_size\": 1024, \"initializer_range\": 0.02, \"intermediate_size\": 3072,"
    " \"max_position_embeddings\": 40960, \"max_window_layers\": 28, \"model_type\": \"qwen3\","
    " \"num_attention_heads\": 16, \"num_hidden_layers\": 28, \"num_key_value_heads\": 8, \"rms_norm_eps\": 1e-06,"
    " \"rope_scaling\": null, \"rope_theta\": 1000000, \"sliding_window\": null, \"tie_word_embeddings\": true,"
    " \"torch_dtype\": \"bfloat16\", \"transformers_version\": \"4.51.0\", \"use_cache\": true,"
    " \"use_sliding_window\": false, \"vocab_size\": 151936}";

static const char llama31_json[] =
    "{\"architectures\": [\"LlamaForCausalLM\"], \"attention_bias\": false, \"attention_dropout\": 0.0,"
    " \"bos_token_id\": 128000, \"eos_token_id\": [128001, 128008, 128009], \"hidden_act\": \"silu\","
    " \"hidden_size\": 16384, \"initializer_range\": 0.02, \"intermediate_size\": 53248,"
    " \"max_position_embeddings\": 131072, \"mlp_bias\": false, \"model_type\": \"llama\","
    " \"num_attention_heads\": 128, \"num_hidden_layers\": 126, \"num_key_value_heads\": 8, \"pretraining_tp\": 1,"
    " \"rms_norm_eps\": 1e-05, \"rope_scaling\": {\"factor\": 8.0, \"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0,"
    " \"original_max_position_embeddings\": 8192, \"rope_type\": \"llama3\"}, \"rope_theta\": 500000.0,"
    " \"tie_word_embeddings\": false, \"torch_dtype\": \"bfloat16\", \"use_cache\": true, \"vocab_size\": 128256}";

static void published_config_files_are_the_presets(void **state)
{
    (void)state;
    const struct {
        const char *name, *json;
    } file[] = {{"gpt2", gpt2_json}, {"qwen3-0.6b", qwen3_json}, {"llama3-405b", llama31_json}};
    for (size_t i = 0; i < sizeof file / sizeof file[0]; i++) {
        struct tr_model_config read, expected = preset(file[i].name);
        struct tr_err err = {""};
        if (read_text(&read, file[i].json, &err) != TR_OK)
            fail_msg("%s", err.text);
        expected.name[0] = 0; /* these files do not say it */
        assert_equal(&read, &expected);
    }
}

/* A file of the shape of a small model, with `keys` (of which earlier ones of the same name are left out by the caller)
 * in front. */
#define SHAPE "\"vocab_size\": 100, \"hidden_size\": 32, \"num_hidden_layers\": 2, \"num_attention_heads\": 4," \
              " \"intermediate_size\": 64, \"max_position_embeddings\": 5000"
#define LLAMA(keys) "{\"architectures\": [\"LlamaForCausalLM\"], " keys ", " SHAPE "}"
#define OTHER(name, keys) "{\"architectures\": [\"" name "\"], \"num_key_value_heads\": 2, " keys ", " SHAPE "}"
#define GPT(keys) \
    "{\"model_type\": \"gpt2\", \"vocab_size\": 100, \"n_embd\": 32, \"n_layer\": 2, \"n_head\": 4, " keys "}"

static struct tr_model_config accepted(const char *json)
{
    struct tr_model_config config;
    struct tr_err err = {""};
    if (read_text(&config, json, &err) != TR_OK)
        fail_msg("%s", err.text);
    return config;
}

static void absent_keys_have_the_architectures_defaults(void **state)
{
    (void)state;
    struct tr_model_config llama = accepted(LLAMA("\"bos_token_id\": 1"));
    assert_int_equal(llama.kv_heads, 4);
    assert_int_equal(llama.head_dim, 8);
    assert_true(llama.norm_eps == 1e-6f && llama.rope_theta == 10000 && llama.init_std == 0.02f);
    assert_true(!llama.tied && !llama.qkv_bias && !llama.qk_norm && llama.rope_scaling.factor == 0);

    struct tr_model_config gpt2 = accepted(GPT("\"n_inner\": null"));
    assert_int_equal(gpt2.ffn, 128);
    assert_int_equal(gpt2.positions, 1024);
    assert_int_equal(gpt2.head_dim, 8);
    assert_true(gpt2.tied && gpt2.norm_eps == 1e-5f);
    assert_int_equal(accepted(GPT("\"n_ctx\": 64")).positions, 64);
    assert_int_equal(accepted(GPT("\"n_inner\": 96")).ffn, 96);

    assert_true(accepted(OTHER("Qwen2ForCausalLM", "\"model_type\": \"qwen2\"")).qkv_bias);
    struct tr_model_config qwen3 = accepted(OTHER("Qwen3ForCausalLM", "\"bos_token_id\": 1"));
    assert_true(qwen3.qk_norm && !qwen3.qkv_bias);
    assert_int_equal(qwen3.head_dim, 128);
    assert_int_equal(accepted("{\"model_type\": \"llama\", " SHAPE "}").family, TR_LLAMA);
}

static void a_long_name_is_cut_between_characters(void **state)
{
    (void)state;
    /* 61 letters and two of three bytes: the first would end beyond the 63 that fit. */
    static const char letters[] = "abcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghija";
    assert_int_equal(strlen(letters), 61);
    char json[1024];
    snprintf(json, sizeof json, LLAMA("\"trine_name\": \"%s\xe2\x82\xac\xe2\x82\xac\""), letters);
    assert_string_equal(accepted(json).name, letters);
    snprintf(json, sizeof json, LLAMA("\"trine_name\": \"%sxyz\""), letters);
    assert_int_equal(strlen(accepted(json).name), TR_MODEL_NAME_MAX - 1);
}

static void rope_is_read_in_its_old_and_new_forms(void **state)
{
    (void)state;
    struct tr_model_config c;
    c = accepted(LLAMA("\"rope_parameters\": {\"rope_type\": \"default\", \"rope_theta\": 5e5}"));
    assert_true(c.rope_theta == 5e5 && c.rope_scaling.factor == 0);
    c = accepted(LLAMA("\"rope_theta\": 7e4, \"rope_scaling\": {\"type\": \"llama3\", \"factor\": 32,"
                       " \"low_freq_factor\": 1, \"high_freq_factor\": 4,"
                       " \"original_max_position_embeddings\": 8192}"));
    assert_true(c.rope_theta == 7e4 && c.rope_scaling.factor == 32 && c.rope_scaling.high_freq == 4);
    assert_int_equal(c.rope_scaling.original_positions, 8192);
}

static void a_sliding_window_is_accepted_where_it_is_not_in_use(void **state)
{
    (void)state;
    accepted(OTHER("MistralForCausalLM", "\"sliding_window\": null"));
    accepted(OTHER("MistralForCausalLM", "\"sliding_window\": 5000")); /* as long as the longest sequence */
    accepted(OTHER("Qwen2ForCausalLM", "\"sliding_window\": 64, \"use_sliding_window\": false"));
    accepted(OTHER("Qwen2ForCausalLM", "\"sliding_window\": 64, \"use_sliding_window\": true, "
                                       "\"max_window_layers\": 2")); /* of 2 layers: none slides */
    accepted(OTHER("Qwen3ForCausalLM", "\"layer_types\": [\"full_attention\", \"full_attention\"]"));
}

static void what_changes_the_arithmetic_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *json, *names; /* the sentence has this in it */
    } refused[] = {
        {LLAMA("\"mlp_bias\": true"),
         "mlp_bias: biases in the feed-forward: trine has only models where this is false"},
        {LLAMA("\"attention_bias\": true"), "attention_bias"},
        {LLAMA("\"hidden_act\": \"gelu\""), "hidden_act"},
        {LLAMA("\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 4}"), "yarn"},
        {LLAMA("\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2}"), "linear"},
        {LLAMA("\"rope_scaling\": {\"factor\": 2}"), "rope_type"},
        {LLAMA("\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8}"), "low_freq_factor"},
        {LLAMA("\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 0, \"low_freq_factor\": 1,"
               " \"high_freq_factor\": 4, \"original_max_position_embeddings\": 8192}"),
         "factor: 0: expected 1 or more"},
        {LLAMA("\"num_local_experts\": 8"), "num_local_experts: a mixture of experts: trine has only models where this "
                                            "is 0"},
        {LLAMA("\"quantization_config\": {\"bits\": 4}"),
         "quantised weights: trine has only models where this is null"},
        {LLAMA("\"partial_rotary_factor\": 0.5"), "RoPE on a part of each head"},
        {LLAMA("\"final_logit_softcapping\": 30.0"), "final_logit_softcapping"},
        {GPT("\"activation_function\": \"gelu\""), "activation_function"},
        {GPT("\"scale_attn_weights\": false"), "scale_attn_weights"},
        {GPT("\"scale_attn_by_inverse_layer_idx\": true"), "scale_attn_by_inverse_layer_idx"},
        {GPT("\"add_cross_attention\": true"), "add_cross_attention"},
        {OTHER("MixtralForCausalLM", "\"num_local_experts\": 8"), "MixtralForCausalLM"},
        {OTHER("MistralForCausalLM", "\"sliding_window\": 4096"), "a window of 4096 positions out of 5000"},
        {OTHER("MistralForCausalLM", "\"hidden_act\": \"silu\""), "sliding_window is absent"},
        {OTHER("Qwen2ForCausalLM", "\"use_sliding_window\": true, \"sliding_window\": 64, \"max_window_layers\": 1"),
         "a window of 64 positions out of 5000"},
        {OTHER("Qwen3ForCausalLM", "\"layer_types\": [\"full_attention\", \"sliding_attention\"]"),
         "sliding_attention"},
        {"{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"qwen2\", " SHAPE "}", "contradicts"},
        {"{\"vocab_size\": 100}", "model_type"},
        {"{\"architectures\": [\"BertModel\"]}", "BertModel"},
        {"[1]", "expected an object"},
        {"{\"architectures\": [\"GPT2LMHeadModel\"]}", "vocab_size"},
        {GPT("\"n_positions\": 0"), "n_positions"},
        {"{\"model_type\": \"gpt2\", \"vocab_size\": 100, \"n_embd\": 768, \"n_layer\": 2, \"n_head\": 7}",
         "config.json: n_head 7 does not divide n_embd 768; 6 or 8 would"},
        {"{\"model_type\": \"llama\", \"vocab_size\": 100, \"hidden_size\": 30, \"num_hidden_layers\": 2,"
         " \"num_attention_heads\": 4, \"intermediate_size\": 64, \"max_position_embeddings\": 50}",
         "num_attention_heads: 4 does not divide hidden_size 30, and no head_dim is given"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct tr_model_config config = {.width = 5};
        struct tr_err err = {""};
        if (read_text(&config, refused[i].json, &err) != TR_BAD_INPUT)
            fail_msg("accepted: %s", refused[i].json);
        if (!strstr(err.text, refused[i].names))
            fail_msg("expected \"%s\" in: %s", refused[i].names, err.text);
        if (getenv("TRINE_TEST_VERBOSE"))
            print_message("%s\n", err.text);
        if (strncmp(err.text, "config.json:", 12) != 0)
            fail_msg("no file in front: %s", err.text);
        assert_int_equal(config.width, 5);
    }
}

static void keys_at_the_value_that_changes_nothing_are_accepted(void **state)
{
    (void)state;
    accepted(LLAMA("\"mlp_bias\": false, \"attention_bias\": null, \"num_experts\": 0, \"pruned_heads\": {},"
                   " \"quantization_config\": null, \"partial_rotary_factor\": 1.0, \"logit_scale\": 1,"
                   " \"final_logit_softcapping\": null, \"rope_interleaved\": false, \"hidden_act\": \"swish\""));
    accepted(GPT("\"scale_attn_weights\": true, \"scale_attn_by_inverse_layer_idx\": false, \"use_cache\": true,"
                 " \"reorder_and_upcast_attn\": true, \"activation_function\": \"gelu_pytorch_tanh\""));
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

static void assert_round_trip(const struct tr_model_config *config)
{
    struct tr_text text = {0};
    struct tr_json json = tr_json_start(&text, TR_JSON_PRETTY);
    tr_model_config_write(config, &json);
    struct tr_model_config again;
    struct tr_err err = {""};
    if (read_text(&again, tr_text_str(&text), &err) != TR_OK)
        fail_msg("%s: %s\n%s", config->name, err.text, tr_text_str(&text));
    assert_equal(&again, config);
    tr_text_free(&text);
}

static void what_is_written_reads_back_as_the_same_config(void **state)
{
    (void)state;
    const struct tr_model_config *listed;
    for (int i = 0; (listed = tr_model_preset(i)); i++)
        assert_round_trip(listed);
    for (int features = 0; features < 16; features++) {
        struct tr_model_config c = preset("tiny-llama");
        c.qkv_bias = features & 1, c.qk_norm = features & 2, c.tied = features & 4;
        c.head_dim = features & 8 ? 14 : 8;
        c.norm_eps = 1.1e-6f, c.rope_theta = 12345.678, c.init_std = 0.0123f;
        c.rope_scaling = (struct tr_rope_scaling){features & 8 ? 1.5 : 0, features & 8 ? 1 : 0, features & 8 ? 4.25 : 0,
                                                  features & 8 ? 77 : 0};
        assert_round_trip(&c);
    }
    struct tr_model_config gpt2 = preset("tiny-gpt2"), llama = preset("tiny-llama");
    gpt2.tied = false, gpt2.ffn = 34;
    assert_round_trip(&gpt2);
    gpt2.lora = (struct tr_lora){3, 6.5, tr_lora_targets(TR_GPT2)};
    assert_round_trip(&gpt2);
    llama.lora = (struct tr_lora){1, 16, 1u << TR_LORA_Q | 1u << TR_LORA_DOWN};
    assert_round_trip(&llama);
}

/* ---- finding ---------------------------------------------------------------------------------------------------- */

static void write_file(const char *folder, const char *name, const char *text)
{
    char path[TR_PATH_BYTES];
    struct tr_err err = {""};
    assert_int_equal(tr_folder_make(folder, &err), TR_OK);
    assert_int_equal(tr_path_join(path, folder, name, &err), TR_OK);
    assert_int_equal(tr_file_write(path, text, strlen(text), &err), TR_OK);
}

static void a_model_is_found_by_preset_folder_or_file(void **state)
{
    (void)state;
    assert_int_equal(preset("qwen3-0.6b").head_dim, 128);

    char root[] = "/tmp/trine-config-XXXXXX";
    assert_non_null(mkdtemp(root));
    char folder[64], path[96];
    snprintf(folder, sizeof folder, "%s/my-model", root);
    write_file(folder, "config.json", GPT("\"n_inner\": 64"));
    write_file(folder, "other.json", GPT("\"trine_name\": \"named inside\""));

    struct tr_model_config c;
    c = preset(folder);
    assert_string_equal(c.name, "my-model");
    assert_int_equal(c.ffn, 64);
    snprintf(path, sizeof path, "%s//", folder);
    assert_string_equal(preset(path).name, "my-model");
    snprintf(path, sizeof path, "%s/config.json", folder);
    assert_string_equal(preset(path).name, "my-model");
    snprintf(path, sizeof path, "%s/other.json", folder);
    assert_string_equal(preset(path).name, "named inside");

    struct tr_err err = {""};
    assert_int_equal(tr_model_config_find(&c, root, &err), TR_BAD_INPUT); /* a folder without config.json */
    assert_non_null(strstr(err.text, "config.json"));
    write_file(folder, "broken.json", "{\"model_type\": ");
    snprintf(path, sizeof path, "%s/broken.json", folder);
    assert_int_equal(tr_model_config_find(&c, path, &err), TR_BAD_INPUT);
    assert_non_null(strstr(err.text, "broken.json"));
    assert_int_equal(tr_folder_remove(root, &err), TR_OK);
}

static void an_unknown_name_gets_the_nearest_preset_or_the_list(void **state)
{
    (void)state;
    struct tr_model_config c = {.width = 3};
    struct tr_err err = {""};
    assert_int_equal(tr_model_config_find(&c, "gtp2-medium", &err), TR_BAD_INPUT);
    assert_string_equal(err.text,
                        "model \"gtp2-medium\": no preset and no file of that name; did you mean gpt2-medium?");
    assert_int_equal(tr_model_config_find(&c, "zzzzzz", &err), TR_BAD_INPUT);
    assert_non_null(strstr(err.text, "presets are tiny-gpt2, "));
    assert_non_null(strstr(err.text, "llama3-405b"));
    assert_int_equal(tr_model_config_find(&c, "", &err), TR_BAD_INPUT);
    assert_int_equal(c.width, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_relation_is_refused_by_key_and_value_with_what_would_be_right),
        cmocka_unit_test(every_size_has_limits_and_its_familys_key),
        cmocka_unit_test(published_config_files_are_the_presets),
        cmocka_unit_test(absent_keys_have_the_architectures_defaults),
        cmocka_unit_test(a_long_name_is_cut_between_characters),
        cmocka_unit_test(rope_is_read_in_its_old_and_new_forms),
        cmocka_unit_test(a_sliding_window_is_accepted_where_it_is_not_in_use),
        cmocka_unit_test(what_changes_the_arithmetic_is_refused_by_name),
        cmocka_unit_test(keys_at_the_value_that_changes_nothing_are_accepted),
        cmocka_unit_test(what_is_written_reads_back_as_the_same_config),
        cmocka_unit_test(a_model_is_found_by_preset_folder_or_file),
        cmocka_unit_test(an_unknown_name_gets_the_nearest_preset_or_the_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
