/* What the engine's callers share and what needs no vectors: the lists of runs. */
#include "silicon/kernel/linear/gemm.h"

void tr_gemm_place_leaf(struct tr_gemm_run *run, int run_count, int output, int64_t index, int64_t count)
{
    for (int r = 0; r < run_count; r++) {
        run[r].output = output;
        run[r].level = __builtin_popcountll((unsigned long long)index); /* partial sums that wait on the stack */
        run[r].first = r == 0;
        run[r].last = r == run_count - 1;
        run[r].joins = run[r].last ? tr_tree_joins_after(index, count) : 0;
        run[r].done = run[r].last && index == count - 1;
    }
}

int64_t tr_gemm_token_blocks(struct tr_gemm_run *run, const struct tr_op *op, int output, struct tr_range tokens)
{
    int64_t count = 0;
    for (int64_t s = 0; s < op->seqs; s++) {
        for (int64_t t = tokens.first; t < tokens.last; t += TR_TOKEN_BLOCK) {
            int64_t k = tokens.last - t < TR_TOKEN_BLOCK ? tokens.last - t : TR_TOKEN_BLOCK;
            if (run != NULL)
                run[count] = (struct tr_gemm_run){.k0 = s * op->seq_len + t, .k = k, .output = output};
            count++;
        }
    }
    if (run != NULL && count > 0)
        run[0].first = run[count - 1].last = true;
    return count;
}
