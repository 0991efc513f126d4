/* What it takes the ranks of one machine to exchange bytes, as it was measured there (plan/calibrate): for each kind of collective the
 * time of a call in which each rank sends so many bytes, at a few sizes. Between them the time follows the straight line on logarithmic
 * scales, below the smallest it is that one's, beyond the largest it grows with the bytes.
 *
 *     exchanges:
 *       here-threads-2:                     one entry a number of ranks and a way to move bytes
 *         chip: here
 *         transport: threads                or mpi
 *         ranks: 2
 *         shared: 1.04                      times as long as alone work takes while the other ranks work too
 *         spread: 0.06                      how far that was from it in single visits to single programs
 *         hand: 40ns                        a line of a cache from core to core then (silicon/chip/peak.h)
 *         work: {adamw: {times: 1.3}}       a kind of operation takes so many times `shared`: what goes to memory, more; the rest, less
 *         beside: 30us                      that a rank loses to a small call which goes on beside its work
 *         all_gather: {4KiB: 2.1us, 64KiB: 9.4us, 1MiB: 120us, 16MiB: 2.4ms}
 *
 * What runs of ranks have refined says so: `refined`, `refined_by`, the error of a step, and of each kind of operation and each size of
 * a collective how many runs said something of it:
 *
 *         step_error: 0.08                  half width of the 80 % interval of a step of these ranks
 *         work: {adamw: {times: 1.3, runs: 0.9}}
 *         seen: {all_gather: {64KiB: 0.9, 1MiB: 0.4}}       the runs that its times have been refined by
 *
 * In a measured call all ranks come at one time, so that what it takes is moving and adding up, not waiting. Prices are pure functions. */
#ifndef TR_SILICON_COST_EXCHANGE_H
#define TR_SILICON_COST_EXCHANGE_H

#include "silicon/coll/coll.h"
#include "silicon/cost/refined.h"
#include "silicon/op/op.h"

enum { TR_EXCHANGE_SIZES = 4, TR_TRANSPORT_BYTES = 16, TR_EXCHANGE_TIMES_MAX = 100 /* of `shared` and its spread in a file */ };
extern const int64_t tr_exchange_bytes[TR_EXCHANGE_SIZES]; /* sent by each rank */
const char *tr_exchange_size_name(int size);               /* "64KiB", as in files */

struct tr_exchange_rates {
    const char *id, *chip;                 /* of the entry; strings live as long as the catalog */
    char transport[TR_TRANSPORT_BYTES];    /* "threads", "mpi" */
    int ranks;
    double shared;   /* times as long as alone work takes while the other ranks work too, and each waits for the last: they share
                        caches and memory. That they take turns where there are more than cores is not in it */
    double spread;   /* of `shared`, relative: the farthest that one visit to one program was from it; 0: not known */
    double hand_s;   /* what a line of a cache took from core to core when that was measured; 0: not known */
    double beside_s; /* that a rank loses to a small call that is started and waited for later, as threads take turns */
    double time_s[TR_COLL_KIND_COUNT][TR_EXCHANGE_SIZES]; /* 0: not measured */
    double work_times[TR_OP_KIND_COUNT];     /* so many times `shared` is what a kind of operation takes; 0: once */
    struct tr_refined refined;               /* by runs; what follows is theirs */
    double step_error;                       /* half width of the 80 % interval of a step, relative; 0: not known */
    double work_runs[TR_OP_KIND_COUNT];      /* that said so; one that says little counts in part */
    double time_runs[TR_COLL_KIND_COUNT][TR_EXCHANGE_SIZES]; /* that refined time_s */
};

/* The kinds that are measured, those that move more than a few bytes in a step; of the others the time is that of an all_gather. */
bool tr_exchange_measures(enum tr_coll_kind kind);
enum tr_coll_kind tr_exchange_priced(enum tr_coll_kind kind); /* the kind whose times are this one's */

/* The logarithm of a time is the sum of those at the sizes, each times its weight (all together 1), and of that of the factor that is
 * returned: beyond the largest size it grows with the bytes. */
double tr_exchange_weights(double sent_bytes, double weight[TR_EXCHANGE_SIZES]);

/* Seconds of a call in which the rank that sends most sends so many bytes. */
double tr_exchange_time(const struct tr_exchange_rates *exchange, enum tr_coll_kind kind, double sent_bytes);

/* How much of that it computes; the rest is latency, in which the cores may do something else. */
double tr_exchange_work(const struct tr_exchange_rates *exchange, enum tr_coll_kind kind, double sent_bytes);

/* Times as long as alone an operation of this kind takes while the other ranks work too. */
double tr_exchange_shared(const struct tr_exchange_rates *exchange, enum tr_op_kind kind);

/* Where a line takes more than twice as long now as when the record was made, cores have no cache in common, but each its own way to
 * memory: no kind of operation is then longer than others (docs/predict.md). Returns whether that is so; 0 says nothing. */
bool tr_exchange_set_apart(struct tr_exchange_rates *exchange, double hand_s);

/* Half width of the 80 % interval of a step of these ranks, where that of one rank has `alone`: how much ranks are in each other's way
 * differs from program to program by about as much as it is, or by its spread; runs say it better. */
double tr_exchange_step_error(const struct tr_exchange_rates *exchange, double alone);

TR_MUST_CHECK enum tr_status tr_exchange_read(const struct tr_entry *entry, struct tr_exchange_rates *out, struct tr_err *err);

/* Of this transport the entry for so many ranks; where there is none, for the next larger number, or else the largest. TR_NO: the
 * catalog has no entry of this transport. */
TR_MUST_CHECK enum tr_status tr_exchange_find(const struct tr_catalog *catalog, const char *transport, int ranks,
                                              struct tr_exchange_rates *out, struct tr_err *err);

/* The entry as YAML, below `exchanges:`. */
void tr_exchange_yaml(const struct tr_exchange_rates *exchange, struct tr_text *out);

#endif
