/* docs/contract.md, printed from the table. The words are those of reduce.h. */
#include "base/text.h"
#include "silicon/op/op.h"

static const char introduction[] =
    "# The reduction contract\n"
    "\n"
    "This file is printed from the table in `src/silicon/op/contract.c`; a test compares the two.\n"
    "\n"
    "A run has one hash. Its weights after N steps are the same to the bit whatever the number of threads, the\n"
    "vector instructions, the microbatches, the layout over ranks. That holds because every operation says,\n"
    "before any code is written, which axis it sums, in which order, where that axis is cut, how the parts are\n"
    "joined and where values are rounded. The reference kernels (`src/silicon/kernel/*/x_ref.c`) are this text as\n"
    "loops, and every fast kernel gives the bits of the reference. What has no row below (`last`, `kv_append`,\n"
    "`split`, `take`, `zero`) copies bits.\n"
    "\n";

static const char words[] =
    "## The words\n"
    "\n"
    "Everything is fp32 with round to nearest even, without fusing what is written apart; fma is fused. Tensors\n"
    "stored as bf16 are read as fp32 and rounded once, at the store.\n"
    "\n"
    "**Cut.** An axis of n elements is cut in the *logical parts* of the run's config: part p begins at `n /\n"
    "quantum * p / parts * quantum` in whole numbers, the last part takes the rest. Cuts depend on the logical\n"
    "width alone, never on how many threads or ranks there are. Width 1 obeys the same rules. Lanes cut the\n"
    "sequences of a batch; context parts cut each sequence in whole key blocks of 64; tensor, sequence and\n"
    "vocabulary parts cut what the row says.\n"
    "\n"
    "**Tree.** Parts are joined by one fixed binary tree: left + right, where the left subtree holds the largest\n"
    "power of two that is smaller than the count: 7 = 4 + (2 + 1). An owner of a contiguous range of parts holds\n"
    "a few whole subtrees; its partial sums are nodes of the same tree and travel in fp32. So are those of parts\n"
    "that owners take in turn, one each at a time; and each element is joined by itself, so that an owner may keep\n"
    "a slice of every sum. An axis that several kinds of parts cut is joined from the inside out: the last one\n"
    "named in the column first, unless the row says otherwise.\n"
    "\n"
    "**chain.** acc = fma(a[k], b[k], acc), k ascending, from acc = +0. Vector lanes run along another axis.\n"
    "\n"
    "**blocks.** A sum over tokens. The tokens that a leaf has of one sequence are cut in blocks of 256, counted\n"
    "from the first of them; each block is a chain from +0 and is added to the accumulator, sequences ascending,\n"
    "then blocks ascending: acc = acc + chain. Accumulators start at +0 with the lane and go on from microbatch\n"
    "to microbatch, so that the size of a microbatch does not show.\n"
    "\n"
    "**adds.** acc = acc + x, in the order that the row says.\n"
    "\n"
    "**fold16.** A sum along a row: 16 strided partial sums, p[r] sums j = r, r + 16, r + 32 ... ascending from\n"
    "+0 (j counts from the first element that is summed); then p[r] + p[r + 8] for r < 8, p[r] + p[r + 4], p[r] +\n"
    "p[r + 2], p[0] + p[1].\n"
    "\n"
    "**softmax.** Key blocks of 64, counted from absolute position 0, with a running maximum: see the row.\n"
    "\n"
    "**APART.** Several documents in one sequence, each as if alone: attention stays within the document and\n"
    "positions are counted from its first token. Cuts, blocks and pairs do not move with it: where they fall in a\n"
    "document depends on where the document stands, so its bits do too, and on nothing else of the sequence.\n"
    "\n"
    "**exact.** The order does not matter: every term is added without rounding (`src/silicon/op/exact.h`), and\n"
    "the sum is rounded once to double. A maximum is exact in any order by itself.\n"
    "\n"
    "**exp and friends** are `src/silicon/op/fn.h`, exact sequences of fp32 operations; no function of libm takes\n"
    "part.\n"
    "\n"
    "**bf16 pairs.** A chain whose two factors are both bf16 goes by pairs, as the instruction vdpbf16ps does: of\n"
    "each pair the odd element first, then the even one, each a fused multiply-add rounded to nearest even;\n"
    "subnormal factors, accumulators and results count as zero of their sign. Pairs are counted from the\n"
    "beginning of the part (of a block, of a segment's share), and all of these are even; along keys and queries\n"
    "that makes them pairs of absolute positions. A member that is not there (odd length, a position that\n"
    "causality or another document leaves out) counts as +0 times +0. Values that the row calls rounded to bf16\n"
    "are factors like any other.\n"
    "\n"
    "**Not promised:** the sign and payload of a NaN. Other arithmetic (Intel AMX, Arm BFDOT, GPUs) is another\n"
    "arithmetic id with another hash.\n"
    "\n";

static const char table_head[] =
    "| operation | variant | result | sums over | order | cut by | rounded | definition |\n"
    "|---|---|---|---|---|---|---|---|\n";

static const char *rounding_name(enum tr_rounding rounding)
{
    static const char *const name[] = {"never", "to the activations' type", "fp32"};
    TR_ASSERT((int)rounding >= 0 && rounding <= TR_ROUND_F32);
    return name[rounding];
}

static void print_cuts(uint32_t cuts, struct tr_text *out)
{
    bool first = true;
    for (uint32_t cut = TR_CUT_LANE; cut <= TR_CUT_GROUP_HEAD; cut <<= 1) {
        if (!(cuts & cut))
            continue;
        tr_text_printf(out, "%s%s", first ? "" : ", ", tr_cut_name((enum tr_cut_by)cut));
        first = false;
    }
    if (first)
        tr_text_append(out, "-");
}

void tr_op_contract_print(struct tr_text *out)
{
    int row_count;
    const struct tr_contract *row = tr_op_contract(&row_count);
    tr_text_append(out, introduction);
    tr_text_printf(out,
                   "The arithmetic of this version is `trine-%d/f32`, with bf16 activations and weights "
                   "`trine-%d/bf16`.\n"
                   "A promise about bits holds within one id.\n\n",
                   TR_CONTRACT_VERSION, TR_CONTRACT_VERSION);
    tr_text_append(out, words);
    tr_text_append(out, "## The table\n\n");
    tr_text_append(out, table_head);
    for (int i = 0; i < row_count; i++) {
        const char *variant = row[i].flags[0] != '\0' ? row[i].flags : "-";
        tr_text_printf(out, "| %s | %s | %s | %s | %s | ", tr_op_operands(row[i].kind)->name, variant, row[i].result,
                       tr_axis_name(row[i].axis), tr_order_name(row[i].order));
        print_cuts(row[i].cuts, out);
        tr_text_printf(out, " | %s | %s |\n", rounding_name(row[i].rounding), row[i].note);
    }
}
