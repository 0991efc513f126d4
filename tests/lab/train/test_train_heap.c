/* A step after the first takes nothing from the heap. The allocator is counted by standing in front of it. */
#include "lab/train/train.h"
#include "lib/sanitized.h"
#include "lib/scratch.h"
#include "lib/tiny_run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define OWN_ALLOCATOR !TR_SANITIZED /* which has put its own in */

static atomic_llong allocations;

#if OWN_ALLOCATOR
/* glibc's own names for what is replaced here. */
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *old, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);

void *malloc(size_t bytes)
{
    atomic_fetch_add(&allocations, 1);
    return __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    atomic_fetch_add(&allocations, 1);
    return __libc_calloc(count, bytes);
}

void *realloc(void *old, size_t bytes)
{
    atomic_fetch_add(&allocations, 1);
    return __libc_realloc(old, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
    atomic_fetch_add(&allocations, 1);
    return __libc_memalign(alignment, bytes);
}

int posix_memalign(void **out, size_t alignment, size_t bytes)
{
    atomic_fetch_add(&allocations, 1);
    *out = __libc_memalign(alignment, bytes);
    return *out ? 0 : 12;
}
#endif

static long long at_step[64];

/* Once in each step, so that the differences are whole steps with their metrics lines. */
static void note(void *context, struct tr_exec *exec, int64_t step, struct tr_step_result *result)
{
    (void)context, (void)exec, (void)result;
    at_step[step] = atomic_load(&allocations);
}

static void count_steps(const char *threads, const char *recompute)
{
    static struct tr_train_result result;
    struct tr_err err = {{0}};
    struct tr_run_config config = tr_tiny_config("heap", threads, recompute, "layout.lanes=2", "run.log_every=1", NULL);
    struct tr_train_options options = tr_tiny_options();
    FILE *log = tmpfile();
    assert_non_null(log);
    options.log = log;
    options.fault = note;
    if (tr_train(&config, &options, &result, &err) != TR_OK)
        fail_msg("%s", err.text);
    assert_true(at_step[0] > 0); /* the counter counts */
    for (int step = 2; step < TR_TINY_STEPS; step++)
        if (at_step[step] != at_step[step - 1])
            fail_msg("%lld allocations between the gradients of steps %d and %d", at_step[step] - at_step[step - 1],
                     step, step + 1);
    fclose(log);
    assert_int_equal(tr_folder_remove(config.out, &err), TR_OK);
}

static void a_step_after_the_first_takes_nothing_from_the_heap(void **state)
{
    (void)state;
    if (!OWN_ALLOCATOR) {
        print_message("the sanitizer has the allocator\n");
        skip();
    }
    setenv("OMP_DYNAMIC", "false", 1); /* by hand, too: a team that grows again may take memory */
    count_steps("run.threads=1", "train.recompute=none");
    count_steps("run.threads=3", "train.recompute=full");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_step_after_the_first_takes_nothing_from_the_heap)};
    return cmocka_run_group_tests_name("lab/train/heap", tests, tr_scratch_setup, tr_scratch_teardown);
}
