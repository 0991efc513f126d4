#include "plan/here/choose.h"

#include "base/num.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- words ------------------------------------------------------------------------------------------------------- */

static void add_word(char words[TR_LAYOUT_WORDS_BYTES], const char *name, int value)
{
    size_t length = strlen(words);
    if (value > 0)
        snprintf(words + length, TR_LAYOUT_WORDS_BYTES - length, "%s%s=%d", length ? "," : "", name, value);
    else
        snprintf(words + length, TR_LAYOUT_WORDS_BYTES - length, "%s%s", length ? "," : "", name);
}

const char *tr_degrees_words(const struct tr_degrees *degrees, char words[TR_LAYOUT_WORDS_BYTES])
{
    words[0] = 0;
    for (int group = 0; group < TR_GROUP_COUNT; group++)
        if (tr_degrees_of(degrees, (enum tr_group)group) > 1)
            add_word(words, tr_group_name((enum tr_group)group), tr_degrees_of(degrees, (enum tr_group)group));
    if (degrees->sequence)
        add_word(words, "sp", 0);
    if (degrees->chunks > 1)
        add_word(words, "vpp", degrees->chunks);
    if (degrees->zero > 0)
        add_word(words, "zero", degrees->zero);
    return words;
}

const char *tr_choice_words(const struct tr_choice *choice) { return choice->words[0] ? choice->words : "one rank"; }

/* ---- prices ------------------------------------------------------------------------------------------------------ */

static enum tr_status price(const struct tr_kernel_rates *rates, const struct tr_exchange_rates *exchange,
                            const struct tr_run_programs *programs, int64_t passes, struct tr_ranks_price *out, struct tr_err *err)
{
    struct tr_rank_time *time = calloc((size_t)programs->ranks, sizeof *time);
    if (!time)
        return tr_fail(err, TR_FAILED, "out of memory for %d ranks", programs->ranks);
    *out = (struct tr_ranks_price){.error = exchange ? tr_exchange_step_error(exchange, rates->step_error) : rates->step_error};
    tr_refined_words(exchange ? &exchange->refined : &rates->refined, out->refined);
    enum tr_status status = tr_here_together(rates, exchange, programs, NULL, NULL, time, err);
    for (int rank = 0; rank < programs->ranks && status == TR_OK; rank++)
        out->step_s = fmax(out->step_s, time[rank].step_s);
    free(time);
    return status == TR_OK ? tr_here_passes(rates, exchange, programs, passes, &out->passes_s, err) : status;
}

enum tr_status tr_here_price_ranks(const struct tr_catalog *profile, const char *transport, double hand_s,
                                   const struct tr_run_programs *programs, int64_t passes, struct tr_ranks_price *out, struct tr_err *err)
{
    struct tr_kernel_rates rates;
    struct tr_exchange_rates exchange = {.ranks = 0};
    enum tr_status status = tr_kernel_rates_for(profile, programs->threads, &rates, err);
    if (status == TR_OK && programs->ranks > 1)
        status = tr_exchange_find(profile, transport, programs->ranks, &exchange, err);
    if (status == TR_NO)
        status = tr_fail(err, TR_BAD_INPUT, "the profile does not say what exchanging bytes takes ranks by %s%s", transport,
                         strcmp(transport, "mpi") == 0 ? ": `mpirun -n 2 trine calibrate --ranks` adds that" : ": calibrate again");
    if (status == TR_OK)
        tr_kernel_set_apart(&rates, hand_s);
    return status == TR_OK ? price(&rates, exchange.ranks ? &exchange : NULL, programs, passes, out, err) : status;
}

/* ---- the search -------------------------------------------------------------------------------------------------- */

struct search {
    const struct tr_choose_request *request;
    struct tr_layouts_found *out;
    struct tr_err why; /* the last one could not be */
};

static int64_t memory_of(const struct tr_run_programs *programs)
{
    int64_t bytes = 0;
    for (int rank = 0; rank < programs->ranks; rank++)
        bytes += tr_program_memory_bytes(&programs->program[rank]);
    return bytes;
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
    const struct tr_choose_request *r = s->request;
    struct tr_ranks_price price;
    struct tr_err why;
    enum tr_status status = tr_here_price_ranks(r->profile, r->transport, r->hand_s, programs, 0, &price, &why);
    if (status == TR_BAD_INPUT) {
        s->out->unpriced++;
        s->out->unpriced_last = *new;
        s->out->why_unpriced = why;
        return TR_OK;
    }
    if (status != TR_OK) {
        *err = why;
        return status;
    }
    new->step_s = price.step_s;
    new->error = price.error;
    keep(s->out, new);
    return TR_OK;
}

/* One that cannot be is passed over; TR_FAILED: memory. */
static enum tr_status try_layout(struct search *s, const struct tr_degrees *degrees, struct tr_err *err)
{
    const struct tr_choose_request *r = s->request;
    struct tr_choice new = {.layout = *degrees};
    struct tr_step_config step = *r->step;
    struct tr_run_programs programs;
    int ranks = (int)tr_degrees_ranks(degrees);
    struct tr_machine machine = {r->kernels, (int)tr_max_i64(1, r->cores / ranks)};
    step.place = (struct tr_rank_place){.degrees = *degrees};
    tr_degrees_words(degrees, new.words);
    enum tr_status status = tr_run_programs_make(r->model, &step, machine, &programs, &s->why);
    if (status == TR_BAD_INPUT)
        return TR_OK;
    if (status != TR_OK) {
        *err = s->why;
        return status;
    }
    if (r->memory_bytes > 0 && memory_of(&programs) > r->memory_bytes)
        (void)tr_fail(&s->why, TR_BAD_INPUT, "layout %s does not fit into memory", new.words);
    else
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

static enum tr_status try_ranks(struct search *s, int ranks, struct tr_err *err)
{
    enum tr_status status = TR_OK;
    for (int dp = ranks; dp >= 1; dp--)
        for (int tp = 1; tp <= ranks / dp; tp++)
            for (int cp = 1; cp <= ranks / dp / tp && status == TR_OK; cp++)
                if (ranks % (dp * tp * cp) == 0)
                    status = try_kinds(s, tp, cp, dp, ranks / (dp * tp * cp), err);
    return status;
}

static enum tr_status refuse(const struct search *s, int ranks, struct tr_err *err)
{
    const struct tr_layouts_found *out = s->out;
    const char *many = ranks == 1 ? "" : "s";
    if (out->unpriced)
        return tr_fail(err, TR_BAD_INPUT, "no layout of %d rank%s can be priced; %s: %s", ranks, many, tr_choice_words(&out->unpriced_last),
                       out->why_unpriced.text);
    *err = s->why;
    tr_err_prefix(err, "no layout of %d rank%s is possible; the last one that was tried", ranks, many);
    return TR_BAD_INPUT;
}

enum tr_status tr_here_choose(const struct tr_choose_request *request, struct tr_layouts_found *out, struct tr_err *err)
{
    struct search s = {.request = request, .out = out};
    int first = request->ranks > 0 ? request->ranks : 1, last = request->ranks > 0 ? request->ranks : request->cores;
    *out = (struct tr_layouts_found){.count = 0};
    if (request->ranks > TR_CHOOSE_RANKS_MAX)
        return tr_fail(err, TR_BAD_INPUT, "%d ranks were started; a layout is chosen for up to %d", request->ranks, TR_CHOOSE_RANKS_MAX);
    enum tr_status status = TR_OK;
    for (int ranks = first; ranks <= last && ranks <= TR_CHOOSE_RANKS_MAX && status == TR_OK; ranks++)
        status = try_ranks(&s, ranks, err);
    return status == TR_OK && out->count == 0 ? refuse(&s, first, err) : status;
}
