/* What the parts of a calibration share. */
#ifndef TR_PLAN_CALIBRATE_INSIDE_H
#define TR_PLAN_CALIBRATE_INSIDE_H

#include "base/os.h"
#include "base/progress.h"
#include "lab/model/exec.h"
#include "plan/calibrate/calibrate.h"
#include "silicon/kernel/kernel.h"

enum { TR_CALIBRATE_ROUNDS = 3, TR_CALIBRATE_ROUNDS_MAX = 12 }; /* times that each program is visited, all others in between; with more time than usual */
enum { TR_PROFILE_NAME_BYTES = TR_PROCESSOR_NAME_BYTES, TR_PROFILE_EXCHANGES_MAX = 3 };

struct tr_profile {
    struct tr_kernel_rates rates[TR_PROFILE_THREADS_MAX];
    int count;
    struct tr_exchange_rates exchange[TR_PROFILE_EXCHANGES_MAX]; /* of ranks as threads */
    char exchange_id[TR_PROFILE_EXCHANGES_MAX][TR_PROFILE_NAME_BYTES];
    int exchanges;
    char processor[TR_PROFILE_NAME_BYTES], vendor[TR_PROFILE_NAME_BYTES], chip[TR_PROFILE_NAME_BYTES];
    char id[TR_PROFILE_THREADS_MAX][TR_PROFILE_NAME_BYTES];
    char date[TR_FACT_DATE_BYTES], program[32];
    int64_t memory_bytes;
    struct tr_kernel_machine begun; /* what is the same for all numbers of threads: the disk, the scale */
    int year;
    bool kept; /* prices of cores nearer or further apart, from the profile before */
};

/* A small program of one layer of a shape, to be run a few steps: training, or tokens one by one. */
struct tr_trial_shape {
    enum tr_family family;
    int32_t width, heads, kv_heads;
    int64_t ffn, vocab, seq_len, batch; /* batch 0: writes texts of seq_len tokens, one by one */
};
struct tr_trial {
    struct tr_program program;
    struct tr_exec exec;
    int64_t steps;   /* that were run */
    int64_t seq_len; /* of the texts that it writes; 0: it trains */
};
TR_MUST_CHECK enum tr_status tr_trial_open(struct tr_trial *trial, const struct tr_trial_shape *shape, enum tr_dtype dtype,
                                           struct tr_machine machine, struct tr_err *err);
void tr_trial_step(struct tr_trial *trial);
void tr_trial_close(struct tr_trial *trial);
/* Weights as at the start of a run, and tokens, of any training program of this rank: no time depends on what they are. */
void tr_trial_fill(struct tr_exec *exec);

/* One operation of one program, as it was measured. */
struct tr_kernel_sample {
    struct tr_op op;
    uint32_t present;
    double state_bytes; /* of its program */
    int program;    /* samples of one number were measured together, and are left out together */
    int64_t calls;  /* a step */
    int64_t place;  /* among all that were measured */
    double time_s;  /* of one call */
    int rounds;     /* that it is from, the same ones for all samples of a program; 0: there is only time_s */
    double round_s[TR_CALIBRATE_ROUNDS_MAX], hand_s[TR_CALIBRATE_ROUNDS_MAX]; /* hand_s: what a line took from core to core then; 0: one thread has
                                                                         no need of it, below: that changed during the round, or nobody knows */
};

/* What was seen with one number of threads. */
struct tr_samples {
    int threads;                 /* in */
    struct tr_kernel_sample *at; /* owned by the caller */
    int64_t count;
    double between_s; /* from one operation to the next */
    double waiting;   /* seconds a second that threads were ready and other programs had their cores, all together */
};

/* Samples of all programs with each of these numbers of threads (zeroed but for that), the first of which is the largest. In rounds: all
 * programs, types and numbers of threads take turns, so that what a machine does at a time is in all of them alike; a visit in which other
 * programs took the cores is made again, up to a quarter of them. The bar advances by one a visit. On failure too, what is in out[] is freed by the caller. */
TR_MUST_CHECK enum tr_status tr_calibrate_samples(const struct tr_calibrate_options *options, enum tr_isa isa, struct tr_progress *bar,
                                                  struct tr_samples *out, int ways, struct tr_err *err);
int tr_calibrate_visit_count(double scale);

/* What a line takes from core to core, by what it took before and after; below 0: not the same, or nobody knows. */
double tr_calibrate_hand(double before_s, double after_s);

/* Whether a visit in which threads waited so long for a core, seconds a second, is to be made again; then one less of *left is. */
bool tr_calibrate_again(double waiting, int *left);

/* Rates from samples of one number of threads: *rates has its threads and machine, and gets its prices and errors. */
TR_MUST_CHECK enum tr_status tr_kernel_fit(const struct tr_kernel_sample *sample, int64_t count, struct tr_kernel_rates *rates,
                                           struct tr_err *err);

/* Rates and errors from all of them: prices from the rounds in which the cores were near each other, `apart` from the others, where there are
 * enough of either. A step's error is no less than the share of the time that others had. */
TR_MUST_CHECK enum tr_status tr_calibrate_fit(const struct tr_samples *samples, struct tr_kernel_rates *rates, struct tr_err *err);

double tr_median(double *value, int64_t count); /* of at least one; sorts them */

/* "AMD EPYC" and how many cores make "amd-epyc-2-cores". Long names are cut, so that with "-threads-2" or "-mpi-128" behind it is
 * still an id that a catalog takes. */
void tr_calibrate_chip_id(const char *processor, int cores, char *id, size_t bytes);

/* Peaks, reading at each level, noise. */
TR_MUST_CHECK enum tr_status tr_calibrate_machine(enum tr_isa isa, int threads, struct tr_kernel_machine *out,
                                                  struct tr_err *err);
/* Some more bursts of multiply-adds in fp32, or one that was this fast: the peak is that of the fastest of all so far, the noise how far
 * behind it the slowest was. peak_flop_s[0] = 0: none so far. */
void tr_calibrate_bursts(enum tr_isa isa, int threads, struct tr_kernel_machine *m);
void tr_calibrate_burst(double flop_s, struct tr_kernel_machine *m);

/* What differs, each as "; this is ..., was ...", and what that comes of, likely, and what to do; NULL: nothing does. */
const char *tr_calibrate_compare(const struct tr_kernel_machine *was, const struct tr_kernel_machine *now, struct tr_text *why);

/* Writing and syncing a file there, which is removed again. */
TR_MUST_CHECK enum tr_status tr_calibrate_disk(const char *folder, struct tr_kernel_machine *out, struct tr_err *err);

/* How many times the mean of all kinds each kind takes longer when all ranks compute than when one does, by what it took; 0: not seen, or
 * too little of it. */
void tr_calibrate_work_times(const double alone_s[TR_OP_KIND_COUNT], const double all_s[TR_OP_KIND_COUNT], double times[TR_OP_KIND_COUNT]);

/* So many ranks as threads of this process: out->ranks and its times. The bar advances by one a part. */
TR_MUST_CHECK enum tr_status tr_calibrate_threads(int ranks, const struct tr_calibrate_options *options, struct tr_progress *bar,
                                                  struct tr_exchange_rates *out, struct tr_err *err);
int tr_calibrate_exchange_parts(double scale);

/* How many ranks are measured as threads on a machine of so many cores: two, four, and on more than seven cores the largest power of
 * two of which each has one. Returns how many numbers that are; of one core there is none. */
int tr_calibrate_rank_counts(int cores, int ranks[TR_PROFILE_EXCHANGES_MAX]);

/* TR_FAILED, with the signal's name, once somebody has asked to stop. */
TR_MUST_CHECK enum tr_status tr_calibrate_goes_on(const struct tr_calibrate_options *options, struct tr_err *err);

#endif
