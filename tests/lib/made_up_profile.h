/* A profile of a machine that nobody has: one thread, 1 GiB, every kind of operation takes some nanoseconds an amount, some of
 * them of memory. SCRATCH/profile.yaml; the scratch folder must be set up. The catalog is the caller's to free. */
#ifndef TR_TESTS_LIB_MADE_UP_PROFILE_H
#define TR_TESTS_LIB_MADE_UP_PROFILE_H

#include "silicon/cost/kernels.h"

struct tr_catalog *tr_made_up_profile(double peak_flop_s, double memory_byte_s);

#endif
