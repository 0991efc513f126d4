/* Adapters in PEFT's format. */
#include "base/doc.h"
#include "lab/exchange/import.h"

#include <string.h>

#define ARENA_MAX_BYTES ((int64_t)256 << 20)

/* Keys that make something else of adapters than W + (alpha / r) B A; absent, null, false, and empty they do not. */
static enum tr_status refuse_changers(const struct tr_node *root, struct tr_err *err)
{
    static const char *const changers[] = {
        "use_rslora",      "use_dora",  "rank_pattern",            "alpha_pattern",     "modules_to_save",
        "megatron_config", "lora_bias", "trainable_token_indices", "target_parameters", "layers_to_transform",
        "layer_replication",
    };
    for (size_t i = 0; i < sizeof changers / sizeof *changers; i++) {
        const struct tr_node *node = tr_doc_find(root, changers[i]);
        bool neutral = !node || node->kind == TR_NODE_NULL || (node->kind == TR_NODE_BOOL && !node->boolean) ||
                       ((node->kind == TR_NODE_OBJECT || node->kind == TR_NODE_ARRAY) && node->count == 0);
        if (!neutral)
            return tr_node_fail(node, err, "is not supported: only plain LoRA is");
    }
    return TR_OK;
}

enum tr_status tr_import_adapter_config(const struct tr_node *root, struct tr_model_config *model, struct tr_err *err)
{
    static const char *const peft_types[] = {"LORA"}, *const biases[] = {"none"};
    int first = 0;
    if (root->kind != TR_NODE_OBJECT)
        return tr_node_fail(root, err, "expected an object with the keys of PEFT's adapter_config.json");
    enum tr_status status = tr_doc_enum(root, "peft_type", TR_REQUIRED, peft_types, 1, &first, err);
    if (status == TR_OK)
        status = tr_doc_enum(root, "bias", TR_OPTIONAL, biases, 1, &first, err);
    if (status == TR_OK)
        status = refuse_changers(root, err);
    const struct tr_node *alpha; /* the default is another in PEFT than in a checkpoint */
    if (status == TR_OK)
        status = tr_doc_get(root, "lora_alpha", TR_REQUIRED, &alpha, err);
    if (status == TR_OK)
        status = tr_model_lora_read(model, root, err);
    return status == TR_OK ? tr_model_check(model, "adapter", err) : status;
}

enum tr_status tr_import_adapter(const char *folder, struct tr_model_config *model, struct tr_err *err)
{
    char path[TR_PATH_BYTES];
    struct tr_doc *doc;
    struct tr_model_config made = *model;
    if (model->lora.rank > 0)
        return tr_fail(err, TR_BAD_INPUT, "%s: the model has adapters already: merge them first (trine export --merge)",
                       folder);
    if (model->family == TR_GPT2)
        return tr_fail(err, TR_BAD_INPUT, "%s: adapters of PEFT for a GPT-2 are not supported: its c_attn is three matrices "
                       "here", folder);
    enum tr_status status = tr_path_join(path, folder, "adapter_config.json", err);
    if (status == TR_OK && !tr_file_exists(path))
        return tr_fail(err, TR_BAD_INPUT, "%s: is no folder with an adapter_config.json, as PEFT writes it", folder);
    if (status == TR_OK)
        status = tr_doc_read(path, TR_DOC_JSON, &doc, err);
    if (status != TR_OK)
        return status;
    status = tr_import_adapter_config(tr_doc_root(doc), &made, err);
    tr_doc_free(doc);
    if (status == TR_OK)
        *model = made;
    return status;
}

enum tr_status tr_import_adapter_weights(const char *folder, const struct tr_model_config *model,
                                         const struct tr_weights *weights, float *const *w, struct tr_err *err)
{
    struct tr_import import = {.model = *model, .is_peft = true};
    if (strlen(folder) >= sizeof import.path)
        return tr_fail(err, TR_BAD_INPUT, "%.200s...: a path of more than %d bytes", folder, TR_PATH_BYTES - 1);
    strcpy(import.path, folder);
    tr_arena_init(&import.arena, "list of adapters", ARENA_MAX_BYTES);
    enum tr_status status = tr_import_file(&import, "adapter_model.safetensors", err);
    if (status == TR_OK)
        status = tr_import_weights(&import, weights, w, err);
    tr_import_close(&import);
    return status;
}
