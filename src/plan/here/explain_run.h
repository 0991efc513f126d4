/* A run beside its prediction, operation by operation: what `explain analyze` is to a query.
 *
 * The step program is made anew from the run's config and priced with a profile of this machine; what was measured is in the run
 * folder (lab/train/profile.h). Calls, FLOPs and bytes of both must be equal, else the files do not belong together, which is
 * said and nothing is compared. Times differ. How much of a difference comes of a machine that was slower than when it was
 * calibrated is reckoned from what the run saw of it when it began, now and then, and when it ended (lab/train/looks.h): peak, reading
 * of as many bytes as the calibration read, how far its cores were apart; the rest stays unexplained, and is called so.
 *
 * Of a run on several ranks operations and collectives are those of one of them, and all ranks stand side by side in sums. Bytes that ranks sent
 * must be those of their step programs, and what the transport counted. What is predicted of collectives (together.h) are waits for other
 * ranks, and moving bytes where the profile has a record of that; else it is in the difference. Of several hosts each is taken to be like
 * the profile's, which says nothing of what lies between them. */
#ifndef TR_PLAN_HERE_EXPLAIN_RUN_H
#define TR_PLAN_HERE_EXPLAIN_RUN_H

#include "base/text.h"
#include "plan/here/together.h"

/* One kind of operation in one phase; times, FLOPs and bytes are of a step. */
struct tr_run_row {
    enum tr_phase phase;
    enum tr_op_kind kind;
    double calls, flop, bytes;
    double measured_s, predicted_s;
    double now_s; /* predicted for the machine as the run found it, from its beginning to its end; predicted_s where that is not known */
    double moved_s; /* of now_s - predicted_s: as its cores were apart, or near, for a part of the time only */
    double error; /* half width of the 80 % interval of one operation, relative; NAN: the kind was not calibrated */
    double start; /* share of predicted_s in which threads begin and wait */
    double bf16;  /* share of predicted_s whose activations are in bf16 */
    double warm_s; /* as measured_s, by the calls after the first step; 0: there are none */
};

/* One kind of collective in one phase, of the rank whose operations are shown, a step. */
struct tr_run_coll_row {
    enum tr_phase phase;
    enum tr_coll_kind kind;
    double calls, bytes;    /* bytes: sent; both are where it began, which may be another phase than where it is waited for */
    double measured_s;      /* that the rank was held up */
    double predicted_s;     /* if all ranks are as fast as predicted */
};

/* One rank, a step. */
struct tr_run_rank_row {
    double step_s, work_s, wait_s, stage_s, bytes; /* as in struct tr_rank_sum */
    double predicted_work_s, predicted_wait_s, predicted_stage_s;
};

enum { TR_RUN_COLLS_MAX = TR_PHASE_COUNT * TR_COLL_KIND_COUNT };
enum { TR_RUN_ROWS_MAX = TR_PHASE_COUNT * TR_OP_KIND_COUNT, TR_RUN_WHY_BYTES = 160 };

struct tr_run_explained {
    char model[TR_MODEL_NAME_MAX];
    struct tr_run_profile ran;
    struct tr_run_row row[TR_RUN_ROWS_MAX]; /* the largest differences first */
    int rows;
    struct tr_run_coll_row coll[TR_RUN_COLLS_MAX]; /* the largest differences first */
    int colls;
    struct tr_run_rank_row rank[TR_HERE_RANKS_MAX]; /* [ran.each_count] */
    bool apart;                                      /* cores were apart when it began, and have prices of their own for that */
    int unseen;                                      /* and as the profile does not know them: tr_kernel_unseen */
    bool exchanges;                                  /* the profile has a record of what moving bytes takes these ranks */
    double shared[TR_OP_KIND_COUNT];                 /* and of how much longer work takes while others work; 1: it has not */
    double turns;                                    /* and so many times as long where ranks take turns on too few cores */
    char refined_ranks[TR_REFINED_WORDS_BYTES];      /* by how many runs of ranks that record was */
    double wait_measured_s, wait_predicted_s;        /* part of the step: held up by collectives */
    double bubble_planned;                           /* as in struct tr_train_result; 0: no pipeline */
    double measured_s, predicted_s, now_s, error;    /* of a whole step */
    double warm_s;                                   /* as measured_s, without the first step; 0: there is no other */
    char refined[TR_REFINED_WORDS_BYTES];           /* by how many runs the profile was (tr_refined_words) */
    int profile_runs;
    bool learned_from;                               /* this run is one of them (of ranks: of those that refined the record), so it was not predicted blindly */
    double between_measured_s, between_predicted_s;  /* part of it: from one operation to the next, data, the log */
    double peak_now_flop_s, memory_now_byte_s;       /* of one rank, the mean of what was seen when the run began and when it ended; reading:
                                                        looks.read_bytes of ran */
    double peak_then_flop_s, memory_then_byte_s;     /* the same of the calibration; 0: not known */
    bool read_memory;                                /* so much was read that it came from memory; else from caches, which says nothing of memory */
    double moved, apart_share; /* shares of its time: that cores were not as when it began; that they were apart */
    double hand_then_s;                              /* a line of a cache from core to core, mostly; 0: not known */
    int64_t planned_bytes;                           /* of memory, by the program of that rank made anew */
};

/* `rank`: whose operations are shown; TR_RANK_SLOWEST: of the slowest stage. TR_BAD_INPUT: no run, a run that has not computed a step, one of more than TR_HERE_RANKS_MAX ranks, a profile that belongs to another
 * run, no rates for so many threads. */
TR_MUST_CHECK enum tr_status tr_run_explain(const char *run_folder, const struct tr_catalog *profile, int rank,
                                            struct tr_run_explained *out, struct tr_err *err);

/* Whether what was seen of the machine when the run began and ended tells of the run: reckoned by it (now_s) its step is within its interval,
 * or no further off than the prediction. Looks are of moments, and what a neighbour took in one of them it may have left the run all the
 * time between. */
bool tr_run_looks_tell(const struct tr_run_explained *run);

/* Why a row differs, as far as numbers say: always a sentence. */
void tr_run_why(const struct tr_run_explained *run, const struct tr_run_row *row, char why[TR_RUN_WHY_BYTES]);

void tr_run_coll_why(const struct tr_run_explained *run, const struct tr_run_coll_row *row, char why[TR_RUN_WHY_BYTES]);

/* "28 MiB by the step program; 120 MiB were reckoned for the process, which had 93 MiB at its peak": what is like beside what is like. */
enum { TR_RUN_MEMORY_WORDS_BYTES = 320 };
const char *tr_run_memory_words(const struct tr_run_explained *run, char words[TR_RUN_MEMORY_WORDS_BYTES]);

void tr_run_explain_text(const struct tr_run_explained *run, struct tr_text *out);
/* `foreign`: as tr_here_foreign_json takes it. */
void tr_run_explain_json(const struct tr_run_explained *run, const char *foreign, struct tr_text *out);

#endif
