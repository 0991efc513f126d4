#include "silicon/kernel/kernel.h"

#include <fenv.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

static const struct tr_kernel *const module_kernels[] = {
    tr_embed_kernels, tr_norm_kernels, tr_linear_kernels, tr_packed_kernels, tr_rope_kernels,
    tr_attn_kernels,  tr_act_kernels,  tr_head_kernels,   tr_update_kernels,
};

static const char *const isa_name[TR_ISA_COUNT] = {"ref", "avx2", "avx512", "avx512bf16"};

const char *tr_isa_name(enum tr_isa isa)
{
    TR_ASSERT((int)isa >= 0 && isa < TR_ISA_COUNT);
    return isa_name[isa];
}

bool tr_isa_runs(enum tr_isa isa)
{
    switch (isa) {
    case TR_ISA_REF:
        return true;
#if defined(__x86_64__)
    case TR_ISA_AVX2:
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case TR_ISA_AVX512:
        return tr_isa_runs(TR_ISA_AVX2) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    case TR_ISA_AVX512_BF16:
        return tr_isa_runs(TR_ISA_AVX512) && __builtin_cpu_supports("avx512bf16") &&
               __builtin_cpu_supports("avx512vnni"); /* whatever has the one has the other */
#endif
    default:
        return false;
    }
}

static enum tr_isa best_isa(void)
{
    enum tr_isa best = TR_ISA_REF;
    for (int isa = 0; isa < TR_ISA_COUNT; isa++)
        if (tr_isa_runs((enum tr_isa)isa))
            best = (enum tr_isa)isa;
    return best;
}

enum tr_status tr_isa_choose(enum tr_isa *isa, struct tr_err *err)
{
    const char *wanted = getenv("TRINE_ISA");
    if (wanted == NULL || wanted[0] == '\0') {
        *isa = best_isa();
        return TR_OK;
    }
    for (int i = 0; i < TR_ISA_COUNT; i++) {
        if (strcmp(wanted, isa_name[i]) != 0)
            continue;
        if (!tr_isa_runs((enum tr_isa)i))
            return tr_fail(err, TR_BAD_INPUT, "TRINE_ISA=%s: this processor does not have it; the best here is %s",
                           wanted, isa_name[best_isa()]);
        *isa = (enum tr_isa)i;
        return TR_OK;
    }
    return tr_fail(err, TR_BAD_INPUT,
                   "TRINE_ISA=%s: unknown instruction set; there are ref, avx2, avx512, avx512bf16", wanted);
}

/* Fills the entries of one set: for each kind the variant of the highest instruction set that is not above its own. */
static void fill_set(struct tr_kernel_set *set, enum tr_isa isa)
{
    set->isa = isa;
    for (size_t m = 0; m < sizeof module_kernels / sizeof module_kernels[0]; m++) {
        for (const struct tr_kernel *k = module_kernels[m]; k->run != NULL; k++) {
            struct tr_kernel *entry = &set->kernel[k->kind][k->act == TR_BF16];
            if (k->isa <= isa && (entry->run == NULL || k->isa > entry->isa))
                *entry = *k;
        }
    }
}

static struct tr_kernel_set sets[TR_ISA_COUNT];
static pthread_once_t sets_filled = PTHREAD_ONCE_INIT;

static void fill_sets(void)
{
    for (int isa = 0; isa < TR_ISA_COUNT; isa++)
        fill_set(&sets[isa], (enum tr_isa)isa);
}

const struct tr_kernel_set *tr_kernel_set(enum tr_isa isa)
{
    TR_ASSERT((int)isa >= 0 && isa < TR_ISA_COUNT);
    TR_ASSERT(pthread_once(&sets_filled, fill_sets) == 0);
    return &sets[isa];
}

static const struct tr_kernel *kernel_of(const struct tr_kernel_set *set, const struct tr_op *op)
{
    TR_ASSERT((int)op->kind >= 0 && op->kind < TR_OP_KIND_COUNT);
    return &set->kernel[op->kind][op->act == TR_BF16];
}

int64_t tr_kernel_workspace_bytes(const struct tr_kernel_set *set, const struct tr_op *op, int threads)
{
    const struct tr_kernel *kernel = kernel_of(set, op);
    return kernel->workspace == NULL ? 0 : kernel->workspace(op, threads);
}

void tr_kernel_run(const struct tr_kernel_set *set, const struct tr_call *call)
{
    const struct tr_kernel *kernel = kernel_of(set, call->op);
    TR_ASSERT(kernel->run != NULL);
    kernel->run(call);
}

void tr_kernel_assert_fp_mode(void)
{
    TR_ASSERT(fegetround() == FE_TONEAREST);
#if defined(__x86_64__)
    TR_ASSERT((_mm_getcsr() & 0x8040u) == 0); /* neither flush-to-zero nor denormals-are-zero */
#endif
}
