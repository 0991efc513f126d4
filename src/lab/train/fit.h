/* Whether a run fits into memory under a layout, what is taken where the user leaves it to us, and what nearest would fit: without the run,
 * so that the trainer, `--layout auto` and a plan for here say the same.
 *
 *     tr_fit_limit(memory_bytes, ranks, &limit)
 *     tr_fit_fill_pipe(&fit, &config)
 *     do                                          until it fits on all ranks
 *         make the program of tr_fit_step(&fit, &config, rank); tr_fit_bytes(&fit, &config, &program) <= limit.bytes?
 *     while (!it does && tr_fit_less(&fit, &config))
 *
 * Bits do not depend on any of it. */
#ifndef TR_LAB_TRAIN_FIT_H
#define TR_LAB_TRAIN_FIT_H

#include "base/memory.h"
#include "lab/model/program.h"
#include "lab/train/run_config.h"

enum { TR_FIT_TRIES_MAX = 64 };

/* What stands for good when memory is asked for. Configs are resolved ones. */
struct tr_fit {
    const struct tr_model_config *model; /* not owned */
    struct tr_machine machine;
    struct tr_degrees layout;            /* all zero: one rank */
    int64_t vocab;                       /* of the text's tokens, which a smaller model needs */
    int64_t data_bytes;                  /* of the text, which each rank holds */
    double hand_s;                       /* what a line of a cache takes from core to core now; 0: not known */
    bool auto_micro_batch, auto_recompute; /* the user left the choice to us */
};

/* What a rank may take, and how that is said. */
struct tr_fit_limit {
    int64_t bytes; /* of each rank */
    char words[TR_MEMORY_WORDS_BYTES + 96]; /* "there are 16 GiB", "20 GiB of the machine's 24 GiB are free, of which ..." */
};

/* Of `memory_bytes` for the ranks of one host together; 0: of what is free there now, but for a 32nd of all, at most 256 MiB, that the kernel
 * and others want while the run goes on. Each rank has an equal share. */
void tr_fit_limit(int64_t memory_bytes, int host_ranks, struct tr_fit_limit *out);

struct tr_step_config tr_fit_step(const struct tr_fit *fit, const struct tr_run_config *config, int rank);

/* The process itself, libraries, thread stacks, the report. */
#define TR_FIT_PROCESS_BYTES ((int64_t)64 << 20)

/* All that a rank takes: its program, copies for saves, samples and other ranks, the text, the process. */
int64_t tr_fit_bytes(const struct tr_fit *fit, const struct tr_run_config *config, const struct tr_program *program);

/* Where the microbatch is left to us: a smaller one, where stages of a pipeline would wait for long. */
void tr_fit_fill_pipe(const struct tr_fit *fit, struct tr_run_config *config);

/* The next smaller number of sequences that divides a lane's; where there is none, the layers computed again. False: there is nothing left
 * that the user has not decided. */
bool tr_fit_less(const struct tr_fit *fit, struct tr_run_config *config);

/* Seconds of a step of this program, on cores so far from each other (as in struct tr_fit); 0: that cannot be said. */
typedef double tr_fit_price_fn(void *context, const struct tr_program *program, int threads, double hand_s);

/* The fastest microbatch that fits, where it is left to us, on one rank alone: into `config` if it is at least 1 % faster than what stands
 * there; returns how many times as fast it is, 1: nothing was changed. */
double tr_fit_fastest(const struct tr_fit *fit, struct tr_run_config *config, int64_t limit_bytes, tr_fit_price_fn *price, void *context);

/* TR_NO with a sentence, once it is clear that a rank which needs `need_bytes` as `config` says does not fit: by how much, and what nearest
 * would: smaller microbatches and layers computed again, shorter sequences, a smaller model of the dial. */
TR_MUST_CHECK enum tr_status tr_fit_refuse(const struct tr_fit *fit, const struct tr_run_config *config, int rank, int64_t need_bytes,
                                           const struct tr_fit_limit *limit, struct tr_err *err);

#endif
