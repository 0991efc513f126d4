/* The engine of gemm.h, written once for every vector length: included by x_avx2.c, x_avx512.c. */
#ifndef TR_SILICON_KERNEL_LINEAR_GEMM_BODY_H
#define TR_SILICON_KERNEL_LINEAR_GEMM_BODY_H

#include "base/num.h"
#include "silicon/kernel/linear/finish.h"
#include "silicon/kernel/linear/gemm.h"
#include "silicon/kernel/simd.h"
#include "silicon/kernel/simd_bf16x8.h"

#include <omp.h>

#include "silicon/kernel/linear/gemm_tile.h"

#include "silicon/kernel/linear/gemm_panel.h"

enum {
    MC_PANELS = 96 / MR + 1, /* the block of A that a thread packs, 300 to 400 KiB */
    NC = 1024,               /* columns of B packed at a time, by all threads together: 2 buffers of up to 4 MiB */
    FEW_ROWS = 4 * MR,       /* up to here B is used so little that its panel had better stay in the first caches */
    FEW_ROWS_NC = 64,
    ROWS_TOGETHER = 1100 /* up to here every thread has its own columns, and packs all of A */
};

/* ---- one thread's work ------------------------------------------------------------------------------------------ */

static struct tr_range share(struct tr_range all, int64_t parts, int64_t index)
{
    int64_t count = all.last - all.first;
    return (struct tr_range){all.first + count * index / parts, all.first + count * (index + 1) / parts};
}

static int64_t range_count(struct tr_range range) { return range.last - range.first; }

/* What a thread knows. Threads form a grid: those of one column of the grid share columns of C and the packed B. */
struct worker {
    const struct tr_gemm *g;
    struct axis m, n;
    int64_t grid_m, grid_n, row, column;
    int64_t nc_panels; /* of n that a column of the grid does at a time */
    bool b_in_place;   /* few rows: B is not packed */
    float *a, *b;      /* packed: this thread's blocks, the column's panels, two buffers of each in turn */
    int a_turn;
    float *partial; /* sums of this thread's strip that do not lie in C: `partials` of them, rows of `partial_stride` */
    int64_t partial_rows, partial_stride;
    struct tr_range rows, columns; /* panels that are being done: of this thread, of its column of the grid */
    struct packing next_a, next_b; /* what is packed while tiles are multiplied */
    struct job no_job;
    int64_t flop, read_bytes, write_bytes;
};

/* C is rounded at the end only, so all sums lie in the workspace until then. */
static bool is_rounded(enum tr_dtype c_type) { return c_type == TR_BF16; }

/* The first element of a tile of C, counted from g->c[segment]. */
static int64_t c_index(const struct worker *w, const struct tr_gemm_run *run, struct panel_at rows,
                       struct panel_at columns, int *segment)
{
    const struct tr_gemm *g = w->g;
    int s = g->segment_axis == TR_GEMM_M ? rows.segment : g->segment_axis == TR_GEMM_N ? columns.segment : 0;
    *segment = s;
    return (run->output * w->m.size[rows.segment] + rows.offset) * g->c_stride[s] + columns.offset;
}

/* A tile of fp32 sums. */
struct sum {
    float *at;
    int64_t stride;
};

/* Where a tile of partial sum number `level` lies. */
static struct sum sum_at(const struct worker *w, const struct tr_gemm_run *run, int level, struct panel_at rows,
                         struct panel_at columns)
{
    const struct tr_gemm *g = w->g;
    if (level == 0 && !is_rounded(g->c_type)) {
        int segment;
        int64_t index = c_index(w, run, rows, columns, &segment);
        return (struct sum){(float *)g->c[segment] + index, g->c_stride[segment]};
    }
    int64_t slot = level - (is_rounded(g->c_type) ? 0 : 1);
    int64_t row = slot * w->partial_rows + (rows.panel - w->rows.first) * MR;
    return (struct sum){w->partial + row * w->partial_stride + (columns.panel - w->columns.first) * NR,
                        w->partial_stride};
}

static void add_rows(struct sum to, struct sum from, int64_t rows, int64_t n)
{
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < n; j += TR_VLEN) {
            int64_t left = n - j;
            float *sum = to.at + i * to.stride + j;
            tr_v term = v_loadn_at(from.at + i * from.stride + j, TR_F32, 0, left);
            v_storen_at(sum, TR_F32, 0, v_add(v_loadn_at(sum, TR_F32, 0, left), term), left);
        }
    }
}

/* The binary counter: joins the topmost partial sums of this tile. */
static void join_tile(const struct worker *w, const struct tr_gemm_run *run, struct panel_at rows,
                      struct panel_at columns)
{
    for (int joined = 0; joined < run->joins; joined++) {
        struct sum top = sum_at(w, run, run->level - joined, rows, columns);
        struct sum below = sum_at(w, run, run->level - joined - 1, rows, columns);
        add_rows(below, top, rows.count, columns.count);
    }
}

/* What is to be done with the sums of an output's tile before they are C; counts it. False: they are C as they are. */
static bool finish_of(struct worker *w, const struct tr_gemm_run *run, struct panel_at rows, struct panel_at columns,
                      struct finish *finish)
{
    const struct tr_gemm *g = w->g;
    int segment;
    const int64_t index = c_index(w, run, rows, columns, &segment), elements = rows.count * columns.count;
    const int64_t c_bytes = tr_dtype_bytes(g->c_type), type_bytes = tr_dtype_bytes(g->type);
    *finish = (struct finish){.c = (char *)g->c[segment] + index * c_bytes,
                                   .stride = g->c_stride[segment],
                                   .type = g->type,
                                   .c_type = g->c_type};
    if (g->bias[columns.segment] != NULL) {
        finish->bias = (const char *)g->bias[columns.segment] + columns.offset * type_bytes;
        w->read_bytes += (rows.offset == 0 ? columns.count : 0) * type_bytes;
    }
    if (g->residual != NULL) {
        finish->residual = (const char *)g->residual + index * c_bytes;
        w->read_bytes += elements * c_bytes;
    }
    w->write_bytes += (g->count_c ? elements : 0) * c_bytes;
    return finish->bias != NULL || finish->residual != NULL || is_rounded(g->c_type);
}

/* ---- chains into tiles ------------------------------------------------------------------------------------------- */

/* The chain of one panel into one tile, with B as it lies. */
static void multiply_in_place(const struct worker *w, const struct k_panel *panel, int64_t rows,
                              struct panel_at columns, struct tile *tile)
{
    const enum tr_dtype type = w->g->type;
    for (int i = 0; i < panel->pieces; i++) {
        const struct piece *piece = &panel->piece[i];
        struct tr_gemm_view b = view_of(w->g, TR_GEMM_N, columns.segment, piece);
        const void *row[NR];
        for (int64_t j = 0; j < NR; j++)
            row[j] = element_at(b, type, columns.offset + tr_min_i64(j, columns.count - 1), piece->k0);
        few_rows_run(tile, row, piece->k, type, rows);
        tile->a += piece->words * MR;
        tile->end = TILE_CONTINUE;
    }
}

/* What this tile may pack: B before A, which is wanted later. */
static struct job *job_of(struct worker *w)
{
    if (next_job(w->g, &w->n, &w->next_b))
        return &w->next_b.job;
    if (w->next_a.wait-- <= 0 && next_job(w->g, &w->m, &w->next_a))
        return &w->next_a.job;
    return &w->no_job;
}

static inline void want(struct tile *tile, const void *at, int64_t row_bytes)
{
    tile->wanted[tile->wanted_count++] = (struct wanted){at, row_bytes};
}

static inline void want_sum(struct tile *tile, struct sum sum)
{
    want(tile, sum.at, sum.stride * (int64_t)sizeof *sum.at);
}

static inline void want_finish(struct tile *tile)
{
    const struct finish *f = tile->finish;
    const int64_t row_bytes = f->stride * tr_dtype_bytes(f->c_type);
    want(tile, f->c, row_bytes);
    if (f->residual != NULL)
        want(tile, f->residual, row_bytes);
}

/* The chain of one panel into one tile; `next`, NULL at the end, is the tile after it. A tile that is whole after it and
 * goes to bf16 never lies in the workspace; one that has all its columns is finished in the registers. */
static void chain_into_tile(struct worker *w, const struct k_panel *panel, struct panel_at rows, struct panel_at columns,
                            const float *a, const float *b, const struct panel_at next[2])
{
    const struct tr_gemm *g = w->g;
    const struct tr_gemm_run *run = panel->piece[panel->pieces - 1].run;
    const bool done = panel->ends && run->done;
    _Alignas(64) float whole[MR * NR];
    struct sum sum = {whole, NR};
    if (!is_rounded(g->c_type) || !panel->begins || !done || run->level > 0)
        sum = sum_at(w, run, run->level, rows, columns);
    struct finish finish;
    const bool adds = done && finish_of(w, run, rows, columns, &finish);
    struct tile tile = {
        .a = a, .b = b, .k = panel->words, .n = columns.count, .c = sum.at, .c_stride = sum.stride, .job = job_of(w)};
    tile.end = panel->begins ? TILE_STORE : TILE_CONTINUE;
    if (adds && run->level == 0 && columns.count == NR && !w->b_in_place && !is_widened(g->type))
        tile.finish = &finish; /* widened pairs flush, sums do not */
    if (tile.finish != NULL)
        want_finish(&tile);
    else
        want_sum(&tile, sum);
    if (next != NULL && !panel->begins)
        want_sum(&tile, sum_at(w, run, run->level, next[0], next[1]));
    const unsigned mode = v_pairs_begin(is_widened(g->type));
    if (w->b_in_place)
        multiply_in_place(w, panel, rows.count, columns, &tile);
    else
        tile_run(&tile, rows.count);
    v_pairs_end(is_widened(g->type), mode);
    w->flop += 2 * rows.count * columns.count * panel->k;
    if (panel->ends)
        join_tile(w, run, rows, columns);
    if (adds && tile.finish == NULL) {
        const struct sum whole_sum = run->level == 0 ? sum : sum_at(w, run, 0, rows, columns);
        finish_rows(&finish, whole_sum.at, whole_sum.stride, rows.count, columns.count);
    }
}

/* The blocks of one panel into one tile, one after the other. C is asked for in the first of them, that of the next tile
 * in the last. */
static void blocks_into_tile(struct worker *w, const struct k_panel *panel, struct panel_at rows, struct panel_at columns,
                             const float *a, const float *b, const struct panel_at next[2])
{
    const struct tr_gemm *g = w->g;
    const int64_t bytes = g->count_c ? rows.count * columns.count * tr_dtype_bytes(g->c_type) : 0;
    const struct sum c = sum_at(w, panel->piece[0].run, 0, rows, columns);
    _Alignas(64) float block[MR * NR];
    struct tile tile = {.a = a, .b = b, .n = columns.count, .c = c.at, .c_stride = c.stride, .end = TILE_ADD};
    if (is_widened(g->type)) { /* only the chain flushes, not the sum of blocks */
        tile.c = block;
        tile.c_stride = NR;
        tile.end = TILE_STORE;
    }
    for (int i = 0; i < panel->pieces; i++) {
        const struct tr_gemm_run *run = panel->piece[i].run;
        tile.k = panel->piece[i].words;
        tile.job = job_of(w);
        tile.wanted_count = 0;
        if (i == 0)
            want_sum(&tile, c);
        if (next != NULL && i == panel->pieces - 1)
            want_sum(&tile, sum_at(w, run, 0, next[0], next[1]));
        const unsigned mode = v_pairs_begin(is_widened(g->type));
        tile_run(&tile, rows.count);
        v_pairs_end(is_widened(g->type), mode);
        if (is_widened(g->type))
            add_rows(c, (struct sum){block, NR}, rows.count, columns.count);
        tile.a += tile.k * MR;
        tile.b += tile.k * NR;
        w->read_bytes += run->first ? bytes : 0;
        w->write_bytes += run->last ? bytes : 0;
    }
    w->flop += 2 * rows.count * columns.count * panel->k;
}

/* ---- a thread's stages -------------------------------------------------------------------------------------------- */

/* One panel of k for some rows and columns. Stages follow one another over k, strips of rows, and columns. */
struct stage {
    struct k_panel panel;
    struct tr_range rows, columns; /* of this thread, of its column of the grid */
    bool count_a, count_b;         /* for the first time */
};

struct stage_cursor {
    struct k_cursor k;
    int64_t strip, strips, step, steps;
    struct tr_range rows, columns;
};

static struct stage_cursor first_stage(const struct worker *w)
{
    const bool idle = w->column >= w->grid_n; /* more threads than the grid has: only the barriers are for them */
    const struct tr_range all = {0, axis_panels(&w->n)};
    /* Every column of the grid does the same number of steps, because barriers are for all. */
    const int64_t widest = (axis_panels(&w->n) + w->grid_n - 1) / w->grid_n;
    /* With partial sums a strip is what each thread can keep of them. */
    const int64_t strip_panels = MC_PANELS * w->grid_m;
    return (struct stage_cursor){.strips = w->g->levels == 1 ? 1 : tr_ceil_div(axis_panels(&w->m), strip_panels),
                                 .steps = tr_ceil_div(widest, w->nc_panels),
                                 .rows = {0, idle ? 0 : axis_panels(&w->m)},
                                 .columns = idle ? (struct tr_range){0, 0} : share(all, w->grid_n, w->column)};
}

static bool next_stage(const struct worker *w, struct stage_cursor *at, struct stage *stage)
{
    if (at->step == at->steps || !next_panel(w->g, &at->k, &stage->panel))
        return false;
    stage->columns = share(at->columns, at->steps, at->step);
    stage->rows = share(share(at->rows, at->strips, at->strip), w->grid_m, w->row);
    stage->count_a = w->g->count_a && w->column == 0 && at->step == 0;
    stage->count_b = w->g->count_b && at->strip == 0;
    if (at->k.run == w->g->run_count) {
        at->k = (struct k_cursor){.run = 0};
        at->strip++;
    }
    if (at->strip == at->strips) {
        at->strip = 0;
        at->step++;
    }
    return true;
}

/* The columns whose B this thread packs, for all in its column of the grid. */
static struct tr_range packed_columns(const struct worker *w, const struct stage *stage)
{
    return share(stage->columns, w->grid_m, w->row);
}

static int64_t block_count(struct tr_range rows) { return tr_max_i64(1, tr_ceil_div(range_count(rows), MC_PANELS)); }

static int64_t a_floats(void) { return MC_PANELS * A_PANEL_FLOATS; }

/* What A is packed next: as late as can be, or it has left the second cache again when it is wanted. */
static void begin_a(struct worker *w, const struct stage *stage, int64_t block, int64_t tiles)
{
    const struct tr_range rows = share(stage->rows, block_count(stage->rows), block);
    const int64_t parts = tr_max_i64(1, stage->panel.words / PART);
    const int64_t units = range_count(rows) * stage->panel.words / JOB_WORDS;
    w->a_turn = !w->a_turn;
    w->next_a = (struct packing){.own = TR_GEMM_M,
                                 .panel = &stage->panel,
                                 .panels = rows,
                                 .to = w->a + w->a_turn * a_floats(),
                                 .wait = tiles - 2 * units / parts};
}

static void begin_b(struct worker *w, const struct stage *stage, int64_t column, float *b)
{
    const int64_t end = w->b_in_place ? column : tr_min_i64(column + 1, packed_columns(w, stage).last);
    w->next_b = (struct packing){.own = TR_GEMM_N,
                                 .panel = &stage->panel,
                                 .panels = {column, end},
                                 .to = b + (column - stage->columns.first) * B_PANEL_FLOATS};
}

/* A packed block of A times one panel of B. `more`: there are other columns. */
static void multiply(struct worker *w, const struct k_panel *panel, struct tr_range rows, int64_t column, bool more,
                     const float *a, const float *b)
{
    const struct panel_at columns = axis_panel(&w->n, column);
    struct panel_at next[2] = {axis_panel(&w->m, rows.first), columns};
    for (int64_t p = rows.first; p < rows.last; p++, a += A_PANEL_FLOATS) {
        const struct panel_at at = next[0];
        const bool last = p + 1 == rows.last;
        next[0] = axis_panel(&w->m, last ? rows.first : p + 1);
        if (last && more)
            next[1] = axis_panel(&w->n, column + 1);
        if (w->g->join == TR_GEMM_TREE)
            chain_into_tile(w, panel, at, columns, a, b, last && !more ? NULL : next);
        else
            blocks_into_tile(w, panel, at, columns, a, b, last && !more ? NULL : next);
    }
}

/* B is packed panel by panel, each while the first block of A is multiplied with the one before; what others packed
 * comes after the barrier. B lies in two buffers in turn: while one thread still reads one, another may fill the other, so
 * that one barrier a stage is enough. */
static void do_stage(struct worker *w, const struct stage *stage, const struct stage *after, float *b, float *b_after)
{
    const struct tr_gemm *g = w->g;
    const struct tr_range mine = packed_columns(w, stage);
    const int64_t blocks = block_count(stage->rows);
    w->rows = stage->rows;
    w->columns = stage->columns;
    for (int64_t block = 0; block < blocks; block++) {
        const struct tr_range rows = share(stage->rows, blocks, block);
        const bool last = block + 1 == blocks;
        const float *a = w->a + w->a_turn * a_floats();
        finish_packing(g, &w->m, &w->next_a);
        if (!last)
            begin_a(w, stage, block + 1, range_count(rows) * range_count(stage->columns));
        else if (after != NULL)
            begin_a(w, after, 0, range_count(rows) * range_count(stage->columns));
        for (int64_t p = rows.first; p < rows.last && stage->count_a; p++)
            w->read_bytes += axis_panel(&w->m, p).count * stage->panel.k * tr_dtype_bytes(g->type);
        for (int64_t q = mine.first; q < mine.last && block == 0; q++) {
            float *panel = b + (q - stage->columns.first) * B_PANEL_FLOATS;
            finish_packing(g, &w->n, &w->next_b);
            begin_b(w, stage, q + 1, b);
            if (w->grid_m == 1 && last && after != NULL && q + 1 == mine.last) /* nobody else reads that buffer */
                begin_b(w, after, packed_columns(w, after).first, b_after);
            if (stage->count_b)
                w->read_bytes += axis_panel(&w->n, q).count * stage->panel.k * tr_dtype_bytes(g->type);
            if (rows.first < rows.last)
                multiply(w, &stage->panel, rows, q, q + 1 < mine.last, a, panel);
        }
        if (block == 0 && w->grid_m > 1) {
#pragma omp barrier
        }
        if (last && after != NULL && (w->grid_m > 1 || block > 0 || range_count(mine) == 0))
            begin_b(w, after, packed_columns(w, after).first, b_after);
        for (int64_t q = stage->columns.first; q < stage->columns.last && rows.first < rows.last; q++) {
            if (block == 0 && q >= mine.first && q < mine.last)
                continue;
            multiply(w, &stage->panel, rows, q, q + 1 < stage->columns.last, a,
                     b + (q - stage->columns.first) * B_PANEL_FLOATS);
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

/* So many panels more that each of `parts` threads has as many: each in the segment with the highest ones. */
static void even_out(struct axis *axis, int64_t parts)
{
    const int64_t panels = axis_panels(axis);
    for (int64_t more = parts <= panels ? tr_round_up(panels, parts) - panels : 0; more > 0; more--) {
        int best = 0;
        int64_t best_rows = 0;
        for (int i = 0; i < axis->segments; i++) {
            const int64_t rows = axis->size[i] / (axis->first_panel[i + 1] - axis->first_panel[i] + 1);
            if (rows > best_rows) {
                best = i;
                best_rows = rows;
            }
        }
        for (int i = best + 1; i <= axis->segments && best_rows > 0; i++)
            axis->first_panel[i]++;
    }
}

/* The grid of threads: the least work for the busiest, within a few percent. Where that leaves a choice: rows apart, so
 * that a thread packs only its own part of A; but columns apart when rows are few, because reading the B that another core
 * has packed costs more than packing all of A. */
static void choose_grid(struct worker *w, int threads)
{
    const int64_t m = axis_panels(&w->m), n = axis_panels(&w->n), rows = total(w->m.size, w->m.segments);
    const int64_t most = m > 4 ? threads : 1;
    int64_t best = INT64_MAX;
    for (int64_t i = 1; i <= most; i++) {
        const int64_t grid_m = rows <= ROWS_TOGETHER ? i : most + 1 - i, grid_n = tr_min_i64(threads / grid_m, n);
        if (grid_n == 0)
            continue;
        const int64_t work = (grid_m <= m ? tr_ceil_div(rows, grid_m) : MR) * tr_ceil_div(n, grid_n);
        if (work < best - best / 32) {
            best = work;
            w->grid_m = grid_m;
            w->grid_n = grid_n;
        }
    }
    even_out(&w->m, w->grid_m);
}

/* Columns of B that one column of the grid may have packed at a time, in panels. */
static int64_t nc_panels(int64_t m, int64_t n_panels, int64_t grid_n)
{
    int64_t limit = m <= FEW_ROWS ? FEW_ROWS_NC / NR : tr_max_i64(1, NC / NR / grid_n);
    return tr_min_i64(limit, (n_panels + grid_n - 1) / grid_n);
}

/* ---- workspace: packed A of each thread, packed B of each column of the grid, sums of each thread ----------------- */

/* Sums of a thread's strip that the workspace holds: all but level 0, and level 0 too when C is rounded, unless every
 * tile is whole at once. */
static int64_t partial_sums(int levels, int64_t longest_words, enum tr_dtype c_type)
{
    bool at_once = levels == 1 && longest_words <= KC;
    return levels - (is_rounded(c_type) && !at_once ? 0 : 1);
}

/* Rows of a strip: with several levels what a thread packs of A at a time, else all that it has. */
static int64_t strip_rows(int levels, int64_t m_panels, int64_t grid_m)
{
    return MR * (levels > 1 ? MC_PANELS : (m_panels + grid_m - 1) / grid_m);
}

int64_t TR_SIMD_NAME(tr_gemm_workspace)(const struct tr_gemm_size *size, int threads)
{
    const int64_t m_panels = size->m / MR + TR_OP_SEGMENTS_MAX, n_panels = size->n / NR + TR_OP_SEGMENTS_MAX;
    const int64_t sums = partial_sums(size->levels, tr_ceil_div(size->k, K_OF_WORD), size->c_type);
    int64_t b_panels = 0, partial = 0;
    for (int64_t grid_n = 1; grid_n <= threads; grid_n++) { /* whatever grid is chosen */
        int64_t panels = tr_max_i64(nc_panels(size->m, n_panels, grid_n), nc_panels(FEW_ROWS, n_panels, grid_n));
        b_panels = tr_max_i64(b_panels, grid_n * 2 * panels);
        for (int64_t grid_m = 1; grid_m <= threads / grid_n; grid_m++) {
            int64_t rows = grid_m * grid_n * strip_rows(size->levels, m_panels, grid_m);
            partial = tr_max_i64(partial, sums * rows * panels * NR);
        }
    }
    int64_t floats = threads * 2 * a_floats() + partial + b_panels * B_PANEL_FLOATS;
    return tr_gemm_round_bytes(floats * (int64_t)sizeof(float));
}

/* The longest chain, in words. */
static int64_t longest_leaf(const struct tr_gemm *g)
{
    int64_t longest = 0, words = 0;
    for (int64_t r = 0; r < g->run_count; r++) {
        words = (g->run[r].first ? 0 : words) + words_of(g->type, g->run[r].k);
        longest = tr_max_i64(longest, words);
    }
    return longest;
}

static void place_buffers(struct worker *w, float *workspace, int threads, int thread)
{
    const struct tr_gemm *g = w->g;
    int64_t sums = g->join == TR_GEMM_BLOCKS ? 0 : partial_sums(g->levels, longest_leaf(g), g->c_type);
    w->partial_rows = strip_rows(g->levels, axis_panels(&w->m), w->grid_m);
    w->partial_stride = w->nc_panels * NR;
    w->a = workspace + thread * 2 * a_floats();
    float *b = workspace + threads * 2 * a_floats();
    w->b = b + w->column * 2 * w->nc_panels * B_PANEL_FLOATS;
    w->partial =
        b + w->grid_n * 2 * w->nc_panels * B_PANEL_FLOATS + thread * sums * w->partial_rows * w->partial_stride;
}

static void run_worker(struct worker *w)
{
    struct stage stage[2];
    struct stage_cursor at = first_stage(w);
    float *b[2] = {w->b, w->b + w->nc_panels * B_PANEL_FLOATS};
    bool more = next_stage(w, &at, &stage[0]);
    if (more) {
        begin_a(w, &stage[0], 0, 0);
        begin_b(w, &stage[0], packed_columns(w, &stage[0]).first, b[0]);
    }
    for (int turn = 0; more; turn = !turn) {
        more = next_stage(w, &at, &stage[!turn]);
        do_stage(w, &stage[turn], more ? &stage[!turn] : NULL, b[turn], b[!turn]);
    }
}

void TR_SIMD_NAME(tr_gemm)(const struct tr_gemm *g, void *workspace, struct tr_count *count, int threads)
{
    const int m_segments = g->segment_axis == TR_GEMM_M ? g->segments : 1;
    const int n_segments = g->segment_axis == TR_GEMM_N ? g->segments : 1;
    TR_ASSERT(g->type == TR_BF16 || (g->type == TR_F32 && g->c_type == TR_F32 && !TR_SIMD_DP));
    TR_ASSERT(g->c_type == TR_F32 || g->join == TR_GEMM_TREE);
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
        tr_count_add(count, w.flop, w.read_bytes, w.write_bytes);
    }
}

#endif
