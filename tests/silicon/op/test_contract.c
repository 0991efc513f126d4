/* The reduction contract as a table, and docs/contract.md as its print. */
#include "base/os.h"
#include "base/text.h"
#include "silicon/op/op.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What moves bits without computing: nothing to say about it. */
static bool is_pure_copy(enum tr_op_kind kind)
{
    return kind == TR_OP_LAST || kind == TR_OP_KV_APPEND || kind == TR_OP_SPLIT || kind == TR_OP_TAKE || kind == TR_OP_ZERO;
}

static int rows_of(enum tr_op_kind kind)
{
    int count, found = 0;
    const struct tr_contract *row = tr_op_contract(&count);
    for (int i = 0; i < count; i++)
        found += row[i].kind == kind;
    return found;
}

static void every_kind_of_operation_has_rows_unless_it_copies_bits(void **state)
{
    (void)state;
    for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++) {
        if (is_pure_copy((enum tr_op_kind)kind) != (rows_of((enum tr_op_kind)kind) == 0))
            fail_msg("%s: %d rows", tr_op_operands((enum tr_op_kind)kind)->name, rows_of((enum tr_op_kind)kind));
    }
}

/* "dk, dv" names dk; "y" names y0, y1, y2. */
static bool names(const char *list, const char *operand)
{
    for (const char *word = list; *word != '\0';) {
        size_t length = strcspn(word, ", ");
        bool begins = length > 0 && strncmp(word, operand, length) == 0;
        if (begins && strspn(operand + length, "0123456789") == strlen(operand + length))
            return true;
        word += length;
        word += strspn(word, ", ");
    }
    return false;
}

static bool has_row(enum tr_op_kind kind, const char *operand)
{
    int count;
    const struct tr_contract *row = tr_op_contract(&count);
    for (int i = 0; i < count; i++)
        if (row[i].kind == kind && names(row[i].result, operand))
            return true;
    return false;
}

static void every_operand_that_is_written_has_a_row(void **state)
{
    (void)state;
    for (int k = 0; k < TR_OP_KIND_COUNT; k++) {
        enum tr_op_kind kind = (enum tr_op_kind)k;
        const struct tr_op_info *info = tr_op_operands(kind);
        for (int i = 0; i < info->operand_count; i++) {
            bool norm_stats = kind == TR_OP_NORM && i == TR_NORM_STATS; /* two rows: mean and rstd */
            if (info->operand[i].direction == TR_IN || is_pure_copy(kind) || norm_stats)
                continue;
            if (!has_row(kind, info->operand[i].name))
                fail_msg("%s: no row defines %s", info->name, info->operand[i].name);
        }
    }
    assert_true(has_row(TR_OP_NORM, "mean") && has_row(TR_OP_NORM, "rstd"));
}

static void an_order_and_an_axis_come_together(void **state)
{
    (void)state;
    int count;
    const struct tr_contract *row = tr_op_contract(&count);
    for (int i = 0; i < count; i++) {
        bool joins_only = row[i].order == TR_ORDER_NONE && row[i].cuts != 0;
        if ((row[i].axis == TR_AXIS_NONE) != (row[i].order == TR_ORDER_NONE) && !joins_only)
            fail_msg("row %d, %s %s", i, tr_op_operands(row[i].kind)->name, row[i].result);
        assert_true(strlen(row[i].note) > 0);
        assert_null(strchr(row[i].note, '|')); /* it stands in a Markdown table */
        assert_null(strchr(row[i].note, '\n'));
    }
}

/* The accumulators that stay apart on one rank are those that the table's cuts within a lane make. */
static void accumulators_have_leaves_for_the_cuts_of_their_row(void **state)
{
    (void)state;
    const struct tr_op norm = {.kind = TR_OP_NORM_BWD, .seqs = 2, .seq_len = 512, .width = 8, .heads = 1,
                               .context = tr_all_parts(3), .part = tr_all_parts(5)};
    assert_int_equal(tr_op_leaves(&norm, TR_NORM_BWD_DGAIN), 15);
    struct tr_op linear = {.kind = TR_OP_LINEAR_DW, .seqs = 2, .seq_len = 512, .in = 8, .segments = 1, .out = {6},
                           .context = tr_all_parts(3), .part = tr_all_parts(2), .quantum = {2}};
    assert_int_equal(tr_op_leaves(&linear, TR_LINEAR_DW_DW), 3);
    assert_int_equal(tr_op_leaves(&linear, TR_LINEAR_DW_DB), 3);
    linear.flags = TR_OP_ROW_PARALLEL;
    assert_int_equal(tr_op_leaves(&linear, TR_LINEAR_DW_DW), 3);
    assert_int_equal(tr_op_leaves(&linear, TR_LINEAR_DW_DB), 6);
}

static void leaves_cover_every_token_once(void **state)
{
    (void)state;
    for (int64_t seq_len = 64; seq_len <= 700; seq_len += 53) {
        for (int context = 1; context <= 5; context++) {
            for (int part = 1; part <= 4; part++) {
                const struct tr_op op = {.kind = TR_OP_NORM_BWD, .seqs = 1, .seq_len = seq_len, .width = 8, .heads = 1,
                                         .context = tr_all_parts(context), .part = tr_all_parts(part)};
                int64_t next = 0;
                for (int64_t leaf = 0; leaf < tr_op_leaves(&op, TR_NORM_BWD_DGAIN); leaf++) {
                    struct tr_range tokens = tr_op_leaf_tokens(&op, TR_NORM_BWD_DGAIN, leaf);
                    assert_int_equal(tokens.first, next);
                    next = tokens.last;
                    if (leaf % part == 0)
                        assert_int_equal(tokens.first, tr_cut(seq_len, TR_KEY_BLOCK, context, leaf / part));
                }
                assert_int_equal(next, seq_len);
            }
        }
    }
}

/* A rank's tokens: of each of its context parts its sequence parts, whatever lengths these have. */
static void check_rank_tokens(const struct tr_op *all, struct tr_parts context, struct tr_parts part)
{
    struct tr_op mine = *all;
    mine.context = context;
    mine.part = part;
    mine.whole_seq_len = all->seq_len;
    mine.seq_len = 0;
    int64_t next = 0, owned = tr_parts_owned(part);
    for (int pass = 0; pass < 2; pass++) { /* how many there are, then where the cuts are among them */
        for (int64_t leaf = 0; leaf < tr_op_leaves(&mine, TR_NORM_BWD_DGAIN); leaf++) {
            int64_t of_all = (context.first + leaf / owned) * part.parts + part.first + leaf % owned;
            struct tr_range whole = tr_op_leaf_tokens(all, TR_NORM_BWD_DGAIN, of_all), tokens;
            mine.seq_len += pass == 0 ? whole.last - whole.first : 0;
            if (pass == 0)
                continue;
            tokens = tr_op_leaf_tokens(&mine, TR_NORM_BWD_DGAIN, leaf);
            assert_int_equal(tokens.first, next);
            assert_int_equal(tokens.last - tokens.first, whole.last - whole.first);
            next = tokens.last;
        }
    }
    assert_int_equal(next, mine.seq_len);
}

static void leaves_of_a_rank_are_as_long_as_those_of_the_whole(void **state)
{
    (void)state;
    enum { CONTEXT = 3, PARTS = 5 };
    for (int64_t seq_len = 200; seq_len <= 700; seq_len += 53) {
        const struct tr_op all = {.kind = TR_OP_NORM_BWD, .seqs = 1, .seq_len = seq_len, .width = 8, .heads = 1,
                                  .context = tr_all_parts(CONTEXT), .part = tr_all_parts(PARTS)};
        for (int ranges = 0; ranges < CONTEXT * CONTEXT * PARTS * PARTS; ranges++) {
            int c = ranges % CONTEXT, c_last = ranges / CONTEXT % CONTEXT + 1, p = ranges / (CONTEXT * CONTEXT) % PARTS,
                p_last = ranges / (CONTEXT * CONTEXT * PARTS) + 1;
            if (c < c_last && p < p_last)
                check_rank_tokens(&all, (struct tr_parts){CONTEXT, c, c_last}, (struct tr_parts){PARTS, p, p_last});
        }
    }
}

static char *read_whole(const char *path)
{
    struct tr_err err;
    struct tr_bytes bytes;
    if (tr_file_read(path, 1 << 24, &bytes, &err) != TR_OK)
        return NULL;
    return bytes.at;
}

static void docs_contract_md_is_what_the_table_prints(void **state)
{
    (void)state;
    const char *source = getenv("TRINE_SOURCE_DIR");
    if (source == NULL)
        fail_msg("TRINE_SOURCE_DIR is not set: run this by ctest");
    struct tr_err err;
    char path[TR_PATH_BYTES];
    if (tr_path_join(path, source, "docs/contract.md", &err) != TR_OK)
        fail_msg("%s", err.text);
    struct tr_text text = {0};
    tr_op_contract_print(&text);
    assert_false(tr_text_failed(&text, &err));

    const char *update = getenv("TRINE_UPDATE_GOLDEN");
    if (update != NULL && strcmp(update, "1") == 0 && tr_file_write(path, text.at, text.len, &err) != TR_OK)
        fail_msg("%s", err.text);
    char *doc = read_whole(path);
    if (doc == NULL || strcmp(doc, tr_text_str(&text)) != 0) {
        assert_int_equal(tr_file_write("contract.md.now", text.at, text.len, &err), TR_OK);
        fail_msg("%s is not what the table prints (contract.md.now, in the folder of this run, is); "
                 "TRINE_UPDATE_GOLDEN=1 writes it anew", path);
    }
    free(doc);
    tr_text_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_operation_has_rows_unless_it_copies_bits),
        cmocka_unit_test(every_operand_that_is_written_has_a_row),
        cmocka_unit_test(an_order_and_an_axis_come_together),
        cmocka_unit_test(accumulators_have_leaves_for_the_cuts_of_their_row),
        cmocka_unit_test(leaves_cover_every_token_once),
        cmocka_unit_test(leaves_of_a_rank_are_as_long_as_those_of_the_whole),
        cmocka_unit_test(docs_contract_md_is_what_the_table_prints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
