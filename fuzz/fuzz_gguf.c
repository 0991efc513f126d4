/* Any bytes as a GGUF file: refused with a sentence, or tensors that lie in the file in order, each whole; and its model
 * and tokenizer are read or refused with a sentence. */
#include "lab/exchange/gguf.h"
#include "lab/exchange/gguf_model.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void said(enum tr_status status, const struct tr_err *err)
{
    TR_ASSERT(status == TR_OK || (status == TR_BAD_INPUT && err->text[0]));
}

static void check_tensors(const struct tr_gguf *file, int64_t bytes)
{
    int64_t end = file->data_begin;
    for (int64_t i = 0; i < file->tensor_count; i++) {
        const struct tr_gguf_tensor *t = &file->tensor[i];
        TR_ASSERT(t->begin >= end && t->bytes > 0 && t->begin + t->bytes <= bytes);
        int64_t whole = tr_element_row_bytes(t->type, t->dim[t->rank - 1]);
        for (int d = 0; d < t->rank - 1; d++)
            whole *= t->dim[d]; /* bounded: the reader held it against the file */
        TR_ASSERT(t->bytes == whole);
        end = t->begin + t->bytes;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct tr_gguf file;
    struct tr_err err = {""};
    struct tr_model_config model;
    struct tr_token *token = NULL;
    enum tr_status status = tr_gguf_parse("input", data, bytes, &file, &err);
    said(status, &err);
    if (status != TR_OK)
        return 0;
    check_tensors(&file, (int64_t)bytes);
    err.text[0] = 0;
    status = tr_gguf_model(&file, &model, &err);
    said(status, &err);
    err.text[0] = 0;
    status = tr_gguf_token(&file, &token, &err);
    said(status, &err);
    if (status == TR_OK)
        tr_token_free(token);
    tr_gguf_free(&file);
    return 0;
}
