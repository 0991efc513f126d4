/* A profile of a machine that nobody has: one thread, 1 GiB, every kind of operation takes some nanoseconds an amount, some of
 * them of memory, and TR_MADE_UP_APART times as many while a line takes 160 ns from core to core instead of 40. SCRATCH/profile.yaml; the scratch folder must be set up. The catalog is the caller's to free. */
#ifndef TR_TESTS_LIB_MADE_UP_PROFILE_H
#define TR_TESTS_LIB_MADE_UP_PROFILE_H

#include "silicon/cost/kernels.h"

#define TR_MADE_UP_APART 1.5

struct tr_catalog *tr_made_up_profile(double peak_flop_s, double memory_byte_s);
/* Its cores were near each other all the time. */
struct tr_catalog *tr_made_up_profile_near(double peak_flop_s, double memory_byte_s);

/* That file with one more record, of two ranks by "threads" or "mpi": every call takes so long, whatever its size. */
struct tr_catalog *tr_made_up_exchange(const char *transport, double call_s);

#endif
