/* Every kernel on every case of lib/opcase.h: the bits of the reference, nothing touched that is not its own, the work
 * that tr_op_work says, no allocation. The reference is run by several threads as well.
 *
 *     silicon_ops            check, after saying what is checked
 *     silicon_ops support    only says which kernels there are and which instruction sets run here
 *     silicon_ops random FIRST LAST [KIND]   cases by chance, seeds FIRST .. LAST - 1, as long as one likes
 */
#include "lib/opcase.h"
#include "lib/sanitized.h"
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

/* ---- allocations ------------------------------------------------------------------------------------------------ */

#if defined(__GLIBC__) && !TR_SANITIZED /* which has put its own in */
#define OWN_MALLOC 1
#else
#define OWN_MALLOC 0
#endif

static _Atomic bool watching;
static _Atomic int64_t allocations;

#if OWN_MALLOC
/* Seen by the linker, and never inlined: the caller is read from the stack. */
#define REPLACES __attribute__((visibility("default"), noinline))

/* glibc's own names for what these replace. */
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t n, size_t bytes);
void *__libc_realloc(void *p, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);
extern char __executable_start, etext;

/* Counts calls from this program's own code. The OpenMP library is a shared one, and may keep its house as it likes. */
static void note_call_from(const void *caller)
{
    if (watching && (const char *)caller >= &__executable_start && (const char *)caller < &etext)
        allocations++;
}

REPLACES void *malloc(size_t bytes)
{
    note_call_from(__builtin_return_address(0));
    return __libc_malloc(bytes);
}

REPLACES void *calloc(size_t n, size_t bytes)
{
    note_call_from(__builtin_return_address(0));
    return __libc_calloc(n, bytes);
}

REPLACES void *realloc(void *p, size_t bytes)
{
    note_call_from(__builtin_return_address(0));
    return __libc_realloc(p, bytes);
}

REPLACES void *aligned_alloc(size_t alignment, size_t bytes)
{
    note_call_from(__builtin_return_address(0));
    return __libc_memalign(alignment, bytes);
}

static void the_allocation_counter_counts(void **state)
{
    (void)state;
    allocations = 0;
    watching = true;
    void *volatile p = malloc(100);
    watching = false;
    free(p);
    assert_int_equal(allocations, 1);
}
#endif

/* ---- one run ---------------------------------------------------------------------------------------------------- */

enum { REPORTS_MAX = 8, SALT_REFERENCE = 0xcd, SALT_TEST = 0x3e };

struct checker {
    const struct tr_kernel_set *set;
    const char *isa; /* its name */
    int threads;
    int failures;
};

static void TR_PRINTF(3, 4) report(struct checker *checker, const struct tr_opcase *test, const char *fmt, ...)
{
    char name[TR_OPCASE_NAME_BYTES], text[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (checker->failures++ < REPORTS_MAX)
        print_error("%s, %d threads: %s\n    in %s\n", checker->isa, checker->threads, text,
                    tr_opcase_name(test, name));
}

static void run_watched(struct checker *checker, struct tr_opdata *data)
{
    const struct tr_op *op = &data->test->op;
    struct tr_guarded workspace = {0};
    int64_t bytes = tr_kernel_workspace_bytes(checker->set, op, checker->threads);
    struct tr_call call = tr_opdata_call(data, checker->threads);
    if (bytes > 0) {
        tr_guarded_make(&workspace, bytes);
        memset(workspace.data, 0xff, (size_t)bytes);
        call.workspace = workspace.data;
    }
    allocations = 0;
    watching = true;
    tr_kernel_run(checker->set, &call);
    watching = false;
    if (allocations != 0)
        report(checker, data->test, "%lld calls to malloc", (long long)allocations);
    if (!tr_guarded_intact(&workspace))
        report(checker, data->test, "wrote outside its workspace of %lld bytes", (long long)bytes);
    tr_guarded_free(&workspace);
}

static void check_untouched(struct checker *checker, const struct tr_opdata *data, const struct tr_opdata *pristine)
{
    const struct tr_op_info *info = tr_op_operands(data->test->op.kind);
    int operand = 0;
    if (!tr_opdata_intact(data, &operand))
        report(checker, data->test, "wrote outside operand %s", info->operand[operand].name);
    for (int i = 0; i < info->operand_count; i++) {
        if (info->operand[i].direction != TR_IN || data->operand[i].bytes == 0)
            continue;
        if (memcmp(data->operand[i].data, pristine->operand[i].data, (size_t)data->operand[i].bytes) != 0)
            report(checker, data->test, "changed its input %s", info->operand[i].name);
    }
}

static void check_work(struct checker *checker, const struct tr_opdata *data)
{
    const struct tr_opcase *test = data->test;
    int start = tr_op_start_operand(test->op.kind);
    const int32_t *starts = start < 0 ? NULL : data->operand[start].data;
    struct tr_work work = tr_op_work_apart(&test->op, tr_opcase_present(test), test->position, starts);
    struct tr_work bound = tr_op_work(&test->op, tr_opcase_present(test), test->position);
    if (work.flop > bound.flop || work.read_bytes > bound.read_bytes || work.write_bytes > bound.write_bytes)
        report(checker, test, "the work is more than its bound");
    int64_t flop = atomic_load(&data->count.flop), reads = atomic_load(&data->count.read_bytes);
    int64_t writes = atomic_load(&data->count.write_bytes);
    if (flop != work.flop || reads != work.read_bytes || writes != work.write_bytes)
        report(checker, test, "counted %lld flop, %lld read, %lld written; planned %lld, %lld, %lld", (long long)flop,
               (long long)reads, (long long)writes, (long long)work.flop, (long long)work.read_bytes,
               (long long)work.write_bytes);
}

/* What is in operand i's element, to be printed. */
static double element(const struct tr_opdata *data, int i, int64_t index)
{
    return tr_load(data->operand[i].data, tr_op_operand_dtype(&data->test->op, i), index);
}

static bool same_sum(const struct tr_exact *a, const struct tr_exact *b)
{
    return a->nonfinite == b->nonfinite && memcmp(a->bin, b->bin, sizeof a->bin) == 0;
}

static void check_bits(struct checker *checker, const struct tr_opdata *data, const struct tr_opdata *reference)
{
    const struct tr_op_info *info = tr_op_operands(data->test->op.kind);
    for (int i = 0; i < info->operand_count; i++) {
        int64_t index = 0;
        bool only_leaf_0 = data->test->op.kind == TR_OP_FOLD; /* the other leaves are overwritten, in any way */
        if (info->operand[i].direction == TR_IN || tr_operand_same(data, reference, i, &index))
            continue;
        if (only_leaf_0 && index >= data->test->op.count)
            continue;
        report(checker, data->test, "%s[%lld] is %.9g (%a), the reference has %.9g (%a)", info->operand[i].name,
               (long long)index, element(data, i, index), element(data, i, index), element(reference, i, index),
               element(reference, i, index));
    }
    const struct tr_step_values *a = &data->values, *b = &reference->values;
    if (memcmp(&a->clip_factor, &b->clip_factor, sizeof a->clip_factor) != 0 ||
        memcmp(&a->grad_norm, &b->grad_norm, sizeof a->grad_norm) != 0)
        report(checker, data->test, "factor %a of norm %a, the reference has %a of %a", (double)a->clip_factor,
               a->grad_norm, (double)b->clip_factor, b->grad_norm);
    if (!same_sum(&data->loss_sum, &reference->loss_sum) || !same_sum(&data->grad_sq, &reference->grad_sq))
        report(checker, data->test, "the exact sum differs");
}

static void check_run(struct checker *checker, const struct tr_opdata *pristine, const struct tr_opdata *reference)
{
    struct tr_opdata data;
    tr_opdata_clone(&data, pristine, SALT_TEST);
    run_watched(checker, &data);
    check_untouched(checker, &data, pristine);
    check_work(checker, &data);
    check_bits(checker, &data, reference);
    tr_opdata_free(&data);
}

/* ---- what there is to check ------------------------------------------------------------------------------------- */

enum { SETS_MAX = TR_ISA_COUNT + 1 };

struct named_set {
    const char *name;
    const struct tr_kernel_set *set;
    bool runs;
};

static int kernel_sets(struct named_set sets[SETS_MAX])
{
    int count = 0;
    for (int isa = 0; isa < TR_ISA_COUNT; isa++)
        sets[count++] = (struct named_set){tr_isa_name((enum tr_isa)isa), tr_kernel_set((enum tr_isa)isa),
                                           tr_isa_runs((enum tr_isa)isa)};
    sets[count++] = (struct named_set){"wide", tr_wide_kernel_set(), tr_wide_runs()};
    return count;
}

/* Whether the set has a kernel of its own for the kind, not one of a lower set. */
static bool is_own(const struct named_set *set, enum tr_op_kind kind, enum tr_dtype act)
{
    const struct tr_kernel *kernel = &set->set->kernel[kind][act == TR_BF16];
    const struct tr_kernel *reference = &tr_kernel_set(TR_ISA_REF)->kernel[kind][act == TR_BF16];
    return kernel->run != NULL && (set->set->isa == TR_ISA_REF || kernel->run != reference->run);
}

static void print_support(void)
{
    struct named_set sets[SETS_MAX];
    int count = kernel_sets(sets);
    printf("%-16s", "kernels");
    for (int i = 0; i < count; i++)
        printf("%-12s", sets[i].name);
    printf("\n%-16s", "run here");
    for (int i = 0; i < count; i++)
        printf("%-12s", sets[i].runs ? "yes" : "NO");
    for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++) {
        printf("\n%-16s", tr_op_operands((enum tr_op_kind)kind)->name);
        for (int i = 0; i < count; i++) {
            bool f32 = is_own(&sets[i], (enum tr_op_kind)kind, TR_F32);
            bool bf16 = is_own(&sets[i], (enum tr_op_kind)kind, TR_BF16);
            printf("%-12s", f32 && bf16 ? "f32 bf16" : f32 ? "f32" : bf16 ? "bf16" : "-");
        }
    }
    printf("\n");
    for (int i = 0; i < count; i++)
        if (!sets[i].runs)
            printf("NOT CHECKED: this processor or this build cannot run %s\n", sets[i].name);
    fflush(stdout);
}

/* ---- the tests -------------------------------------------------------------------------------------------------- */

/* The reference, which is slow, runs by one thread and by the most; where a sanitizer looks on, by the most alone. */
static void check_threads(const struct tr_opcase *test, const int *threads, int count, int *failures)
{
    struct named_set sets[SETS_MAX];
    int set_count = kernel_sets(sets);
    struct tr_opdata pristine, reference;
    struct checker checker = {.set = sets[0].set, .isa = sets[0].name, .threads = TR_SANITIZED ? threads[count - 1] : 1, .failures = *failures};
    tr_opdata_make(&pristine, test, SALT_REFERENCE);
    tr_opdata_clone(&reference, &pristine, SALT_REFERENCE);
    run_watched(&checker, &reference);
    check_untouched(&checker, &reference, &pristine);
    check_work(&checker, &reference);
    for (int s = TR_SANITIZED; s < set_count; s++) {
        for (int t = s == 0 ? count - 1 : 0; t < count && sets[s].runs && is_own(&sets[s], test->op.kind, test->op.act); t++) {
            checker.set = sets[s].set;
            checker.isa = sets[s].name;
            checker.threads = threads[t];
            check_run(&checker, &pristine, &reference);
        }
    }
    *failures = checker.failures;
    tr_opdata_free(&pristine);
    tr_opdata_free(&reference);
}

static void check_case(const struct tr_opcase *test, int *failures)
{
    static const int threads[] = {1, 2, 4};
    check_threads(test, threads, 3, failures);
}

/* Few rows, so that columns are shared out, and more threads than there are blocks of them: some have nothing at times. */
static void many_threads_give_the_reference_bits(void **state)
{
    static const int threads[] = {16, 17, 33};
    static const struct shape {
        enum tr_op_kind kind;
        int64_t in, out;
    } shapes[] = {{TR_OP_LINEAR, 256, 3072}, {TR_OP_LINEAR, 768, 768}, {TR_OP_LINEAR_DX, 3072, 256}, {TR_OP_LINEAR_DW, 768, 256},
                  {TR_OP_HEAD, 256, 512}};
    int failures = 0;
    (void)state;
    for (int i = 0; i < 20; i++) {
        const struct shape *shape = &shapes[i / 4];
        enum tr_dtype type = i % 2 ? TR_BF16 : TR_F32;
        struct tr_opcase test = {.op = {.kind = shape->kind, .act = type, .weight = type, .seqs = 1, .seq_len = i / 2 % 2 ? 98 : 64,
                                        .context = tr_all_parts(1), .part = tr_all_parts(1), .quantum = {1, 1, 1}}};
        if (shape->kind == TR_OP_HEAD)
            test.op.width = shape->in, test.op.vocab = shape->out, test.op.flags = TR_OP_GRAD;
        else
            test.op.in = shape->in, test.op.out[0] = shape->out, test.op.segments = 1;
        check_threads(&test, threads, TR_SANITIZED ? 1 : 3, &failures);
    }
    assert_int_equal(failures, 0);
}

/* Cases by chance, each with two numbers of threads of its own. */
static int random_failures(enum tr_op_kind kind, uint64_t first, uint64_t last)
{
    static const int threads[] = {1, 3, 17, 64, 2, 33, 5};
    int failures = 0;
    for (uint64_t seed = first; seed < last; seed++) {
        struct tr_opcase test;
        tr_opcase_random(&test, kind, seed);
        check_threads(&test, threads + seed % 6, 2, &failures);
    }
    return failures;
}

static const enum tr_op_kind random_kinds[] = {
    TR_OP_LINEAR, TR_OP_LINEAR_PACKED, TR_OP_LINEAR_DX, TR_OP_LINEAR_DW, TR_OP_ATTN, TR_OP_ATTN_BWD, TR_OP_HEAD,
    TR_OP_LOSS, TR_OP_NORM, TR_OP_NORM_BWD, TR_OP_GELU, TR_OP_GELU_BWD, TR_OP_SWIGLU, TR_OP_SWIGLU_BWD,
    TR_OP_LINEAR_END, TR_OP_GRAD_SQ, TR_OP_ADAMW, TR_OP_MUON_MOMENT, TR_OP_MIX, TR_OP_MUON, TR_OP_CAST, TR_OP_JOIN};

enum { RANDOM_KINDS = sizeof random_kinds / sizeof *random_kinds };

static void cases_by_chance_give_the_reference_bits(void **state)
{
    int failures = 0;
    (void)state;
    for (int i = 0; i < RANDOM_KINDS; i++)
        failures += random_failures(random_kinds[i], 0, 6);
    assert_int_equal(failures, 0);
}

static int random_main(int argc, char **argv)
{
    int failures = 0;
    for (int i = 0; i < RANDOM_KINDS && argc >= 4; i++)
        if (argc < 5 || strcmp(argv[4], tr_op_operands(random_kinds[i])->name) == 0)
            failures += random_failures(random_kinds[i], strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10));
    printf("%d failures\n", failures);
    return failures > 0;
}

static void every_kernel_gives_the_reference_bits(void **state)
{
    enum tr_op_kind kind = *(const enum tr_op_kind *)*state;
    const struct tr_opcase *cases;
    int count = tr_opcases(kind, &cases), failures = 0;
    assert_true(count > 0);
    for (int i = 0; i < count; i++)
        check_case(&cases[i], &failures);
    if (failures > REPORTS_MAX)
        print_error("... and %d more\n", failures - REPORTS_MAX);
    assert_int_equal(failures, 0);
}

int main(int argc, char **argv)
{
    static enum tr_op_kind kinds[TR_OP_KIND_COUNT];
    static char names[TR_OP_KIND_COUNT][96];
    struct CMUnitTest tests[TR_OP_KIND_COUNT + 3];
    int count = 0;
    print_support();
    if (argc > 1 && strcmp(argv[1], "support") == 0)
        return 0;
    if (argc > 1 && strcmp(argv[1], "random") == 0)
        return random_main(argc, argv);
#if OWN_MALLOC
    tests[count++] = (struct CMUnitTest)cmocka_unit_test(the_allocation_counter_counts);
#else
    printf("NOT CHECKED: allocations, which this build cannot count\n");
#endif
    if (argc == 1) {
        tests[count++] = (struct CMUnitTest)cmocka_unit_test(many_threads_give_the_reference_bits);
        tests[count++] = (struct CMUnitTest)cmocka_unit_test(cases_by_chance_give_the_reference_bits);
    }
    for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++) {
        const char *name = tr_op_operands((enum tr_op_kind)kind)->name;
        if (argc > 1 && strcmp(argv[1], name) != 0)
            continue;
        kinds[kind] = (enum tr_op_kind)kind;
        snprintf(names[kind], sizeof names[kind], "%s: every kernel and number of threads gives the reference's bits",
                 name);
        tests[count++] =
            (struct CMUnitTest){names[kind], every_kernel_gives_the_reference_bits, NULL, NULL, &kinds[kind]};
    }
    return _cmocka_run_group_tests("ops", tests, (size_t)count, NULL, NULL);
}
