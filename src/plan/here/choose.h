/* Which layout of ranks is the fastest on this machine, as predicted: every one that the step can be shared by and that fits is priced
 * (together.h), with the microbatch that the trainer would take there (lab/train/fit.h). One rank with all cores is one of them, unless a launcher
 * has started several.
 *
 * The search is whole: of few ranks there are few layouts. Bits do not depend on the choice. */
#ifndef TR_PLAN_HERE_CHOOSE_H
#define TR_PLAN_HERE_CHOOSE_H

#include "lab/train/fit.h"
#include "plan/here/together.h"

enum { TR_CHOOSE_RANKS_MAX = 16, TR_LAYOUT_WORDS_BYTES = 64, TR_LAYOUTS_KEPT = 64 };

struct tr_choose_request {
    const struct tr_catalog *profile;
    struct tr_fit fit;                  /* its layout and threads do not matter */
    const struct tr_run_config *config; /* resolved, without regard to memory */
    const char *transport;
    double hand_s;                     /* that a line takes from core to core now (silicon/chip/peak.h); 0: not measured */
    int ranks;                         /* that were started; 0: as we like, up to one a core */
    int cores;                         /* for all of them */
    int64_t memory_bytes;              /* for all of them; 0: what is free (tr_fit_limit) */
};

struct tr_choice {
    struct tr_degrees layout;
    double step_s, error;              /* error: half width of the 80 % interval, relative */
    char words[TR_LAYOUT_WORDS_BYTES]; /* as --layout takes them; "" for one rank */
};

struct tr_layouts_found {
    struct tr_choice choice[TR_LAYOUTS_KEPT]; /* the fastest first */
    int count;
    int unpriced;                        /* layouts that the profile says nothing of: they were left out */
    struct tr_choice unpriced_last;      /* one of them: its layout and words */
    struct tr_err why_unpriced;
};

/* The programs of all ranks of a layout, with what the trainer takes where the user leaves it to us. */
struct tr_here_fitted {
    struct tr_run_programs programs; /* owned by the caller; the smallest ones where none fits */
    int rank;                        /* that needs most */
    int64_t first_bytes, bytes;      /* that rank: before anything was made smaller, and as it is */
};

/* Into `config`: the fastest microbatch that fits by `rates` (NULL: what stands there), smaller ones and layers computed again where that is
 * too much for a rank. TR_NO: nothing fits. TR_BAD_INPUT: the layout cannot be. */
TR_MUST_CHECK enum tr_status tr_here_fit(const struct tr_fit *fit, int64_t limit_bytes, struct tr_kernel_rates *rates,
                                         struct tr_run_config *config, struct tr_here_fitted *out, struct tr_err *err);

struct tr_ranks_price {
    double step_s, error; /* a step of all ranks; half width of its 80 % interval, relative */
    struct tr_rank_time slowest; /* what that is made of */
    double passes_s;      /* passes of an evaluation */
    char refined[TR_REFINED_WORDS_BYTES]; /* by how many runs what ranks take was (tr_refined_words) */
};

/* What these programs take all ranks, a step and so many passes, with the rates of their threads that the profile has, for cores as far
 * apart as they are now (hand_s, as above). TR_BAD_INPUT: it has none. */
TR_MUST_CHECK enum tr_status tr_here_price_ranks(const struct tr_catalog *profile, const char *transport, double hand_s,
                                                 const struct tr_run_programs *programs, int64_t passes, struct tr_ranks_price *out,
                                                 struct tr_err *err);

/* TR_NO: none fits; choice[0] is then the one that needs least. TR_BAD_INPUT: none can be, none can be priced, or more than TR_CHOOSE_RANKS_MAX
 * ranks were started. The sentence says which. */
TR_MUST_CHECK enum tr_status tr_here_choose(const struct tr_choose_request *request, struct tr_layouts_found *out, struct tr_err *err);

/* The words of --layout, checked for what training can do; NULL: one rank. TR_BAD_INPUT with the option's name. */
TR_MUST_CHECK enum tr_status tr_degrees_read(const char *words, struct tr_degrees *out, struct tr_err *err);
const char *tr_degrees_words(const struct tr_degrees *degrees, char words[TR_LAYOUT_WORDS_BYTES]);
const char *tr_choice_words(const struct tr_choice *choice); /* "one rank" where there are none */

#endif
