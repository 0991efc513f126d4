/* Matrix products: tiles in waves.
 *
 * The output is cut into tiles of a x b, the sum into s splits of k; each of the chip's cores takes ceil(tiles s / cores)
 * of them, one after the other. A tile costs a fixed time (fill, epilogue), its main loop and the store of its result;
 * the main loop runs at the pace of the slowest of matrix units, operands from the shared cache, and the latency of a
 * step. Meanwhile the chip as a whole reads and writes memory. The library takes the fastest of its tiles and splits, so
 * the price is the least over a list of both; but it guesses which that is: of the unused part of a last wave it does not see
 * a share, `blind`, and so prefers tiles that are too large, and what it takes is a mean of those that are then within `guess`
 * of the fastest, the faster the more. What overlaps is not hidden entirely: of two parts that run side
 * by side the longer counts, and a share of the shorter: `exposed` for operands beside products, `epilogue` for the store
 * of a tile beside the main loop of the next, `exposed_memory` for memory beside all that. One row of x is no product of
 * tiles but of a vector: a kernel that reads w once, without joining parts, behind the latency of a row.
 *
 * Sources of the form: tile and wave quantisation as in NVIDIA's "Matrix Multiplication Background User's Guide"; split-K
 * as in CUTLASS; the numbers are fitted (rates.h). */
#include "silicon/cost/inside.h"

/* Tiles that the libraries have, rows of x by columns of y, as far as a core holds the sums of one. Which of them a chip
 * prefers follows from its rates. Sides of 192 came with matrix instructions of many widths, as fp8 did. */
static const struct {
    int16_t a, b;
} tiles[] = {
    {16, 64},  {16, 128}, {32, 64},   {64, 32},  {32, 128}, {128, 32},  {64, 64},   {64, 128},  {128, 64},
    {64, 192}, {192, 64}, {128, 128}, {64, 256}, {256, 64}, {128, 192}, {192, 128}, {128, 256}, {256, 128},
};
static const int16_t splits[] = {1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32};

enum {
    TILES = sizeof tiles / sizeof *tiles,
    SPLITS = sizeof splits / sizeof *splits,
    CHOICES_MAX = TILES * SPLITS + 1
};

/* One product on the way to its price: what does not depend on the tile. */
struct gemm {
    const struct tr_rates *rates;
    const struct tr_gemm_rates *fit;
    const struct tr_format_info *format;
    double m, n, k, batch;
    double core_flop_s; /* of one core, sustained */
    double bytes;       /* of memory, read and written */
};

struct choice {
    double seen_s; /* by the library, when it chooses */
    double time_s, arithmetic_s, memory_s;
};

struct choices {
    struct choice best;
    double seen_s[CHOICES_MAX], time_s[CHOICES_MAX]; /* of all that were the best or nearly so when they were tried */
    int count;
};

static void note_choice(const struct gemm *g, struct choices *of, struct choice choice)
{
    if (choice.seen_s > of->best.seen_s * (1 + g->fit->guess))
        return;
    of->seen_s[of->count] = choice.seen_s;
    of->time_s[of->count++] = choice.time_s;
    if (choice.seen_s < of->best.seen_s)
        of->best = choice;
}

/* A systolic array holds a block of one factor, the sum's side of it always, while the rows of the other stream past. */
static double array_share(const struct gemm *g)
{
    return tr_filled(g->rates, g->k) * fmax(tr_filled(g->rates, g->m), tr_filled(g->rates, g->n));
}

/* Weights and results come from memory and go there. Activations were written a moment ago: they are warm in the shared cache
 * as far as what passed through it since did not push them out. */
static double gemm_bytes(const struct gemm *g)
{
    double x = g->m * g->k * g->format->x_bytes * g->batch, y = g->m * g->n * g->format->y_bytes * g->batch;
    double w = g->n * g->k * g->format->w_bytes * g->batch, pushed = (x + w + y) / (g->fit->warm_share * g->rates->l2_bytes);
    return w + y + x * pushed * pushed / (1 + pushed * pushed);
}

/* Time of one core for one tile and one element of k. */
static double gemm_pace(const struct gemm *g, double a, double b)
{
    const struct tr_gemm_rates *fit = g->fit;
    double multiply = 2 * a * b * (1 + fit->side / a + fit->side / b) / g->core_flop_s;
    double feed = (a * g->format->x_bytes + b * g->format->w_bytes) / (fit->feed_b_clk * g->rates->clock_hz);
    return fmax(tr_beside(multiply, feed, fit->exposed), fit->step_s / 64);
}

static void try_splits(const struct gemm *g, int tile, struct choices *to)
{
    const struct tr_gemm_rates *fit = g->fit;
    double a = tiles[tile].a, b = tiles[tile].b, cores = g->rates->cores, clock = g->rates->clock_hz;
    double count = ceil(g->m / a) * ceil(g->n / b) * g->batch;
    double each = gemm_pace(g, a, b), store = a * b * g->format->y_bytes / (fit->store_b_clk * clock);
    for (int i = 0; i < SPLITS; i++) {
        double s = splits[i], parts = count * s;
        if (i > 0 && (g->k < 64 * s || parts > 4 * cores))
            break;
        double wave = parts / cores, waves = ceil(wave);
        if (wave > 1)
            waves -= fit->tail * (waves - wave);
        double loop = ceil(g->k / (32 * s)) * 32 * each, part = fit->tile_s + tr_beside(loop, store, fit->epilogue);
        double arithmetic = waves * part, seen = (waves - fit->blind * (waves - wave)) * part;
        double join = i == 0 ? 0 : fit->split_s + g->m * g->n * g->batch * 4 * s / (fit->split_b_clk * clock * cores);
        double reach =
            fmin(fit->memory_share * g->rates->memory_bytes_s, fmin(parts, 2 * cores) * fit->core_b_clk * clock);
        double memory = g->bytes / reach, time = tr_beside(arithmetic, memory, fit->exposed_memory) + join;
        note_choice(g, to, (struct choice){tr_beside(seen, memory, fit->exposed_memory) + join, time, arithmetic, memory});
    }
}

/* One row: w from memory, and the latency of a row of it, short where few reads of each thread cover it: 256 threads read 2048
 * numbers of two bytes at a time. Latency is not hidden: all rows are begun at once, and end together. */
static void try_vector(const struct gemm *g, struct choices *to)
{
    const double covered = 2048;
    double latency = g->fit->vector_s * g->k / (g->k + covered);
    double memory = g->bytes / (g->fit->memory_share * g->rates->memory_bytes_s);
    double time = latency + memory;
    note_choice(g, to, (struct choice){time, time, latency, memory});
}

static struct choice taken(const struct gemm *g)
{
    struct choices all = {.best.seen_s = INFINITY};
    bool wide = g->rates->flop_s[TR_RATE_FP8] > 0;
    if (g->m == 1 && g->batch == 1)
        try_vector(g, &all);
    for (int i = 0; i < TILES; i++) {
        /* A tile of more than twice the extent only multiplies padding; the smallest are always there. */
        if ((tiles[i].a >= 2 * g->m && tiles[i].a > 16) || (tiles[i].b >= 2 * g->n && tiles[i].b > 64))
            continue;
        if (wide || (tiles[i].a != 192 && tiles[i].b != 192))
            try_splits(g, i, &all);
    }
    double sum = 0, weights = 0;
    for (int i = 0; i < all.count; i++) {
        double near = 1 - (all.seen_s[i] / all.best.seen_s - 1) / g->fit->guess, weight = fmax(0, near) * near;
        weights += weight;
        sum += weight * all.time_s[i];
    }
    all.best.time_s = sum / weights;
    return all.best;
}

struct tr_cost tr_cost_gemm_only(const struct tr_rates *rates, enum tr_format format, int64_t m, int64_t n, int64_t k,
                                 int64_t batch)
{
    TR_ASSERT(m >= 1 && n >= 1 && k >= 1 && batch >= 1);
    TR_ASSERT(m <= TR_COST_MAX_EXTENT && n <= TR_COST_MAX_EXTENT && k <= TR_COST_MAX_EXTENT &&
              batch <= TR_COST_MAX_EXTENT);
    const struct tr_format_info *info = tr_format_info(format);
    const struct tr_gemm_rates *fit = &rates->gemm[info->fit];
    struct gemm g = {rates, fit, info, (double)m, (double)n, (double)k, (double)batch, 0, 0};
    struct tr_cost cost = {
        .time_s = INFINITY, .error = fit->error, .grade = tr_grade_worse(fit->grade, rates->flop_grade[info->rate]),
        .flop = 2 * g.m * g.n * g.k * g.batch};
    cost.bytes = (g.n * g.k * info->w_bytes + g.m * g.k * info->x_bytes + g.m * g.n * info->y_bytes) * g.batch;
    if (!tr_cost_can(rates, format))
        return cost;
    g.core_flop_s = rates->flop_s[info->rate] * fit->sustained * array_share(&g) / rates->cores;
    g.bytes = gemm_bytes(&g);
    struct choice best = taken(&g);
    /* A power limit slows down what keeps the matrix units at work. */
    double busy = cost.flop / (g.core_flop_s * rates->cores) / best.time_s;
    cost.time_s = fit->launch_s + tr_throttled(best.time_s, fit->power * busy);
    cost.bound = best.memory_s > best.arithmetic_s ? TR_BOUND_MEMORY : TR_BOUND_ARITHMETIC;
    if (fit->launch_s > best.time_s)
        cost.bound = TR_BOUND_LAUNCH;
    /* No format of this kind was measured: bf16's shares on other units. */
    if (format == TR_FORMAT_FP32 || format == TR_FORMAT_TF32)
        cost.grade = tr_grade_worse(cost.grade, TR_GRADE_TRANSFERRED);
    return cost;
}

struct tr_cost tr_cost_gemm(const struct tr_rates *rates, enum tr_format format, int64_t m, int64_t n, int64_t k,
                            int64_t batch)
{
    struct tr_cost cost = tr_cost_gemm_only(rates, format, m, n, k, batch);
    const struct tr_format_info *info = tr_format_info(format);
    const struct tr_gemm_rates *fit = &rates->gemm[info->fit];
    if (!info->quantises)
        return cost;
    double bytes = (double)m * (double)k * (double)batch * (2 + info->x_bytes);
    double time_s = fit->quantise_s + bytes / (fit->quantise_share * rates->memory_bytes_s);
    if (time_s > cost.time_s)
        cost.bound = fit->quantise_s > time_s / 2 ? TR_BOUND_LAUNCH : TR_BOUND_MEMORY;
    cost.time_s += time_s;
    cost.bytes += bytes;
    return cost;
}
