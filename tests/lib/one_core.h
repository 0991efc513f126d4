/* Threads that want one core at once. Alone in this header, as tests of base have no library of their own. */
#ifndef TR_TESTS_LIB_ONE_CORE_H
#define TR_TESTS_LIB_ONE_CORE_H

#include "base/os.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* This thread goes to the first of the cores where it may be. */
static inline void tr_to_one_core(void)
{
    struct tr_core_set allowed;
    int core = 0;
    tr_cores_allowed(&allowed);
    while (!tr_core_in(&allowed, core))
        core++;
    tr_thread_pin(core);
}

enum { TR_BUSY_MAX = 4 };

/* Threads that do nothing else on that core. */
struct tr_busy_core {
    atomic_bool end;
    pthread_t thread[TR_BUSY_MAX];
    int threads;
};

static inline void *tr_spin_on_one_core(void *busy)
{
    tr_to_one_core();
    while (!atomic_load(&((struct tr_busy_core *)busy)->end)) {
    }
    return NULL;
}

static inline void tr_busy_core_begin(struct tr_busy_core *busy, int threads)
{
    atomic_store(&busy->end, false);
    for (busy->threads = 0; busy->threads < threads; busy->threads++)
        assert_int_equal(tr_thread_start(&busy->thread[busy->threads], tr_spin_on_one_core, busy), 0);
}

static inline void tr_busy_core_end(struct tr_busy_core *busy)
{
    atomic_store(&busy->end, true);
    for (int i = 0; i < busy->threads; i++)
        pthread_join(busy->thread[i], NULL);
}

#endif
