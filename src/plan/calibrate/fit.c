/* Rates from samples: sums of amounts at rates that are not negative, by least squares of relative errors. */
#include "plan/calibrate/inside.h"

#include "base/num.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SWEEPS = 4000 };
#define SEEN 1e-6 /* of the time of a typical sample: what takes less is a rounding error, and a rate of 1e31 would be none */

/* The normal equations of one kind and type: unknowns are seconds of one unit, scaled by what a typical sample has of them. */
struct equations {
    double a[TR_KERNEL_TERMS_MAX][TR_KERNEL_TERMS_MAX], b[TR_KERNEL_TERMS_MAX];
    int64_t samples;
};

/* Each sample weighs the same, however long it took: its row is divided by its time. */
static void add_sample(struct equations *e, const struct tr_kernel_sample *sample, int threads)
{
    double amount[TR_KERNEL_TERMS_MAX];
    tr_kernel_amounts(&sample->op, sample->present,
                      &(struct tr_kernel_site){.threads = threads, .state_bytes = sample->state_bytes}, amount);
    for (int i = 0; i < TR_KERNEL_TERMS_MAX; i++) {
        for (int j = 0; j < TR_KERNEL_TERMS_MAX; j++)
            e->a[i][j] += amount[i] * amount[j] / (sample->time_s * sample->time_s);
        e->b[i] += amount[i] / sample->time_s;
    }
    e->samples++;
}

/* What the seconds of a term may be. */
struct bounds {
    double least[TR_KERNEL_TERMS_MAX], most[TR_KERNEL_TERMS_MAX];
};

/* Coordinate descent: each unknown in turn takes the best value that it may have; 0 where no sample has any of it. Few unknowns of
 * one scale are solved to the last figures in less sweeps than are made. */
static void solve(const struct equations *e, const struct bounds *may, double *x)
{
    double scale[TR_KERNEL_TERMS_MAX], y[TR_KERNEL_TERMS_MAX] = {0};
    for (int i = 0; i < TR_KERNEL_TERMS_MAX; i++)
        scale[i] = e->a[i][i] > 0 ? 1 / sqrt(e->a[i][i]) : 0;
    for (int sweep = 0; sweep < SWEEPS; sweep++)
        for (int i = 0; i < TR_KERNEL_TERMS_MAX; i++) {
            double rest = e->b[i] * scale[i];
            for (int j = 0; j < TR_KERNEL_TERMS_MAX; j++)
                if (j != i)
                    rest -= e->a[i][j] * scale[i] * scale[j] * y[j];
            y[i] = scale[i] > 0 ? fmin(fmax(rest, may->least[i] / scale[i]), may->most[i] / scale[i]) : 0;
        }
    for (int i = 0; i < TR_KERNEL_TERMS_MAX; i++)
        x[i] = y[i] > SEEN || may->least[i] > 0 ? y[i] * scale[i] : 0; /* nothing was seen: scale is 0 */
}

/* What lies in no cache comes at the rate that memory was read with, or faster where it is asked for ahead; a store reads,
 * too, what it then writes over. So few samples that go to memory cannot say nonsense. Nor do a few that are short say that
 * weights of few rows are read in no time: it is no faster than the nearest cache. */
static struct bounds limit(enum tr_op_kind kind, const struct tr_kernel_machine *machine)
{
    const struct tr_kernel_term *terms;
    const double memory = machine->read_byte_s[TR_READ_MEMORY], near = machine->read_byte_s[TR_READ_NEAR];
    int count = tr_kernel_terms(kind, &terms);
    struct bounds may;
    for (int i = 0; i < TR_KERNEL_TERMS_MAX; i++) {
        bool far = i < count && strcmp(terms[i].name, "far") == 0 && memory > 0;
        bool few = i < count && strcmp(terms[i].name, "few") == 0 && near > 0;
        may.most[i] = far ? 1.5 / memory : INFINITY;
        may.least[i] = few ? 1 / near : 0;
    }
    return may;
}

static int type_of(const struct tr_op *op) { return op->act == TR_BF16; }

/* Prices from all samples but those of program `left_out` (-1: all). */
static void fit_prices(const struct tr_kernel_sample *sample, int64_t count, int left_out, struct tr_kernel_rates *rates)
{
    struct equations e[TR_OP_KIND_COUNT][TR_KERNEL_TYPES];
    const struct tr_kernel_term *terms;
    memset(e, 0, sizeof e);
    for (int64_t i = 0; i < count; i++)
        if (sample[i].program != left_out && tr_kernel_terms(sample[i].op.kind, &terms) > 0)
            add_sample(&e[sample[i].op.kind][type_of(&sample[i].op)], &sample[i], rates->threads);
    for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++)
        for (int type = 0; type < TR_KERNEL_TYPES; type++) {
            struct tr_kernel_price *price = &rates->price[kind][type];
            const struct bounds may = limit((enum tr_op_kind)kind, &rates->machine);
            price->known = e[kind][type].samples > 0;
            solve(&e[kind][type], &may, price->unit_s);
        }
}

/* The error that four of five do not exceed, of what a profile may have; sorts them. */
static double quantile_80(double *value, int64_t count)
{
    if (count == 0)
        return 0;
    qsort(value, (size_t)count, sizeof *value, tr_ascending);
    int64_t at = (int64_t)ceil(.8 * (double)count) - 1;
    return fmin(value[at < 0 ? 0 : at], TR_KERNEL_ERROR_MAX);
}

/* What each program's samples would have been predicted to take by the others. */
static void predict_left_out(const struct tr_kernel_sample *sample, int64_t count, const struct tr_kernel_rates *rates,
                             double *predicted_s)
{
    struct tr_kernel_rates without = *rates;
    int current = -1;
    for (int64_t i = 0; i < count; i++) { /* samples of a program stand together */
        if (sample[i].program != current) {
            current = sample[i].program;
            fit_prices(sample, count, current, &without);
        }
        predicted_s[i] = tr_kernel_time(&without, &sample[i].op, sample[i].present, sample[i].state_bytes);
    }
}

/* What a call took in a round, in the order in which they were measured. */
static double took_s(const struct tr_kernel_sample *sample, int round) { return sample->rounds ? sample->round_s[round] : sample->time_s; }

/* Of each kind's operations, and of whole steps: of each round of each program, so that how the machine differs from one time to
 * another counts as much as what the fit does not know. `error` has room for all. */
static void note_errors(const struct tr_kernel_sample *sample, int64_t count, const double *predicted_s, double *error,
                        struct tr_kernel_rates *rates)
{
    for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++)
        for (int type = 0; type < TR_KERNEL_TYPES; type++) {
            int64_t n = 0;
            for (int64_t i = 0; i < count; i++)
                if (sample[i].op.kind == (enum tr_op_kind)kind && type_of(&sample[i].op) == type && !tr_kernel_is_of_few_rows(&sample[i].op))
                    error[n++] = fabs(predicted_s[i] / sample[i].time_s - 1);
            rates->price[kind][type].error = quantile_80(error, n);
        }
    int64_t steps = 0;
    for (int64_t first = 0, last; first < count; first = last) {
        for (last = first; last < count && sample[last].program == sample[first].program;)
            last++;
        if (tr_kernel_is_of_few_rows(&sample[first].op)) /* no step of training */
            continue;
        for (int round = 0; round < tr_max_i64(1, sample[first].rounds); round++) {
            double is_s = 0, said_s = 0;
            for (int64_t i = first; i < last; i++) {
                is_s += (double)sample[i].calls * took_s(&sample[i], round);
                said_s += (double)sample[i].calls * predicted_s[i];
            }
            error[steps++] = fabs(said_s / is_s - 1);
        }
    }
    rates->step_error = quantile_80(error, steps);
}

/* ---- near and apart ---------------------------------------------------------------------------------------------- */

/* A line takes several times as long between cores without a common cache; fewer programs than these say nothing. */
enum { APART_PROGRAMS = 3 };
#define APART_TIMES 2

/* The least, 0: not measured. */
static double least_hand_s(const struct tr_samples *samples)
{
    double least_s = 0;
    for (int64_t i = 0; i < samples->count; i++)
        for (int round = 0; round < samples->at[i].rounds; round++) {
            double hand_s = samples->at[i].hand_s[round];
            least_s = hand_s > 0 && (least_s == 0 || hand_s < least_s) ? hand_s : least_s;
        }
    return least_s;
}

double tr_median(double *value, int64_t count)
{
    qsort(value, (size_t)count, sizeof *value, tr_ascending);
    return (value[(count - 1) / 2] + value[count / 2]) / 2;
}

/* Of a sample those rounds in which a line took from least_s to most_s. */
static void take_rounds(const struct tr_kernel_sample *from, double least_s, double most_s, struct tr_kernel_sample *to)
{
    *to = *from;
    to->rounds = 0;
    for (int round = 0; round < from->rounds; round++)
        if (from->hand_s[round] >= least_s && from->hand_s[round] < most_s) {
            to->hand_s[to->rounds] = from->hand_s[round];
            to->round_s[to->rounds++] = from->round_s[round];
        }
}

/* What all of them took in a round. */
static double round_s_of(const struct tr_kernel_sample *sample, int64_t count, int round)
{
    double sum_s = 0;
    for (int64_t i = 0; i < count; i++)
        sum_s += (double)sample[i].calls * sample[i].round_s[round];
    return sum_s;
}

/* The samples of one program take what they took in its middle round, or in the two. */
static void take_middle(struct tr_kernel_sample *sample, int64_t count)
{
    int order[TR_CALIBRATE_ROUNDS_MAX], rounds = sample->rounds;
    for (int round = 0; round < rounds; round++) {
        int at = round;
        for (; at > 0 && round_s_of(sample, count, order[at - 1]) > round_s_of(sample, count, round); at--)
            order[at] = order[at - 1];
        order[at] = round;
    }
    for (int64_t i = 0; i < count; i++)
        sample[i].time_s = (sample[i].round_s[order[(rounds - 1) / 2]] + sample[i].round_s[order[rounds / 2]]) / 2;
}

/* The same samples by those rounds alone in which a line took from least_s to most_s; returns how many there are, *programs of how many programs. */
static int64_t keep_rounds(const struct tr_samples *samples, double least_s, double most_s, struct tr_kernel_sample *out, int *programs)
{
    int64_t count = 0, first = 0;
    *programs = 0;
    for (int64_t i = 0; i < samples->count; i++) { /* samples of a program stand together */
        take_rounds(&samples->at[i], least_s, most_s, &out[count]);
        out[count].place = i;
        count += out[count].rounds > 0;
        bool ends = i + 1 == samples->count || samples->at[i + 1].program != samples->at[i].program;
        if (!ends || count == first)
            continue;
        take_middle(&out[first], count - first);
        first = count;
        ++*programs;
    }
    return count;
}

/* What a line took in the middle of these. */
static double middle_hand_s(const struct tr_kernel_sample *sample, int64_t count, double *room)
{
    for (int64_t i = 0; i < count; i++)
        room[i] = sample[i].hand_s[0];
    return tr_median(room, count);
}

/* Samples apart, and of programs that were not seen so those near; all stand in the order of measuring. */
static int64_t fill_up(const struct tr_kernel_sample *apart, int64_t apart_count, const struct tr_kernel_sample *near, int64_t near_count,
                       struct tr_kernel_sample *out)
{
    int64_t count = 0;
    for (int64_t i = 0, j = 0; i < apart_count || j < near_count;) {
        bool is_apart = j == near_count || (i < apart_count && apart[i].place <= near[j].place);
        if (is_apart && j < near_count && apart[i].place == near[j].place)
            j++;
        out[count++] = is_apart ? apart[i++] : near[j++];
    }
    return count;
}

/* The same rates from rounds apart; where few programs were seen so, the others stand for themselves, so that what a few small ones took says
 * little of large ones. */
static enum tr_status fit_apart(const struct tr_kernel_sample *sample, int64_t count, struct tr_kernel_rates *rates, struct tr_err *err)
{
    struct tr_kernel_rates apart = *rates;
    enum tr_status status = tr_kernel_fit(sample, count, &apart, err);
    memcpy(rates->apart, apart.price, sizeof rates->apart);
    rates->step_error = fmax(rates->step_error, apart.step_error);
    return status;
}

/* `kept`, `others`, `both` and `room` are large enough for all samples. */
static enum tr_status fit_both(const struct tr_samples *samples, struct tr_kernel_sample *kept, struct tr_kernel_sample *others,
                               struct tr_kernel_sample *both, double *room, struct tr_kernel_rates *rates, struct tr_err *err)
{
    double limit_s = APART_TIMES * least_hand_s(samples);
    int all, near_programs, programs = 0;
    keep_rounds(samples, -INFINITY, INFINITY, kept, &all);
    int64_t near_count = keep_rounds(samples, 0, limit_s > 0 ? limit_s : INFINITY, kept, &near_programs), count = 0;
    if (2 * near_programs < all) /* mostly apart, or changing: prices of all that was seen */
        near_count = keep_rounds(samples, -INFINITY, INFINITY, kept, &all);
    else if (limit_s > 0)
        count = keep_rounds(samples, limit_s, INFINITY, others, &programs);
    enum tr_status status = tr_kernel_fit(kept, near_count, rates, err);
    rates->machine.hand_s = fmax(0, middle_hand_s(kept, near_count, room));
    if (status != TR_OK || programs < APART_PROGRAMS)
        return status;
    rates->machine.hand_apart_s = middle_hand_s(others, count, room);
    if (2 * programs < all)
        count = fill_up(others, count, kept, near_count, both);
    return fit_apart(2 * programs < all ? both : others, count, rates, err);
}

enum tr_status tr_calibrate_fit(const struct tr_samples *samples, struct tr_kernel_rates *rates, struct tr_err *err)
{
    size_t most = (size_t)samples->count + 1;
    struct tr_kernel_sample *kept = calloc(3 * most, sizeof *kept);
    double *room = calloc(most, sizeof *room);
    enum tr_status status = kept && room ? fit_both(samples, kept, kept + most, kept + 2 * most, room, rates, err)
                                         : tr_fail(err, TR_FAILED, "out of memory for %lld samples", (long long)samples->count);
    rates->machine.waiting = samples->waiting;
    rates->step_error = fmax(rates->step_error, samples->waiting); /* all rounds may have been slowed down alike */
    free(kept);
    free(room);
    return status;
}

enum tr_status tr_kernel_fit(const struct tr_kernel_sample *sample, int64_t count, struct tr_kernel_rates *rates,
                             struct tr_err *err)
{
    double *predicted_s = calloc((size_t)count + 1, sizeof *predicted_s), *error = calloc(TR_CALIBRATE_ROUNDS_MAX * (size_t)count + 1, sizeof *error);
    enum tr_status status = TR_OK;
    if (!predicted_s || !error) {
        status = tr_fail(err, TR_FAILED, "out of memory for %lld samples", (long long)count);
        goto free_both;
    }
    fit_prices(sample, count, -1, rates);
    predict_left_out(sample, count, rates, predicted_s);
    note_errors(sample, count, predicted_s, error, rates);
free_both:
    free(predicted_s);
    free(error);
    return status;
}
