/* Any bytes as an index of Megatron: the first two are the size of the .bin beside it. Refused with a sentence, or
 * documents that follow each other, end inside the .bin, and end where it ends. */
#include "lab/data/megatron.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct tr_megatron index;
    struct tr_err err = {""};
    if (bytes < 2)
        return 0;
    int64_t bin_bytes = data[0] | data[1] << 8, before = 0;
    enum tr_status status = tr_megatron_parse("input.idx", data + 2, bytes - 2, bin_bytes, &index, &err);
    TR_ASSERT(status == TR_OK || (status == TR_BAD_INPUT && strncmp(err.text, "input.idx: ", 11) == 0));
    if (status != TR_OK)
        return 0;
    struct tr_megatron header;
    status = tr_megatron_parse_header("input.idx", data + 2, (int64_t)bytes - 2, bin_bytes, &header, &err);
    TR_ASSERT(status == TR_OK && header.tokens == index.tokens && header.documents == index.documents);
    TR_ASSERT(index.tokens * index.width == bin_bytes && index.documents >= 1);
    for (int64_t i = 0; i < index.documents; i++) {
        int64_t end = tr_megatron_document_end(&index, i);
        TR_ASSERT(end >= before && end <= index.tokens);
        before = end;
    }
    TR_ASSERT(before == index.tokens);
    return 0;
}
