/* Any bytes as a safetensors file: refused with a sentence, or tensors that lie in the file, in order, without gap, and
 * whose header, written again, reads back the same. */
#include "lab/exchange/safetensors.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void write_and_read(struct tr_safetensors *file, int64_t data_bytes)
{
    struct tr_text header = {0};
    struct tr_err err;
    struct tr_safetensors again;
    TR_ASSERT(tr_safetensors_header(file->tensor, file->count, &header, &err) == TR_OK);
    TR_ASSERT(tr_safetensors_parse("again", tr_text_str(&header), header.len, (int64_t)header.len + data_bytes, &again,
                                   &err) == TR_OK);
    TR_ASSERT(again.count == file->count);
    for (int64_t i = 0; i < file->count; i++) {
        const struct tr_safetensor *a = &file->tensor[i], *b = &again.tensor[i];
        /* Several tensors without bytes may begin at one place; their order is not told. */
        TR_ASSERT(a->bytes == b->bytes && a->begin == b->begin && (a->bytes == 0 || strcmp(a->name, b->name) == 0));
    }
    tr_safetensors_free(&again);
    tr_text_free(&header);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct tr_safetensors file;
    struct tr_err err = {""};
    enum tr_status status = tr_safetensors_parse("input", data, bytes, (int64_t)bytes, &file, &err);
    TR_ASSERT(status == TR_OK || (status == TR_BAD_INPUT && err.text[0]));
    if (status != TR_OK)
        return 0;
    int64_t at = file.data_begin;
    for (int64_t i = 0; i < file.count; i++) {
        TR_ASSERT(file.tensor[i].begin == at && file.tensor[i].bytes >= 0);
        at += file.tensor[i].bytes;
    }
    TR_ASSERT(at == (int64_t)bytes);
    write_and_read(&file, at - file.data_begin);
    tr_safetensors_free(&file);
    return 0;
}
