/* The two kinds of import. Internal to lab/exchange. */
#ifndef TR_LAB_EXCHANGE_IMPORT_H
#define TR_LAB_EXCHANGE_IMPORT_H

#include "lab/exchange/exchange.h"
#include "lab/exchange/tensor_file.h"

/* Fill model, is_own and tensors, in import->arena. */
TR_MUST_CHECK enum tr_status tr_import_folder(struct tr_import *import, struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_import_gguf(struct tr_import *import, struct tr_err *err);

/* What PEFT's adapter_config.json says: model->lora, which passes tr_model_check. On failure *model is undefined. */
struct tr_node;
TR_MUST_CHECK enum tr_status tr_import_adapter_config(const struct tr_node *root, struct tr_model_config *model,
                                                      struct tr_err *err);

/* tensors: those of one safetensors file of the folder import->path. */
TR_MUST_CHECK enum tr_status tr_import_file(struct tr_import *import, const char *name, struct tr_err *err);

#endif
