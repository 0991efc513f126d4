/* What trine's own kernels take on a processor that was calibrated: the price of an operation of a step program.
 *
 * An operation does amounts of a few kinds of work, which follow from its description (tr_kernel_amounts): multiply-adds,
 * bytes that are packed, read or written, exponentials, the start of threads. Its time is the sum of these amounts, each
 * at a rate of its own, and the rates of a kind of operation are fitted to measurements of that kind (plan/calibrate).
 * A sum, not the longest: packing, main loop and store of a block follow one another on a core.
 *
 *     kernels:
 *       here-2:                             one entry a number of threads
 *         chip: here
 *         threads: 2
 *         f32:
 *           linear: {flop: 512GFLOP/s, left: 12GB/s, right: 16GB/s, result: 57GB/s, start: 1.1us, error: 0.06}
 *
 *         f32_apart: {...}              optional: while two cores had no cache in common, as when a host moves the processors of a virtual machine
 *
 * What runs have refined says so: `runs` in a kind, `refined` and `refined_by` in the entry, `source: runs` at each number.
 *
 * A rate that is absent is so high that its work was not seen in the time. A kind that nobody measured is priced by its
 * bytes, as a join is: CAST, FOLD, the passes of Muon. Prices are pure functions; several threads may ask. */
#ifndef TR_SILICON_COST_KERNELS_H
#define TR_SILICON_COST_KERNELS_H

#include "silicon/chip/peak.h"
#include "silicon/cost/refined.h"
#include "silicon/op/op.h"

enum { TR_KERNEL_TERMS_MAX = 8, TR_KERNEL_TYPES = 2, /* types: fp32, bf16 (of activations) */
       TR_KERNEL_ERROR_MAX = 100 };                  /* of any interval: what is further off is not known at all */

/* One kind of work: in files a rate (FLOP/s, bytes/s, count/s), and for the start a time. */
struct tr_kernel_term {
    const char *name;
    enum tr_unit unit;
    const char *help;
};

/* The terms of a kind of operation, in the order of its amounts; returns how many, 0: this kind has no prices of its own. */
int tr_kernel_terms(enum tr_op_kind kind, const struct tr_kernel_term **terms);

/* Where an operation runs: what its amounts depend on besides itself. */
struct tr_kernel_site {
    int threads;
    double state_bytes; /* weights, copies, moments and gradients of its program: what a step goes through once, so that it
                           is in the caches only if all of it is */
};

/* What an operation does of each term. `present` as tr_op_work wants it. */
void tr_kernel_amounts(const struct tr_op *op, uint32_t present, const struct tr_kernel_site *site,
                       double amount[TR_KERNEL_TERMS_MAX]);

struct tr_kernel_price {
    double unit_s[TR_KERNEL_TERMS_MAX]; /* seconds of one FLOP, byte, element, start; 0: not seen */
    double error;                       /* half width of the 80 % interval of one operation, relative */
    double runs;                        /* that it was refined by (plan/calibrate/refine.h); one that says little counts in part */
    bool known;
};

/* What a machine reached when it was calibrated: for people, and to see whether it is still the same. 0: not measured. */
struct tr_kernel_machine {
    double peak_flop_s[TR_KERNEL_TYPES];
    double read_byte_s[TR_READ_LEVELS];
    double hand_s;                       /* for a line of a cache from one core to another (silicon/chip/peak.h) */
    double hand_apart_s;                 /* the same at the times when that took several times as long; 0: there were none */
    double noise;                        /* how far the slowest of several equal bursts in fp32 was behind the fastest */
    double noise_bf16, noise_memory, noise_disk; /* the same in bf16, of readings of memory, of large files */
    double waiting;                      /* seconds a second that threads had no core while kernels were measured: other programs had them */
    double disk_byte_s, disk_sync_s;     /* a large file written and synced; a small one */
    double scale;                        /* the time that was spent on measuring, in parts of the usual */
};

struct tr_kernel_rates {
    const char *id, *chip;               /* of the entry; strings live as long as the catalog */
    const char *processor, *isa, *program; /* whose rates these are: what the processor calls itself, trine's version */
    int cores, threads;
    int lower, upper;       /* the measured numbers of threads that these are between; 0: these threads were measured */
    int unseen;             /* tr_kernel_unseen of now: step_error has it */
    struct tr_kernel_machine machine;
    double step_error;      /* half width of the 80 % interval of a whole step */
    double between_s;       /* from one operation to the next */
    struct tr_refined refined; /* by runs */
    struct tr_kernel_price price[TR_OP_KIND_COUNT][TR_KERNEL_TYPES];
    struct tr_kernel_price apart[TR_OP_KIND_COUNT][TR_KERNEL_TYPES]; /* while cores were apart (machine.hand_apart_s); not known: none were */
};

/* Seconds of one operation of a program with so much state. */
double tr_kernel_time(const struct tr_kernel_rates *rates, const struct tr_op *op, uint32_t present, double state_bytes);

/* Whether a product is of so few rows that its kernel reads the weights as they lie, and packs nothing: of tokens that are written one by one. */
bool tr_kernel_is_of_few_rows(const struct tr_op *op);

/* Seconds of so many bytes that are read as they lie, as such a product reads weights and attention of one query keys and values. */
double tr_kernel_few_rows_time(const struct tr_kernel_rates *rates, enum tr_dtype act, double bytes, double state_bytes);

/* The same, apart by what would make it longer. */
enum tr_kernel_limit {
    TR_LIMIT_CORES,  /* a slower clock: arithmetic, and bytes that caches have */
    TR_LIMIT_MEMORY, /* slower memory: bytes that no cache has */
    TR_LIMIT_START,  /* threads that begin and wait for one another */
    TR_LIMIT_COUNT
};
void tr_kernel_time_by_limit(const struct tr_kernel_rates *rates, const struct tr_op *op, uint32_t present, double state_bytes,
                             double time_s[TR_LIMIT_COUNT]);

/* What an operation is priced by: its own kind's price, or that of a join. */
const struct tr_kernel_price *tr_kernel_price_of(const struct tr_kernel_rates *rates, const struct tr_op *op);

/* An entry of section kernels; wrong keys, units, ranges: TR_BAD_INPUT with the place. */
TR_MUST_CHECK enum tr_status tr_kernel_rates_read(const struct tr_entry *entry, struct tr_kernel_rates *out,
                                                  struct tr_err *err);

/* Of all entries that a catalog has, the one for so many threads (0: the one for the most); TR_BAD_INPUT, naming those that
 * are there. */
TR_MUST_CHECK enum tr_status tr_kernel_rates_find(const struct tr_catalog *catalog, int threads,
                                                  struct tr_kernel_rates *out, struct tr_err *err);

/* The same for predictions: a number of threads that lies between two that were measured has what follows from these (tr_kernel_rates_between).
 * TR_BAD_INPUT: it is beyond all of them. */
TR_MUST_CHECK enum tr_status tr_kernel_rates_for(const struct tr_catalog *catalog, int threads, struct tr_kernel_rates *out, struct tr_err *err);

/* Each time is linear in 1 / threads, through both neighbours. The errors are the larger ones, and besides what another law, a power of the
 * number of threads, would say of arithmetic or memory. */
void tr_kernel_rates_between(const struct tr_kernel_rates *lower, const struct tr_kernel_rates *upper, int threads, struct tr_kernel_rates *out);

/* Whether cores between which a line takes so long are as no measurement of these found them: -1: nearer each other, by half, 1: further apart, twice;
 * 0: neither, or not measured. */
int tr_kernel_unseen(const struct tr_kernel_machine *machine, double hand_s);

/* What `was`, of the same machine and threads, says of cores nearer or further apart than `now` was measured with, and `now` does not: into `now`,
 * unless less time was spent on it. Returns whether there was any. */
bool tr_kernel_keep_other(struct tr_kernel_rates *now, const struct tr_kernel_rates *was);

/* What was not measured: ", between 1 and 4 threads, which were measured", ", when cores were further apart than now", to stand behind the name of
 * a profile; "": all was. */
enum { TR_UNMEASURED_WORDS_BYTES = 120 };
const char *tr_kernel_unmeasured_words(const struct tr_kernel_rates *rates, char words[TR_UNMEASURED_WORDS_BYTES]);

/* Whether cores between which a line takes so long are rather as far from each other as when `apart` was measured; 0: not measured, no. */
bool tr_kernel_is_apart(const struct tr_kernel_rates *rates, double hand_s);

/* For a time at which a line takes `hand_s` from core to core; 0: not measured, nothing changes. Where the cores are as far from each other as
 * they were when `apart` was measured, rather than when `price` was, prices become those, which is returned. Where neither was measured so
 * (`unseen`), step_error is larger. */
bool tr_kernel_set_apart(struct tr_kernel_rates *rates, double hand_s);

/* The entry as YAML, below `kernels:`; it reads back as the same prices, to four figures. */
void tr_kernel_rates_yaml(const struct tr_kernel_rates *rates, struct tr_text *out);

#endif
