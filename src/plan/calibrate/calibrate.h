/* This machine, measured: what its processor, memory and disk do, and what trine's kernels take on it.
 *
 * The kernels are measured where they will be used: small training programs (lab/model) of many shapes are run a few steps
 * each, and the time of every operation is noted. From these samples the rates of cost/kernels.h are fitted, kind by kind;
 * how wrong they are is seen on programs that a fit has not seen, each in turn. So a profile predicts runs of other
 * shapes, with an error bar, and what it cannot predict (another machine, a neighbour at work) can be told from it.
 *
 *     struct tr_profile *profile;
 *     tr_calibrate(&options, &profile, err)                   a minute or a minute and a half
 *     tr_profile_yaml(profile, &text)                         a file of the catalog: a chip, and its kernels
 *     tr_profile_free(profile)
 */
#ifndef TR_PLAN_CALIBRATE_CALIBRATE_H
#define TR_PLAN_CALIBRATE_CALIBRATE_H

#include "base/err.h"
#include "base/text.h"
#include "silicon/cost/exchange.h"
#include "silicon/cost/kernels.h"

#include <stdatomic.h>
#include <stdio.h>

enum { TR_PROFILE_THREADS_MAX = 3 }; /* numbers of threads that are measured: all cores, one, and of more than two cores one between */

/* Seconds a second that threads wait for a core: more than equal bursts and visits differ by. */
#define TR_MUCH_WAITING .1

struct tr_calibrate_options {
    const char *program;     /* trine's version and its kernels (tr_kernels_id) */
    const char *disk_folder; /* where the disk is measured; NULL: not at all */
    double scale;            /* of the time spent on programs: 1 is a minute or a minute and a half in all; less: fewer programs, more: more rounds */
    const atomic_int *stop;  /* not 0: end; NULL: never */
    FILE *log;               /* progress; NULL: silent */
};

struct tr_profile; /* owned by the caller; tr_profile_free */

TR_MUST_CHECK enum tr_status tr_calibrate(const struct tr_calibrate_options *options, struct tr_profile **out,
                                          struct tr_err *err);
void tr_profile_free(struct tr_profile *profile); /* NULL is fine */

/* A host moves the cores of a virtual machine, and a minute may show them near each other or apart alone: adds what a profile of this machine and
 * program says of them the other way. */
void tr_profile_keep(struct tr_profile *profile, const struct tr_catalog *before);
bool tr_profile_kept(const struct tr_profile *profile); /* there was any */

int tr_profile_count(const struct tr_profile *profile);
const struct tr_kernel_rates *tr_profile_rates(const struct tr_profile *profile, int index);

/* The file: sections sources, chips, kernels and exchanges. */
void tr_profile_yaml(const struct tr_profile *profile, struct tr_text *out);

struct tr_progress;

/* What it takes these ranks to exchange bytes: out->ranks and its times, as this rank saw them. `cores`: that they may use, together;
 * of the options scale and stop count; `bar` NULL: nobody looks. Collective. */
TR_MUST_CHECK enum tr_status tr_calibrate_exchange(struct tr_comm *world, int cores, const struct tr_calibrate_options *options, struct tr_progress *bar,
                                                   struct tr_exchange_rates *out, struct tr_err *err);

/* Whether a profile's rates are of this machine and program, and if so whether it still is as fast: measures peak, memory and the
 * disk again (some seconds; disk_folder NULL: not the disk). TR_NO, and in *why what differs ("; ..."), and on a line of its own what that comes of and what to do. */
TR_MUST_CHECK enum tr_status tr_calibrate_check(const struct tr_kernel_rates *rates, const char *program, const char *disk_folder, struct tr_text *why,
                                                struct tr_err *err);
/* Whose rates could be wanted. */
struct tr_whose {
    const char *processor, *isa, *program; /* NULL: not known, as good as the profile's */
    int cores;                             /* 0: the same */
};
/* Those of a run, as far as it noted them; names are *ran's. */
struct tr_run_profile;
struct tr_whose tr_whose_of_run(const struct tr_run_profile *ran);
/* What differs between them and those whose rates these are ("; ..."); "" when nothing does. */
void tr_calibrate_differs(const struct tr_kernel_rates *rates, const struct tr_whose *whose, struct tr_text *why);
/* The same of this machine and program, which takes no time. `cores`: that this process, or all ranks together, can use. */
void tr_calibrate_foreign(const struct tr_kernel_rates *rates, int cores, const char *program, struct tr_text *why);

#endif
