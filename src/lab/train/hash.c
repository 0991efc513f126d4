#include "lab/train/hash.h"

#include <stdio.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "weights are hashed and stored as they lie in memory");

const char *tr_arithmetic_id(char buf[TR_ARITHMETIC_BYTES], enum tr_dtype dtype, const struct tr_widths *widths)
{
    snprintf(buf, TR_ARITHMETIC_BYTES, "trine-%d/%s lanes=%d context=%d tensor=%d vocab=%d", TR_CONTRACT_VERSION,
             tr_dtype_name(dtype), widths->lanes, widths->context, widths->tensor, widths->vocab);
    return buf;
}

static void add_number(struct tr_sha256 *sum, uint64_t value, int bytes)
{
    tr_sha256_update(sum, &value, (size_t)bytes);
}

void tr_hash_head(struct tr_sha256 *sum, const struct tr_weight *weight)
{
    size_t length = strlen(weight->name);
    add_number(sum, length, 4);
    tr_sha256_update(sum, weight->name, length);
    add_number(sum, (uint64_t)weight->rank, 4);
    for (int i = 0; i < weight->rank; i++)
        add_number(sum, (uint64_t)weight->dim[i], 8);
}

enum tr_status tr_hash_tensors(const struct tr_tensors *tensors, char hex[TR_SHA256_HEX_BYTES], struct tr_err *err)
{
    struct tr_sha256 sum;
    enum tr_status status = tr_sha256_start(&sum, err);
    if (status != TR_OK)
        return status;
    for (int32_t i = 0; i < tensors->weights->count; i++) {
        const struct tr_weight *weight = &tensors->weights->weight[i];
        size_t bytes = (size_t)weight->count * sizeof(float);
        tr_hash_head(&sum, weight);
        tr_sha256_update(&sum, tensors->w[i], bytes);
        if (weight->moments >= 1)
            tr_sha256_update(&sum, tensors->m[i], bytes);
        if (weight->moments == 2)
            tr_sha256_update(&sum, tensors->v[i], bytes);
    }
    uint8_t digest[TR_SHA256_BYTES];
    tr_sha256_finish(&sum, digest);
    tr_sha256_hex(digest, hex);
    return TR_OK;
}
