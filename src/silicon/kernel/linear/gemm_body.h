/* The engine of gemm.h, written once for every vector length: included by x_avx2.c, x_avx512.c. */
#ifndef TR_SILICON_KERNEL_LINEAR_GEMM_BODY_H
#define TR_SILICON_KERNEL_LINEAR_GEMM_BODY_H

#include "silicon/kernel/linear/gemm.h"
#include "silicon/kernel/simd.h"

#include "base/num.h"

#include <omp.h>

#include "silicon/kernel/linear/gemm_tile.h"

enum {
    KC = 384,                    /* k of a packed panel; a block of tokens is never cut */
    MC_PANELS = 96 / MR + 1,     /* the block of A that a thread packs, about 100 KiB */
    NC = 1024,                   /* columns of B packed at a time, by all threads together: 2 buffers of 1 MiB */
    FEW_ROWS = 4 * MR,           /* up to here B is used so little that its panel had better stay in the first caches */
    FEW_ROWS_NC = 64,
    PIECES_MAX = 32,             /* runs in one packed panel */
    A_PANEL_FLOATS = KC * MR + 16, /* packing writes whole vectors, a little over the end */
    B_PANEL_FLOATS = KC * NR
};

_Static_assert((int)KC >= (int)TR_TOKEN_BLOCK, "a block of tokens fits in a packed panel");

/* ---- axes of C in panels ---------------------------------------------------------------------------------------- */

/* The panels of one axis. They do not cross segments. Rows are divided evenly, columns leave the rest to the last. */
struct axis {
    int segments;
    int64_t size[TR_OP_SEGMENTS_MAX];
    int64_t first_panel[TR_OP_SEGMENTS_MAX + 1];
    int64_t step;
    bool even;
};

struct panel_at {
    int64_t panel, offset, count; /* offset within the segment */
    int segment;
};

static struct axis make_axis(const int64_t *size, int segments, int64_t step, bool even)
{
    struct axis axis = {.segments = segments, .step = step, .even = even};
    for (int i = 0; i < segments; i++) {
        axis.size[i] = size[i];
        axis.first_panel[i + 1] = axis.first_panel[i] + (size[i] + step - 1) / step;
    }
    return axis;
}

static inline int64_t axis_panels(const struct axis *axis) { return axis->first_panel[axis->segments]; }

static inline struct panel_at axis_panel(const struct axis *axis, int64_t panel)
{
    int s = 0;
    while (panel >= axis->first_panel[s + 1])
        s++;
    int64_t index = panel - axis->first_panel[s];
    int64_t panels = axis->first_panel[s + 1] - axis->first_panel[s];
    int64_t begin = axis->even ? axis->size[s] * index / panels : index * axis->step;
    int64_t end = axis->even ? axis->size[s] * (index + 1) / panels : tr_min_i64(begin + axis->step, axis->size[s]);
    return (struct panel_at){panel, begin, end - begin, s};
}

static struct tr_range share(struct tr_range all, int64_t parts, int64_t index)
{
    int64_t count = all.last - all.first;
    return (struct tr_range){all.first + count * index / parts, all.first + count * (index + 1) / parts};
}

static int64_t range_count(struct tr_range range) { return range.last - range.first; }

/* ---- the k axis in panels --------------------------------------------------------------------------------------- */

/* A stretch of one run. */
struct piece {
    const struct tr_gemm_run *run;
    int64_t k0, k;
};

struct k_panel {
    struct piece piece[PIECES_MAX];
    int pieces;
    int64_t k;
    bool begins, ends; /* TREE: a leaf */
};

/* The next panel begins at k number `offset` of run number `run`. */
struct k_cursor {
    int64_t run, offset;
    int64_t target; /* k of the panels of this leaf */
};

/* Panels of one leaf are about equal. */
static int64_t panel_target(const struct tr_gemm *g, int64_t run)
{
    int64_t k = g->run[run].k;
    while (!g->run[run].last)
        k += g->run[++run].k;
    int64_t panels = (tr_max_i64(k, 1) + KC - 1) / KC;
    return tr_min_i64(KC, (k / panels + 8) / 8 * 8);
}

/* As much of one leaf as fits. */
static void next_chain_panel(const struct tr_gemm *g, struct k_cursor *at, struct k_panel *panel)
{
    panel->begins = g->run[at->run].first && at->offset == 0;
    if (panel->begins)
        at->target = panel_target(g, at->run);
    while (!panel->ends && panel->k < at->target && panel->pieces < PIECES_MAX) {
        const struct tr_gemm_run *run = &g->run[at->run];
        int64_t k = tr_min_i64(run->k - at->offset, at->target - panel->k);
        panel->piece[panel->pieces++] = (struct piece){run, run->k0 + at->offset, k};
        panel->k += k;
        at->offset += k;
        if (at->offset == run->k) {
            panel->ends = run->last;
            at->run++;
            at->offset = 0;
        }
    }
}

/* As many whole blocks of one output as fit. */
static void next_block_panel(const struct tr_gemm *g, struct k_cursor *at, struct k_panel *panel)
{
    const int32_t output = g->run[at->run].output;
    while (at->run < g->run_count && panel->pieces < PIECES_MAX) {
        const struct tr_gemm_run *run = &g->run[at->run];
        if (run->output != output || panel->k + run->k > KC)
            break;
        panel->piece[panel->pieces++] = (struct piece){run, run->k0, run->k};
        panel->k += run->k;
        at->run++;
    }
    TR_ASSERT(panel->pieces > 0);
}

static bool next_panel(const struct tr_gemm *g, struct k_cursor *at, struct k_panel *panel)
{
    if (at->run == g->run_count)
        return false;
    panel->pieces = 0;
    panel->k = 0;
    panel->begins = panel->ends = false;
    if (g->join == TR_GEMM_TREE)
        next_chain_panel(g, at, panel);
    else
        next_block_panel(g, at, panel);
    return true;
}

/* ---- packing ---------------------------------------------------------------------------------------------------- */

static struct tr_gemm_view view_of(const struct tr_gemm *g, const struct tr_gemm_view *views, enum tr_gemm_axis own,
                                   int segment, const struct piece *piece)
{
    if (g->segment_axis == own)
        return views[segment];
    return views[g->segment_axis == TR_GEMM_K ? piece->run->segment : 0];
}

/* dst[k * step + i] = row i, k: 8 rows at a time, the highest first, because whole vectors of 8 are written. Rows that
 * are not there repeat the last one: nobody reads those lanes' results. */
static void pack_rows(float *dst, int64_t step, struct tr_gemm_view view, int64_t row0, int64_t rows, int64_t k0,
                      int64_t k)
{
    const int64_t whole = rows < 3 ? 0 : k / 8 * 8;
    const float *src = view.data + row0 * view.stride + k0;
    for (int64_t i = (rows - 1) / 8 * 8; i >= 0 && whole > 0; i -= 8) {
        const float *row[8];
        for (int64_t r = 0; r < 8; r++)
            row[r] = src + tr_min_i64(i + r, rows - 1) * view.stride;
        for (int64_t j = 0; j < whole; j += 8) {
            v_transpose8_rows(dst + j * step + i, step, row);
            for (int r = 0; r < 8; r++)
                row[r] += 8;
        }
    }
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = whole; j < k; j++)
            dst[j * step + i] = src[i * view.stride + j];
}

static void pack_b_panel(const struct tr_gemm *g, float *dst, struct panel_at columns, const struct k_panel *panel)
{
    for (int i = 0; i < panel->pieces; i++) {
        const struct piece *piece = &panel->piece[i];
        struct tr_gemm_view b = view_of(g, g->b, TR_GEMM_N, columns.segment, piece);
        if (g->b_k_slow) {
            const float *src = b.data + piece->k0 * b.stride + columns.offset;
            if (columns.count == NR) {
                for (int64_t k = 0; k < piece->k; k++)
                    for (int v = 0; v < NV; v++)
                        v_store(dst + k * NR + v * TR_VLEN, v_load(src + k * b.stride + v * TR_VLEN));
            } else {
                int64_t n0 = tr_min_i64(columns.count, TR_VLEN);
                for (int64_t k = 0; k < piece->k; k++) {
                    v_store(dst + k * NR, v_loadn(src + k * b.stride, n0));
                    v_store(dst + k * NR + TR_VLEN, v_loadn(src + k * b.stride + TR_VLEN, columns.count - n0));
                }
            }
        } else {
            pack_rows(dst, NR, b, columns.offset, columns.count, piece->k0, piece->k);
        }
        dst += piece->k * NR;
    }
}

/* One k after the other, so that rows of the source are read through. */
static void pack_a_k_slow(const struct tr_gemm *g, float *dst, const struct axis *m, struct tr_range panels,
                          const struct k_panel *panel)
{
    int64_t k_done = 0;
    for (int i = 0; i < panel->pieces; i++) {
        const struct piece *piece = &panel->piece[i];
        for (int64_t p = panels.first; p < panels.last;) {
            struct panel_at first = axis_panel(m, p);
            int64_t segment_end = tr_min_i64(panels.last, m->first_panel[first.segment + 1]);
            struct tr_gemm_view a = view_of(g, g->a, TR_GEMM_M, first.segment, piece);
            int64_t count[MC_PANELS], offset[MC_PANELS];
            for (int64_t q = p; q < segment_end; q++) {
                struct panel_at rows = axis_panel(m, q);
                offset[q - p] = rows.offset;
                count[q - p] = rows.count;
            }
            for (int64_t k = 0; k < piece->k; k++) {
                const float *src = a.data + (piece->k0 + k) * a.stride;
                float *out = dst + (p - panels.first) * A_PANEL_FLOATS + (k_done + k) * MR;
                for (int64_t q = 0; q < segment_end - p; q++)
                    v_store(out + q * A_PANEL_FLOATS, v_loadn(src + offset[q], count[q]));
            }
            p = segment_end;
        }
        k_done += piece->k;
    }
}

/* Returns how many elements were packed. */
static int64_t pack_a_block(const struct tr_gemm *g, float *dst, const struct axis *m, struct tr_range panels,
                            const struct k_panel *panel)
{
    int64_t rows_packed = 0;
    for (int64_t p = panels.first; p < panels.last; p++) {
        struct panel_at rows = axis_panel(m, p);
        rows_packed += rows.count;
        float *to = dst + (p - panels.first) * A_PANEL_FLOATS;
        for (int i = 0; !g->a_k_slow && i < panel->pieces; i++) {
            const struct piece *piece = &panel->piece[i];
            struct tr_gemm_view a = view_of(g, g->a, TR_GEMM_M, rows.segment, piece);
            pack_rows(to, MR, a, rows.offset, rows.count, piece->k0, piece->k);
            to += piece->k * MR;
        }
    }
    if (g->a_k_slow)
        pack_a_k_slow(g, dst, m, panels, panel);
    return rows_packed * panel->k;
}

/* ---- one thread's work ------------------------------------------------------------------------------------------ */

/* What a thread knows. Threads form a grid: those of one column of the grid share columns of C and the packed B. */
struct worker {
    const struct tr_gemm *g;
    struct axis m, n;
    int64_t grid_m, grid_n, row, column;
    int64_t nc_panels;    /* of n that a column of the grid does at a time */
    bool b_in_place;      /* few rows: B is not packed */
    float *a, *b;         /* packed: this thread's block, and the column's two buffers */
    float *partial;       /* levels - 1 partial sums of a block, of this thread */
    int64_t partial_stride;
    struct tr_range rows, columns; /* panels that are being done: of this thread, of its column of the grid */
    int64_t flop, read_elements, write_elements;
};

static float *c_at(const struct worker *w, const struct tr_gemm_run *run, struct panel_at rows, struct panel_at columns,
                   int64_t *stride)
{
    const struct tr_gemm *g = w->g;
    int s = g->segment_axis == TR_GEMM_M ? rows.segment : g->segment_axis == TR_GEMM_N ? columns.segment : 0;
    *stride = g->c_stride[s];
    int64_t slab = w->m.size[rows.segment] * *stride;
    return g->c[s] + run->output * slab + rows.offset * *stride + columns.offset;
}

/* Where a tile of partial sum number `level` lies. */
static float *sum_at(const struct worker *w, const struct tr_gemm_run *run, int level, struct panel_at rows,
                     struct panel_at columns, int64_t *stride)
{
    if (level == 0)
        return c_at(w, run, rows, columns, stride);
    *stride = w->partial_stride;
    float *partial = w->partial + (level - 1) * MC_PANELS * MR * w->partial_stride;
    return partial + (rows.panel - w->rows.first) * MR * w->partial_stride + (columns.panel - w->columns.first) * NR;
}

static void add_rows(float *to, int64_t to_stride, const float *from, int64_t from_stride, int64_t rows, int64_t n)
{
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < n; j += TR_VLEN) {
            int64_t left = tr_min_i64(n - j, TR_VLEN);
            float *sum = to + i * to_stride + j;
            v_storen(sum, v_add(v_loadn(sum, left), v_loadn(from + i * from_stride + j, left)), left);
        }
    }
}

/* The binary counter: joins the topmost partial sums of this tile. */
static void join_tile(const struct worker *w, const struct tr_gemm_run *run, struct panel_at rows,
                      struct panel_at columns)
{
    for (int joined = 0; joined < run->joins; joined++) {
        int64_t below_stride, top_stride;
        float *top = sum_at(w, run, run->level - joined, rows, columns, &top_stride);
        float *below = sum_at(w, run, run->level - joined - 1, rows, columns, &below_stride);
        add_rows(below, below_stride, top, top_stride, rows.count, columns.count);
    }
}

static void finish_tile(struct worker *w, const struct tr_gemm_run *run, struct panel_at rows, struct panel_at columns)
{
    const struct tr_gemm *g = w->g;
    int64_t stride;
    float *c = c_at(w, run, rows, columns, &stride);
    const float *bias = g->bias[columns.segment];
    if (bias != NULL) {
        add_rows(c, stride, bias + columns.offset, 0, rows.count, columns.count);
        w->read_elements += rows.offset == 0 ? columns.count : 0;
    }
    if (g->residual != NULL) {
        add_rows(c, stride, g->residual + (c - g->c[0]), stride, rows.count, columns.count);
        w->read_elements += rows.count * columns.count;
    }
    w->write_elements += g->count_c ? rows.count * columns.count : 0;
}

/* The chain of one panel into one tile, with B as it lies. */
static void multiply_in_place(const struct worker *w, const struct k_panel *panel, int64_t rows,
                              struct panel_at columns, struct tile *tile)
{
    for (int i = 0; i < panel->pieces; i++) {
        const struct piece *piece = &panel->piece[i];
        struct tr_gemm_view b = view_of(w->g, w->g->b, TR_GEMM_N, columns.segment, piece);
        const float *row[NR];
        for (int64_t j = 0; j < NR; j++)
            row[j] = b.data + (columns.offset + tr_min_i64(j, columns.count - 1)) * b.stride + piece->k0;
        tile->k = piece->k;
        few_rows_run(tile, row, rows);
        tile->a += piece->k * MR;
        tile->end = TILE_CONTINUE;
    }
}

/* The chain of one panel into one tile. */
static void chain_tile(struct worker *w, const struct k_panel *panel, struct panel_at rows, struct panel_at columns,
                       const float *a, const float *b)
{
    const struct tr_gemm_run *run = panel->piece[panel->pieces - 1].run;
    struct tile tile = {.a = a, .b = b, .k = panel->k, .n = columns.count};
    tile.end = panel->begins ? TILE_STORE : TILE_CONTINUE;
    tile.c = sum_at(w, run, run->level, rows, columns, &tile.c_stride);
    if (w->b_in_place)
        multiply_in_place(w, panel, rows.count, columns, &tile);
    else
        tile_run(&tile, rows.count);
    w->flop += 2 * rows.count * columns.count * panel->k;
    if (panel->ends) {
        join_tile(w, run, rows, columns);
        if (run->done)
            finish_tile(w, run, rows, columns);
    }
}

/* The blocks of one panel into one tile, one after the other. */
static void add_block_tile(struct worker *w, const struct k_panel *panel, struct panel_at rows,
                           struct panel_at columns, const float *a, const float *b)
{
    struct tile tile = {.a = a, .b = b, .n = columns.count, .end = TILE_ADD};
    tile.c = c_at(w, panel->piece[0].run, rows, columns, &tile.c_stride);
    for (int i = 0; i < panel->pieces; i++) {
        const struct tr_gemm_run *run = panel->piece[i].run;
        tile.k = panel->piece[i].k;
        tile_run(&tile, rows.count);
        tile.a += tile.k * MR;
        tile.b += tile.k * NR;
        w->read_elements += run->first && w->g->count_c ? rows.count * columns.count : 0;
        w->write_elements += run->last && w->g->count_c ? rows.count * columns.count : 0;
    }
    w->flop += 2 * rows.count * columns.count * panel->k;
}

/* A thread's rows of A times the packed panel of B. */
static void multiply(struct worker *w, const struct k_panel *panel, const float *b, bool count_a)
{
    int64_t blocks = (range_count(w->rows) + MC_PANELS - 1) / MC_PANELS;
    for (int64_t block = 0; block < blocks; block++) {
        struct tr_range rows = share(w->rows, blocks, block);
        int64_t packed = pack_a_block(w->g, w->a, &w->m, rows, panel);
        w->read_elements += count_a ? packed : 0;
        struct panel_at at[MC_PANELS];
        for (int64_t p = rows.first; p < rows.last; p++)
            at[p - rows.first] = axis_panel(&w->m, p);
        for (int64_t q = w->columns.first; q < w->columns.last; q++) {
            const struct panel_at columns = axis_panel(&w->n, q);
            const float *b_panel = b + (q - w->columns.first) * B_PANEL_FLOATS;
            for (int64_t p = 0; p < range_count(rows); p++) {
                if (w->g->join == TR_GEMM_TREE)
                    chain_tile(w, panel, at[p], columns, w->a + p * A_PANEL_FLOATS, b_panel);
                else
                    add_block_tile(w, panel, at[p], columns, w->a + p * A_PANEL_FLOATS, b_panel);
            }
        }
    }
}

/* All of k for one strip of rows and the columns at hand. B lies in two buffers in turn: while one thread still reads
 * one, another may fill the other, so that one barrier a panel is enough. */
static void do_strip(struct worker *w, bool first_strip, bool first_columns, int *turn)
{
    const struct tr_gemm *g = w->g;
    struct k_cursor cursor = {0};
    struct k_panel panel;
    while (next_panel(g, &cursor, &panel)) {
        float *b = w->b + *turn * w->nc_panels * B_PANEL_FLOATS;
        *turn = !*turn;
        struct tr_range mine = share(w->columns, w->grid_m, w->row);
        for (int64_t q = mine.first; q < mine.last; q++) {
            const struct panel_at columns = axis_panel(&w->n, q);
            if (!w->b_in_place)
                pack_b_panel(g, b + (q - w->columns.first) * B_PANEL_FLOATS, columns, &panel);
            w->read_elements += g->count_b && first_strip ? columns.count * panel.k : 0;
        }
        if (w->grid_m > 1) {
#pragma omp barrier
        }
        multiply(w, &panel, b, g->count_a && first_columns);
    }
}

/* The grid of threads: the least tiles for the busiest, within a few percent; then rather rows apart than columns, to
 * share B, unless there are few. */
static void choose_grid(struct worker *w, int threads)
{
    int64_t m = axis_panels(&w->m), n = axis_panels(&w->n), best = INT64_MAX;
    for (int64_t grid_m = m > 4 ? threads : 1; grid_m >= 1; grid_m--) {
        int64_t grid_n = tr_min_i64(threads / grid_m, n);
        int64_t tiles = ((m + grid_m - 1) / grid_m) * ((n + grid_n - 1) / grid_n);
        if (grid_n > 0 && tiles < best - best / 32) {
            best = tiles;
            w->grid_m = grid_m;
            w->grid_n = grid_n;
        }
    }
}

static int64_t total(const int64_t *size, int segments)
{
    int64_t sum = 0;
    for (int i = 0; i < segments; i++)
        sum += size[i];
    return sum;
}

/* Columns of B that one column of the grid may have packed at a time, in panels. */
static int64_t nc_panels(int64_t m, int64_t n_panels, int64_t grid_n)
{
    int64_t limit = m <= FEW_ROWS ? FEW_ROWS_NC / NR : tr_max_i64(1, NC / NR / grid_n);
    return tr_min_i64(limit, (n_panels + grid_n - 1) / grid_n);
}

/* ---- workspace: packed A of each thread, packed B of each column of the grid, partial sums of each thread -------- */

static int64_t a_floats(void) { return MC_PANELS * A_PANEL_FLOATS; }

int64_t TR_SIMD_NAME(tr_gemm_workspace)(int64_t m, int64_t n, int levels, int threads)
{
    int64_t b_panels = 0, columns = 0;
    int64_t n_panels = n / NR + TR_OP_SEGMENTS_MAX;
    for (int64_t grid_n = 1; grid_n <= threads; grid_n++) { /* whatever grid is chosen */
        int64_t panels = tr_max_i64(nc_panels(m, n_panels, grid_n), nc_panels(FEW_ROWS, n_panels, grid_n));
        b_panels = tr_max_i64(b_panels, grid_n * 2 * panels);
        columns = tr_max_i64(columns, panels * NR);
    }
    int64_t partial = (int64_t)(levels - 1) * MC_PANELS * MR * columns;
    int64_t floats = threads * (a_floats() + partial) + b_panels * B_PANEL_FLOATS;
    return tr_gemm_round_bytes(floats * (int64_t)sizeof(float));
}

static void place_buffers(struct worker *w, float *workspace, int threads, int thread)
{
    int64_t partial = (int64_t)(w->g->levels - 1) * MC_PANELS * MR * w->nc_panels * NR;
    w->a = workspace + thread * a_floats();
    w->partial = workspace + threads * a_floats() + thread * partial;
    w->partial_stride = w->nc_panels * NR;
    w->b = workspace + threads * (a_floats() + partial) + w->column * 2 * w->nc_panels * B_PANEL_FLOATS;
}

static void run_worker(struct worker *w)
{
    const bool idle = w->column >= w->grid_n; /* more threads than the grid has: only the barriers are for them */
    const struct tr_range all_rows = {0, idle ? 0 : axis_panels(&w->m)}, all_columns = {0, axis_panels(&w->n)};
    const struct tr_range columns = idle ? (struct tr_range){0, 0} : share(all_columns, w->grid_n, w->column);
    /* Every column of the grid does the same number of steps, because barriers are for all. */
    int64_t widest = (axis_panels(&w->n) + w->grid_n - 1) / w->grid_n;
    int64_t column_steps = (widest + w->nc_panels - 1) / w->nc_panels;
    /* With partial sums a strip is what each thread can keep of them. */
    int64_t strip_panels = MC_PANELS * w->grid_m;
    int64_t strips = w->g->levels == 1 ? 1 : (axis_panels(&w->m) + strip_panels - 1) / strip_panels;
    int turn = 0;
    for (int64_t step = 0; step < column_steps; step++) {
        w->columns = share(columns, column_steps, step);
        for (int64_t strip = 0; strip < strips; strip++) {
            w->rows = share(share(all_rows, strips, strip), w->grid_m, w->row);
            do_strip(w, strip == 0, w->column == 0 && step == 0, &turn);
        }
    }
}

void TR_SIMD_NAME(tr_gemm)(const struct tr_gemm *g, void *workspace, struct tr_count *count, int threads)
{
    const int m_segments = g->segment_axis == TR_GEMM_M ? g->segments : 1;
    const int n_segments = g->segment_axis == TR_GEMM_N ? g->segments : 1;
#pragma omp parallel num_threads(threads)
    {
        struct worker w = {.g = g};
        w.m = make_axis(g->m, m_segments, MR, true);
        w.n = make_axis(g->n, n_segments, NR, false);
        int team = omp_get_num_threads(), thread = omp_get_thread_num();
        choose_grid(&w, team);
        w.row = thread % w.grid_m;
        w.column = thread / w.grid_m;
        w.nc_panels = nc_panels(total(g->m, m_segments), axis_panels(&w.n), w.grid_n);
        w.b_in_place = g->join == TR_GEMM_TREE && !g->b_k_slow && g->m[0] <= FEW_MR; /* one panel of rows */
        place_buffers(&w, workspace, team, thread);
        run_worker(&w);
        tr_count_add(count, w.flop, w.read_elements * (int64_t)sizeof(float),
                     w.write_elements * (int64_t)sizeof(float));
    }
}

#endif
