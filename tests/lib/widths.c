#include "lib/widths.h"
#include "lib/opcase.h"
#include "lib/wide.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

void *tr_array_zeros(struct tr_arrays *arrays, int64_t bytes)
{
    size_t room = (size_t)(bytes + 63) / 64 * 64 + 64;
    void *data = aligned_alloc(64, room);
    TR_ASSERT(data != NULL && arrays->count < TR_ARRAYS_MAX);
    memset(data, 0, room);
    arrays->at[arrays->count++] = data;
    return data;
}

void *tr_array_random(struct tr_arrays *arrays, int64_t elements, enum tr_dtype type)
{
    void *data = tr_array_zeros(arrays, elements * tr_dtype_bytes(type));
    tr_test_fill(data, type, elements, TR_FILL_NORMAL, (uint64_t)arrays->count);
    return data;
}

void tr_arrays_free(struct tr_arrays *arrays, int down_to)
{
    while (arrays->count > down_to)
        free(arrays->at[--arrays->count]);
}

static void *random_indices(struct tr_arrays *arrays, int64_t n, int64_t vocab, int first)
{
    int32_t *index = tr_array_zeros(arrays, n * (int64_t)sizeof *index);
    for (int64_t t = 0; t < n; t++)
        index[t] = (int32_t)(tr_test_bits(5, (uint64_t)t) % (uint64_t)(vocab - first)) + first;
    return index;
}

void tr_make_operands(struct tr_arrays *arrays, const struct tr_op *op, uint32_t absent,
                      void *operand[TR_OP_OPERANDS_MAX])
{
    const struct tr_op_info *info = tr_op_operands(op->kind);
    for (int i = 0; i < TR_OP_OPERANDS_MAX; i++) {
        operand[i] = NULL;
        if (i >= info->operand_count || absent >> i & 1u || tr_op_operand_shape(op, i).rank == 0)
            continue;
        enum tr_dtype type = tr_op_operand_dtype(op, i);
        int64_t n = tr_op_operand_bytes(op, i) / tr_dtype_bytes(type);
        if (info->operand[i].direction != TR_IN)
            operand[i] = tr_array_zeros(arrays, n * tr_dtype_bytes(type));
        else if (i == tr_op_start_operand(op->kind))
            tr_test_starts(operand[i] = tr_array_zeros(arrays, n * 4), op->seqs, op->seq_len, 0, (uint64_t)n);
        else if (type == TR_I32)
            operand[i] = random_indices(arrays, n, op->vocab, op->kind == TR_OP_HEAD ? -1 : 0);
        else
            operand[i] = tr_array_random(arrays, n, type);
        bool stats = op->kind == TR_OP_NORM_BWD && i == TR_NORM_BWD_STATS;
        for (int64_t k = 1; stats && k < n; k += 2)
            ((float *)operand[i])[k] = fabsf(((float *)operand[i])[k]) + 0.5f;
    }
}

void tr_run_operands(const struct tr_kernel_set *set, const struct tr_op *op, void *const operand[TR_OP_OPERANDS_MAX])
{
    struct tr_step_values values = {.loss_scale = 0.0625f};
    struct tr_count count = {0};
    struct tr_call call = {.op = op, .values = &values, .count = &count, .threads = 1};
    struct tr_guarded workspace = {0};
    int64_t bytes = tr_kernel_workspace_bytes(set, op, call.threads);
    memcpy(call.operand, operand, sizeof call.operand);
    if (bytes > 0) {
        tr_guarded_make(&workspace, bytes);
        call.workspace = workspace.data;
    }
    tr_kernel_run(set, &call);
    TR_ASSERT(tr_guarded_intact(&workspace));
    tr_guarded_free(&workspace);
}

bool tr_next_set(int i, const struct tr_kernel_set **set)
{
    int index = 0;
    for (int isa = 0; isa < TR_ISA_COUNT; isa++) {
        *set = tr_kernel_set((enum tr_isa)isa);
        if (tr_isa_runs((enum tr_isa)isa) && index++ == i)
            return true;
    }
    *set = tr_wide_kernel_set();
    return tr_wide_runs() && index == i;
}

void *tr_take_columns(struct tr_arrays *arrays, const void *from, enum tr_dtype type, int64_t rows, int64_t width,
                      struct tr_range columns)
{
    int64_t element = tr_dtype_bytes(type), bytes = (columns.last - columns.first) * element;
    char *share = tr_array_zeros(arrays, rows * bytes);
    for (int64_t r = 0; r < rows && bytes > 0; r++)
        memcpy(share + r * bytes, (const char *)from + (r * width + columns.first) * element, (size_t)bytes);
    return share;
}

bool tr_next_owner(uint32_t grouping, struct tr_parts *owner)
{
    if (owner->last == owner->parts)
        return false;
    owner->first = owner->last++;
    while (owner->last < owner->parts && !(grouping >> (owner->last - 1) & 1u))
        owner->last++;
    return true;
}

uint32_t tr_each_its_own(int width) { return (1u << (width - 1)) - 1; }

bool tr_next_grouping(int width, uint32_t *grouping)
{
    uint32_t last = tr_each_its_own(width), stride = width <= 4 ? 1 : 13;
    if (*grouping == last)
        return false;
    *grouping = *grouping + stride > last ? last : *grouping + stride;
    return true;
}

int tr_grouping_nodes(int width, uint32_t grouping, struct tr_range *node)
{
    int count = 0;
    for (struct tr_parts owner = {width, 0, 0}; tr_next_owner(grouping, &owner);)
        count += tr_tree_roots(width, owner.first, owner.last, node + count);
    return count;
}

void tr_hash_start(struct tr_hash *hash)
{
    struct tr_err err;
    TR_ASSERT(tr_sha256_start(&hash->sum, &err) == TR_OK);
}

void tr_hash_add(struct tr_hash *hash, const void *data, int64_t bytes)
{
    tr_sha256_update(&hash->sum, data, (size_t)bytes);
}

void tr_hash_end(struct tr_hash *hash, char hex[TR_SHA256_HEX_BYTES])
{
    uint8_t digest[TR_SHA256_BYTES];
    tr_sha256_finish(&hash->sum, digest);
    tr_sha256_hex(digest, hex);
}

void tr_hash_check(const char *name, const char *type, const char *hex)
{
    char path[4096], wanted[256], line[256];
    const char *source = getenv("TRINE_SOURCE_DIR");
    print_message("%s %s %s\n", name, type, hex);
    if (source == NULL)
        fail_msg("TRINE_SOURCE_DIR is not set: run this by ctest");
    snprintf(path, sizeof path, "%s/tests/silicon/kernel/contract_hashes.txt", source);
    snprintf(wanted, sizeof wanted, "%s %s %s\n", name, type, hex);
    FILE *file = fopen(path, "r");
    bool found = false;
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        found = found || strcmp(line, wanted) == 0;
    if (file != NULL)
        fclose(file);
    if (!found)
        fail_msg("%s has no such line: the bits of the contract have changed", path);
}
