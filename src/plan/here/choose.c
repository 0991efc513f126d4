#include "plan/here/choose.h"

#include "base/num.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- prices ------------------------------------------------------------------------------------------------------ */

/* One rank waits for nobody. */
static void price_alone(const struct tr_kernel_rates *rates, const struct tr_program *program, struct tr_rank_time *out)
{
    struct tr_here_time time;
    tr_here_step(rates, program, &time);
    *out = (struct tr_rank_time){.step_s = time.step_s, .between_s = time.between_s, .turns = 1};
    memcpy(out->op_s, time.op_s, sizeof out->op_s);
}

static enum tr_status price(const struct tr_kernel_rates *rates, const struct tr_exchange_rates *exchange,
                            const struct tr_run_programs *programs, int64_t passes, struct tr_ranks_price *out, struct tr_err *err)
{
    struct tr_rank_time *time = calloc((size_t)programs->ranks, sizeof *time);
    if (!time)
        return tr_fail(err, TR_FAILED, "out of memory for %d ranks", programs->ranks);
    *out = (struct tr_ranks_price){.error = exchange ? tr_exchange_step_error(exchange, rates->step_error) : rates->step_error};
    tr_refined_words(exchange ? &exchange->refined : &rates->refined, out->refined);
    enum tr_status status = programs->ranks == 1 ? TR_OK : tr_here_together(rates, exchange, programs, NULL, NULL, time, err);
    if (status == TR_OK && programs->ranks == 1)
        price_alone(rates, programs->program, time);
    for (int rank = 0; rank < programs->ranks && status == TR_OK; rank++)
        if (rank == 0 || time[rank].step_s > out->slowest.step_s)
            out->slowest = time[rank];
    out->step_s = out->slowest.step_s;
    free(time);
    return status == TR_OK ? tr_here_passes(rates, exchange, programs, passes, &out->passes_s, err) : status;
}

/* What a profile has for so many ranks of so many threads. */
struct rates {
    struct tr_kernel_rates kernels;
    struct tr_exchange_rates exchange; /* ranks 0: of one rank, which exchanges nothing */
};

static enum tr_status find_rates(const struct tr_catalog *profile, const char *transport, double hand_s, int ranks, int threads,
                                 struct rates *out, struct tr_err *err)
{
    out->exchange = (struct tr_exchange_rates){.ranks = 0};
    enum tr_status status = tr_kernel_rates_for(profile, threads, &out->kernels, err);
    if (status == TR_OK && ranks > 1)
        status = tr_exchange_find(profile, transport, ranks, &out->exchange, err);
    if (status == TR_NO)
        status = tr_fail(err, TR_BAD_INPUT, "the profile does not say what exchanging bytes takes ranks by %s%s", transport,
                         strcmp(transport, "mpi") == 0    ? ": `mpirun -n 2 trine calibrate --ranks` adds that"
                         : out->kernels.cores > 1 ? ": calibrate again"
                                                  : ", which is not measured on a machine of one core");
    if (status == TR_OK) {
        tr_kernel_set_apart(&out->kernels, hand_s);
        tr_exchange_set_apart(&out->exchange, hand_s);
    }
    return status;
}

static const struct tr_exchange_rates *exchange_of(const struct rates *rates) { return rates->exchange.ranks ? &rates->exchange : NULL; }

enum tr_status tr_here_price_ranks(const struct tr_catalog *profile, const char *transport, double hand_s,
                                   const struct tr_run_programs *programs, int64_t passes, struct tr_ranks_price *out, struct tr_err *err)
{
    struct rates rates;
    enum tr_status status = find_rates(profile, transport, hand_s, programs->ranks, programs->threads, &rates, err);
    return status == TR_OK ? price(&rates.kernels, exchange_of(&rates), programs, passes, out, err) : status;
}

/* ---- the search -------------------------------------------------------------------------------------------------- */

/* Of the layouts that do not fit the one that needs least, of all ranks together. */
struct unfit {
    struct tr_fit fit;
    struct tr_choice choice;
    int rank;             /* that needs most */
    int64_t first_bytes;  /* it, before anything was made smaller */
    int64_t bytes;        /* all, with everything made smaller; 0: all that can be fit */
};

struct search {
    const struct tr_choose_request *request;
    struct tr_layouts_found *out;
    struct tr_run_config *config; /* scratch: of the layout that is tried */
    int threads;                  /* of a rank, of as many as are tried */
    bool has_rates;               /* the profile has rates for so many; else why_no_rates */
    struct rates rates;
    struct tr_err why_no_rates;
    struct unfit unfit;
    struct tr_err why;            /* the last one could not be */
};

/* Which rank needs most, and how much. */
static int64_t most_bytes(const struct tr_fit *fit, const struct tr_run_config *config, const struct tr_run_programs *programs, int *rank)
{
    int64_t most = 0;
    for (int i = 0; i < programs->ranks; i++) {
        int64_t bytes = tr_fit_bytes(fit, config, &programs->program[i]);
        if (bytes > most)
            most = bytes, *rank = i;
    }
    return most;
}

/* Sorted in; equal ones in the order in which they were tried. */
static void keep(struct tr_layouts_found *out, const struct tr_choice *new)
{
    int at = out->count;
    while (at > 0 && out->choice[at - 1].step_s > new->step_s)
        at--;
    if (at == TR_LAYOUTS_KEPT)
        return;
    if (out->count < TR_LAYOUTS_KEPT)
        out->count++;
    memmove(&out->choice[at + 1], &out->choice[at], (size_t)(out->count - at - 1) * sizeof *out->choice);
    out->choice[at] = *new;
}

/* One of which the profile says nothing is left out. */
static enum tr_status price_layout(struct search *s, const struct tr_run_programs *programs, struct tr_choice *new, struct tr_err *err)
{
    struct tr_ranks_price its;
    if (!s->has_rates) {
        s->out->unpriced++;
        s->out->unpriced_last = *new;
        s->out->why_unpriced = s->why_no_rates;
        return TR_OK;
    }
    enum tr_status status = price(&s->rates.kernels, exchange_of(&s->rates), programs, 0, &its, err);
    if (status != TR_OK)
        return status;
    new->step_s = its.step_s;
    new->error = its.error;
    keep(s->out, new);
    return TR_OK;
}

static void note_unfit(struct search *s, const struct unfit *new)
{
    if (s->unfit.bytes == 0 || new->bytes < s->unfit.bytes)
        s->unfit = *new;
}

enum tr_status tr_here_fit(const struct tr_fit *fit, int64_t limit_bytes, struct tr_kernel_rates *rates, struct tr_run_config *config,
                           struct tr_here_fitted *out, struct tr_err *err)
{
    *out = (struct tr_here_fitted){.rank = 0};
    tr_fit_fill_pipe(fit, config);
    if (rates) /* as the trainer does where it has a profile */
        tr_fit_fastest(fit, config, limit_bytes, tr_here_price, rates);
    for (int try = 1;; try++) {
        struct tr_step_config step = tr_fit_step(fit, config, 0);
        enum tr_status status = tr_run_programs_make(fit->model, &step, fit->machine, &out->programs, err);
        if (status != TR_OK)
            return status;
        out->bytes = most_bytes(fit, config, &out->programs, &out->rank);
        out->first_bytes = try == 1 ? out->bytes : out->first_bytes;
        if (out->bytes <= limit_bytes)
            return TR_OK;
        if (try == TR_FIT_TRIES_MAX || !tr_fit_less(fit, config))
            return TR_NO;
        tr_run_programs_free(&out->programs);
    }
}

/* The programs of a layout that fits. TR_NO: none does. */
static enum tr_status fit_layout(struct search *s, const struct tr_choice *choice, const struct tr_fit *fit, struct tr_run_programs *out,
                                 struct tr_err *err)
{
    struct tr_here_fitted fitted;
    struct tr_fit_limit limit;
    int ranks = (int)tr_degrees_ranks(&fit->layout);
    tr_fit_limit(s->request->memory_bytes, ranks, &limit);
    *s->config = *s->request->config;
    enum tr_status status = tr_here_fit(fit, limit.bytes, s->has_rates ? &s->rates.kernels : NULL, s->config, &fitted, err);
    *out = fitted.programs;
    if (status != TR_NO)
        return status;
    tr_run_programs_free(out);
    note_unfit(s, &(struct unfit){.fit = *fit, .choice = *choice, .rank = fitted.rank, .first_bytes = fitted.first_bytes,
                                  .bytes = fitted.bytes < INT64_MAX / ranks ? ranks * fitted.bytes : INT64_MAX});
    return TR_NO;
}

/* A step is computed twice on one rank only (replay.every). */
static enum tr_status check_replay(const struct search *s, int ranks, struct tr_err *err)
{
    if (ranks == 1 || s->request->config->replay_every == 0)
        return TR_OK;
    return tr_fail(err, TR_BAD_INPUT, "replay.every %lld: a step is computed twice on one rank only", (long long)s->request->config->replay_every);
}

/* One that cannot be is passed over; TR_FAILED: memory. */
static enum tr_status try_layout(struct search *s, const struct tr_degrees *degrees, struct tr_err *err)
{
    struct tr_choice new = {.layout = *degrees};
    struct tr_run_programs programs = {.program = NULL};
    struct tr_fit fit = s->request->fit;
    int ranks = (int)tr_degrees_ranks(degrees);
    fit.layout = *degrees;
    fit.machine.threads = s->threads;
    tr_degrees_words(degrees, new.words);
    enum tr_status status = check_replay(s, ranks, &s->why);
    if (status == TR_OK)
        status = fit_layout(s, &new, &fit, &programs, &s->why);
    if (status == TR_BAD_INPUT || status == TR_NO)
        return TR_OK;
    if (status != TR_OK) {
        *err = s->why;
        return status;
    }
    status = price_layout(s, &programs, &new, err);
    tr_run_programs_free(&programs);
    return status;
}

/* Those of one way to cut: what data parallel ranks share besides, tokens among tensor parallel ones, chunks of stages. */
static enum tr_status try_kinds(struct search *s, int tp, int cp, int dp, int pp, struct tr_err *err)
{
    enum tr_status status = TR_OK;
    for (int zero = 0; zero <= (dp > 1 ? 3 : 0); zero++)
        for (int sp = 0; sp <= (tp > 1); sp++)
            for (int vpp = 1; vpp <= (pp > 1 ? 2 : 1) && status == TR_OK; vpp++) {
                struct tr_degrees degrees = {.ranks = {[TR_GROUP_TENSOR] = tp, [TR_GROUP_CONTEXT] = cp, [TR_GROUP_DATA] = dp,
                                                       [TR_GROUP_PIPE] = pp},
                                             .chunks = vpp, .sequence = sp, .zero = zero};
                status = try_layout(s, &degrees, err);
            }
    return status;
}

static enum tr_status try_layouts(struct search *s, int ranks, struct tr_err *err)
{
    enum tr_status status = TR_OK;
    for (int dp = ranks; dp >= 1; dp--)
        for (int tp = 1; tp <= ranks / dp; tp++)
            for (int cp = 1; cp <= ranks / dp / tp && status == TR_OK; cp++)
                if (ranks % (dp * tp * cp) == 0)
                    status = try_kinds(s, tp, cp, dp, ranks / (dp * tp * cp), err);
    return status;
}

static enum tr_status try_ranks(struct search *s, int ranks, struct tr_err *err)
{
    const struct tr_choose_request *r = s->request;
    s->threads = (int)tr_max_i64(1, r->cores / ranks);
    enum tr_status status = find_rates(r->profile, r->transport, r->hand_s, ranks, s->threads, &s->rates, &s->why_no_rates);
    s->has_rates = status == TR_OK;
    if (status == TR_OK || status == TR_BAD_INPUT)
        return try_layouts(s, ranks, err);
    *err = s->why_no_rates;
    return status;
}

/* "1 to 4 ranks". */
struct span {
    int first, last;
};

static const char *span_words(const struct span *ranks, char words[48])
{
    if (ranks->first == ranks->last)
        snprintf(words, 48, "%d rank%s", ranks->first, ranks->first == 1 ? "" : "s");
    else
        snprintf(words, 48, "%d to %d ranks", ranks->first, ranks->last);
    return words;
}

/* Those that cannot be priced would fit; those that do not fit could be. */
static enum tr_status refuse(const struct search *s, const struct span *ranks, struct tr_err *err)
{
    struct tr_layouts_found *out = s->out;
    const struct unfit *unfit = &s->unfit;
    char words[48];
    struct tr_fit_limit limit;
    span_words(ranks, words);
    if (out->unpriced)
        return tr_fail(err, TR_BAD_INPUT, "no layout of %s can be priced; %s: %s", words, tr_choice_words(&out->unpriced_last), out->why_unpriced.text);
    if (unfit->bytes > 0) {
        tr_fit_limit(s->request->memory_bytes, (int)tr_degrees_ranks(&unfit->fit.layout), &limit);
        enum tr_status status = tr_fit_refuse(&unfit->fit, s->request->config, unfit->rank, unfit->first_bytes, &limit, err);
        tr_err_prefix(err, "no layout of %s fits; %s needs least", words, tr_choice_words(&unfit->choice));
        out->choice[0] = unfit->choice;
        return status;
    }
    *err = s->why;
    tr_err_prefix(err, "no layout of %s is possible; the last one that was tried", words);
    return TR_BAD_INPUT;
}

enum tr_status tr_here_choose(const struct tr_choose_request *request, struct tr_layouts_found *out, struct tr_err *err)
{
    struct search s = {.request = request, .out = out};
    struct span ranks = {1, (int)tr_min_i64(tr_max_i64(1, request->cores), TR_CHOOSE_RANKS_MAX)};
    if (request->ranks > 0)
        ranks = (struct span){request->ranks, request->ranks};
    *out = (struct tr_layouts_found){.count = 0};
    if (request->ranks > TR_CHOOSE_RANKS_MAX)
        return tr_fail(err, TR_BAD_INPUT, "%d ranks were started; a layout is chosen for up to %d", request->ranks, TR_CHOOSE_RANKS_MAX);
    s.config = malloc(sizeof *s.config);
    enum tr_status status = s.config ? TR_OK : tr_fail(err, TR_FAILED, "out of memory for %zu bytes", sizeof *s.config);
    for (int count = ranks.first; count <= ranks.last && status == TR_OK; count++)
        status = try_ranks(&s, count, err);
    if (status == TR_OK && out->count == 0)
        status = refuse(&s, &ranks, err);
    free(s.config);
    return status;
}
