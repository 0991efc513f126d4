/* Rates from samples: sums of amounts at rates that are not negative, by least squares of relative errors. */
#include "plan/calibrate/inside.h"

#include "base/num.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SWEEPS = 4000 };

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

/* Coordinate descent: each unknown in turn takes its best value, or 0. Six unknowns of one scale are solved to the last
 * figures in less sweeps than are made. */
static void solve(const struct equations *e, const double *most, double *x)
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
            y[i] = rest > 0 && scale[i] > 0 ? fmin(rest, most[i] / scale[i]) : 0;
        }
    for (int i = 0; i < TR_KERNEL_TERMS_MAX; i++)
        x[i] = y[i] * scale[i];
}

/* What lies in no cache comes at the rate that memory was read with, or faster where it is asked for ahead; a store reads,
 * too, what it then writes over. So few samples that go to memory cannot say nonsense. */
static void limit(enum tr_op_kind kind, const struct tr_kernel_machine *machine, double most[TR_KERNEL_TERMS_MAX])
{
    const struct tr_kernel_term *terms;
    int count = tr_kernel_terms(kind, &terms);
    for (int i = 0; i < TR_KERNEL_TERMS_MAX; i++) {
        bool far = i < count && strcmp(terms[i].name, "far") == 0 && machine->read_byte_s[TR_READ_MEMORY] > 0;
        most[i] = far ? 1.5 / machine->read_byte_s[TR_READ_MEMORY] : INFINITY;
    }
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
            double most[TR_KERNEL_TERMS_MAX];
            price->known = e[kind][type].samples > 0;
            limit((enum tr_op_kind)kind, &rates->machine, most);
            solve(&e[kind][type], most, price->unit_s);
        }
}

/* The value that four of five do not exceed; sorts them. */
static double quantile_80(double *value, int64_t count)
{
    if (count == 0)
        return 0;
    qsort(value, (size_t)count, sizeof *value, tr_ascending);
    int64_t at = (int64_t)ceil(.8 * (double)count) - 1;
    return value[at < 0 ? 0 : at];
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

/* Of each kind's operations, and of whole steps. `error` has room for all. */
static void note_errors(const struct tr_kernel_sample *sample, int64_t count, const double *predicted_s, double *error,
                        struct tr_kernel_rates *rates)
{
    for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++)
        for (int type = 0; type < TR_KERNEL_TYPES; type++) {
            int64_t n = 0;
            for (int64_t i = 0; i < count; i++)
                if (sample[i].op.kind == (enum tr_op_kind)kind && type_of(&sample[i].op) == type)
                    error[n++] = fabs(predicted_s[i] / sample[i].time_s - 1);
            rates->price[kind][type].error = quantile_80(error, n);
        }
    int64_t steps = 0;
    for (int64_t i = 0; i < count;) {
        double is_s = 0, said_s = 0;
        int program = sample[i].program;
        for (; i < count && sample[i].program == program; i++) {
            is_s += (double)sample[i].calls * sample[i].time_s;
            said_s += (double)sample[i].calls * predicted_s[i];
        }
        error[steps++] = fabs(said_s / is_s - 1);
    }
    rates->step_error = quantile_80(error, steps);
}

enum tr_status tr_kernel_fit(const struct tr_kernel_sample *sample, int64_t count, struct tr_kernel_rates *rates,
                             struct tr_err *err)
{
    double *predicted_s = calloc((size_t)count + 1, sizeof *predicted_s), *error = calloc((size_t)count + 1, sizeof *error);
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
