/* The two kinds of import. Internal to lab/exchange. */
#ifndef TR_LAB_EXCHANGE_IMPORT_H
#define TR_LAB_EXCHANGE_IMPORT_H

#include "lab/exchange/exchange.h"
#include "lab/exchange/tensor_file.h"

/* Fill model, is_own and tensors, in import->arena. */
TR_MUST_CHECK enum tr_status tr_import_folder(struct tr_import *import, struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_import_gguf(struct tr_import *import, struct tr_err *err);

#endif
