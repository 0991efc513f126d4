#include "lab/exchange/import.h"

enum tr_status tr_import_gguf(struct tr_import *import, struct tr_err *err)
{
    return tr_fail(err, TR_BAD_INPUT, "%s: GGUF is not read yet", import->path);
}
