/* Any bytes as the model.safetensors.index.json of a sharded model, beside files that are right: refused with a sentence,
 * or each tensor lies in the file that the index says. */
#include "lab/exchange/exchange.h"
#include "lab/exchange/safetensors.h"
#include "folder.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* Two files of one tensor each, and the config of some model. */
static void make_folder(void)
{
    static const char config[] = "{\"model_type\":\"llama\",\"architectures\":[\"LlamaForCausalLM\"],\"hidden_size\":8,"
                                 "\"num_hidden_layers\":1,\"num_attention_heads\":2,\"num_key_value_heads\":2,"
                                 "\"intermediate_size\":16,\"vocab_size\":32,\"max_position_embeddings\":16,"
                                 "\"rms_norm_eps\":1e-5,\"hidden_act\":\"silu\",\"tie_word_embeddings\":true}";
    struct tr_err err;
    folder_make();
    folder_put("config.json", config, sizeof config - 1);
    for (int i = 0; i < 2; i++) {
        struct tr_safetensor one = {.name = i ? "b" : "a", .dtype = "F32", .rank = 1, .dim = {1}, .bytes = 4};
        struct tr_text file = {0};
        TR_ASSERT(tr_safetensors_header(&one, 1, &file, &err) == TR_OK);
        tr_text_append_bytes(&file, "\0\0\0\0", 4);
        folder_put(i ? "two.safetensors" : "one.safetensors", file.at, file.len);
        tr_text_free(&file);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct tr_import import;
    struct tr_err err = {""};
    if (!folder[0])
        make_folder();
    folder_put("model.safetensors.index.json", data, bytes);
    enum tr_status status = tr_import_open(&import, folder, &err);
    TR_ASSERT(status == TR_OK || (status == TR_BAD_INPUT && err.text[0]));
    if (status == TR_OK)
        tr_import_close(&import);
    return 0;
}
