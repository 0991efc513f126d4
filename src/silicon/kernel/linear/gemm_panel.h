/* What tiles read: the axes of C and k in panels, and how a factor is packed into them, at once or unit by unit while tiles are
 * multiplied. Included by gemm_body.h only. */
#ifndef TR_SILICON_KERNEL_LINEAR_GEMM_PANEL_H
#define TR_SILICON_KERNEL_LINEAR_GEMM_PANEL_H

enum {
    KC = 768,                /* words of k in a packed panel of a chain */
    KC_BLOCKS = 1024,        /* and of blocks of tokens, which are not cut: C is fetched once for all of a panel */
    K_AHEAD = 24,            /* rows of a factor whose slow index is k that are asked for ahead of packing them */
    PIECES_MAX = 32,         /* runs in one packed panel */
    A_PANEL_FLOATS = KC_BLOCKS * MR + 16, /* packing writes whole vectors, a little over the end */
    B_PANEL_FLOATS = KC_BLOCKS * NR
};

_Static_assert((int)KC_BLOCKS >= (int)TR_TOKEN_BLOCK, "a block of tokens fits in a packed panel");
_Static_assert((int)KC_BLOCKS >= (int)KC, "and so does a piece of a chain");

/* Words that k elements of a run take in a panel. */
static inline int64_t words_of(enum tr_dtype type, int64_t k)
{
    return type == TR_F32 ? k : (k + 1) / 2 * (TR_SIMD_DP ? 1 : 2);
}

/* bf16 as two words: the odd one first. */
static inline bool is_widened(enum tr_dtype type) { return type == TR_BF16 && !TR_SIMD_DP; }

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

/* ---- the k axis in panels --------------------------------------------------------------------------------------- */

/* A stretch of one run. */
struct piece {
    const struct tr_gemm_run *run;
    int64_t k0, k, words;
};

struct k_panel {
    struct piece piece[PIECES_MAX];
    int pieces;
    int64_t k, words;
    bool begins, ends; /* TREE: a leaf */
};

/* The next panel begins at k number `offset` of run number `run`. */
struct k_cursor {
    int64_t run, offset;
    int64_t target; /* words of the panels of this leaf */
};

/* Panels of one leaf are about equal. */
static int64_t panel_target(const struct tr_gemm *g, int64_t run)
{
    int64_t words = words_of(g->type, g->run[run].k);
    while (!g->run[run].last)
        words += words_of(g->type, g->run[++run].k);
    int64_t panels = (tr_max_i64(words, 1) + KC - 1) / KC;
    return tr_min_i64(KC, (words / panels + 8) / 8 * 8);
}

static void add_piece(const struct tr_gemm *g, struct k_panel *panel, const struct tr_gemm_run *run, int64_t k0,
                      int64_t k)
{
    int64_t words = words_of(g->type, k);
    panel->piece[panel->pieces++] = (struct piece){run, k0, k, words};
    panel->k += k;
    panel->words += words;
}

/* As much of one leaf as fits. */
static void next_chain_panel(const struct tr_gemm *g, struct k_cursor *at, struct k_panel *panel)
{
    panel->begins = g->run[at->run].first && at->offset == 0;
    if (panel->begins)
        at->target = panel_target(g, at->run);
    while (!panel->ends && panel->words < at->target && panel->pieces < PIECES_MAX) {
        const struct tr_gemm_run *run = &g->run[at->run];
        int64_t k = tr_min_i64(run->k - at->offset, (at->target - panel->words) * K_OF_WORD);
        add_piece(g, panel, run, run->k0 + at->offset, k);
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
        if (run->output != output || panel->words + words_of(g->type, run->k) > KC_BLOCKS)
            break;
        add_piece(g, panel, run, run->k0, run->k);
        at->run++;
    }
    TR_ASSERT(panel->pieces > 0);
}

static bool next_panel(const struct tr_gemm *g, struct k_cursor *at, struct k_panel *panel)
{
    if (at->run == g->run_count)
        return false;
    panel->pieces = 0;
    panel->k = panel->words = 0;
    panel->begins = panel->ends = false;
    if (g->join == TR_GEMM_TREE)
        next_chain_panel(g, at, panel);
    else
        next_block_panel(g, at, panel);
    return true;
}

/* ---- packing ---------------------------------------------------------------------------------------------------- */

static struct tr_gemm_view view_of(const struct tr_gemm *g, enum tr_gemm_axis own, int segment,
                                   const struct piece *piece)
{
    const struct tr_gemm_view *views = own == TR_GEMM_M ? g->a : g->b;
    if (g->segment_axis == own)
        return views[segment];
    return views[g->segment_axis == TR_GEMM_K ? piece->run->segment : 0];
}

static bool is_k_slow(const struct tr_gemm *g, enum tr_gemm_axis own)
{
    return own == TR_GEMM_M ? g->a_k_slow : g->b_k_slow;
}

/* Element (row, k) of a factor, `slow` the one of the two whose stride is not 1. */
static inline const void *element_at(struct tr_gemm_view view, enum tr_dtype type, int64_t slow, int64_t fast)
{
    return (const char *)view.data + (slow * view.stride + fast) * tr_dtype_bytes(type);
}

/* 8 words of TR_VLEN rows, block[word][row], as the odd and the even elements. */
static inline void widen_block(float *dst, int64_t step, const float *block)
{
    for (int i = 0; i < 8; i++) {
        tr_v word = v_load(block + i * TR_VLEN);
        v_store(dst + 2 * i * step, v_odd(word));
        v_store(dst + (2 * i + 1) * step, v_even(word));
    }
}

static inline void put_word(float *dst, int64_t step, float word, bool widened)
{
    dst[0] = widened ? tr_f32_from_bits(tr_f32_bits(word) & 0xffff0000u) : word;
    if (widened)
        dst[step] = tr_f32_from_bits(tr_f32_bits(word) << 16);
}

/* dst[word * step + i] = row i: TR_VLEN rows at a time, the highest first, and words ascending, because whole vectors are
 * written. Rows that are not there repeat the last one: nobody reads those lanes' results. */
static void pack_turned(float *dst, int64_t step, struct tr_gemm_view view, enum tr_dtype type, int64_t row0,
                        int64_t rows, int64_t k0, int64_t k)
{
    const bool widened = is_widened(type);
    const int64_t words = type == TR_F32 ? k : (k + 1) / 2, whole = rows < 3 ? 0 : (type == TR_F32 ? k : k / 2) / 8 * 8;
    for (int64_t i = (rows - 1) / TR_VLEN * TR_VLEN; i >= 0 && whole > 0; i -= TR_VLEN) {
        const float *row[TR_VLEN];
        for (int64_t r = 0; r < TR_VLEN; r++)
            row[r] = row_words(element_at(view, type, row0 + tr_min_i64(i + r, rows - 1), k0), 0);
        for (int64_t j = 0; j < whole; j += 8) {
            if (widened) {
                float block[8 * TR_VLEN];
                v_transpose_rows(block, TR_VLEN, row);
                widen_block(dst + 2 * j * step + i, step, block);
            } else {
                v_transpose_rows(dst + j * step + i, step, row);
            }
            for (int r = 0; r < TR_VLEN; r++)
                row[r] += 8;
        }
    }
    for (int64_t i = 0; i < rows; i++) {
        const void *row = element_at(view, type, row0 + i, k0);
        for (int64_t j = whole; j < words; j++)
            put_word(dst + (widened ? 2 : 1) * j * step + i, step, row_word(row, type, j, k), widened);
    }
}

/* The words of one vector of rows or columns for element k of a panel, of bf16 for the pair (k, k + 1), from a factor
 * whose slow index is k. n: how many are there. */
static inline void put_vector(float *dst, int64_t step, struct tr_gemm_view view, enum tr_dtype type, int64_t k,
                              bool has_odd, int64_t at, int64_t n)
{
    static const tr_bf16 none[TR_VLEN];
    const void *even = element_at(view, type, k, at);
    if (type == TR_F32) {
        v_store(dst, v_loadn_at(even, TR_F32, 0, n));
        return;
    }
    const tr_bf16 *odd = has_odd ? element_at(view, type, k + 1, at) : none;
#if TR_SIMD_DP
    (void)step;
    v_store(dst, n >= TR_VLEN ? v_pair(even, odd) : v_pairn(even, odd, n));
#else
    v_store(dst, v_loadn_at(odd, TR_BF16, 0, n));
    v_store(dst + step, v_loadn_at(even, TR_BF16, 0, n));
#endif
}

/* Asks for what put_vector reads K_AHEAD rows later: they are too far apart for the processor to foresee. */
static inline void ask_ahead(struct tr_gemm_view view, enum tr_dtype type, int64_t k, int64_t at)
{
    __builtin_prefetch(element_at(view, type, k + K_AHEAD, at));
    if (type == TR_BF16)
        __builtin_prefetch(element_at(view, type, k + K_AHEAD + 1, at));
}

/* The part of a panel that one piece makes, [words][step], of the rows or columns `at`. */
static void pack_piece(const struct tr_gemm *g, enum tr_gemm_axis own, float *dst, struct panel_at at,
                       const struct piece *piece)
{
    const struct tr_gemm_view view = view_of(g, own, at.segment, piece);
    const int64_t step = own == TR_GEMM_M ? MR : NR, step_k = g->type == TR_BF16 ? 2 : 1;
    if (!is_k_slow(g, own)) {
        pack_turned(dst, step, view, g->type, at.offset, at.count, piece->k0, piece->k);
        return;
    }
    for (int64_t k = 0; k < piece->k; k += step_k) {
        for (int64_t j = 0; j < step; j += TR_VLEN) {
            ask_ahead(view, g->type, piece->k0 + k, at.offset + j);
            put_vector(dst + words_of(g->type, k) * step + j, step, view, g->type, piece->k0 + k, k + 1 < piece->k,
                       at.offset + j, tr_max_i64(0, at.count - j));
        }
    }
}

/* Panels of one factor that are packed one after the other: by jobs while tiles are multiplied, or at once. */
struct packing {
    enum tr_gemm_axis own;
    const struct k_panel *panel;
    struct tr_range panels; /* of the axis, that are not packed */
    float *to;              /* where the first of them goes */
    int64_t piece, words;   /* of which so many pieces have been begun, and words that lie before the last of them */
    int64_t lane;           /* of the next piece, of rows only */
    int64_t wait;           /* tiles that are multiplied before it begins */
    struct job job;
};

static int64_t panel_step(enum tr_gemm_axis own) { return own == TR_GEMM_M ? MR : NR; }

static int64_t panel_floats(enum tr_gemm_axis own) { return own == TR_GEMM_M ? A_PANEL_FLOATS : B_PANEL_FLOATS; }

/* Whether a job may read whole vectors: lanes beyond the panel may hold anything, but must be there. */
static bool has_lanes(const struct axis *axis, enum tr_gemm_axis own, struct panel_at at)
{
    return at.offset + tr_round_up(panel_step(own), TR_VLEN) <= axis->size[at.segment];
}

static bool has_units(const struct tr_gemm *g, const struct piece *piece)
{
    return !is_widened(g->type) && piece->words % JOB_WORDS == 0 && piece->k == piece->words * K_OF_WORD;
}

/* How many panels, of which `at` is the first, are packed in turns. */
static int64_t panels_in_turn(const struct tr_gemm *g, const struct axis *axis, const struct packing *p,
                              struct panel_at at)
{
    int64_t count = 1;
    while (p->own == TR_GEMM_M && g->a_k_slow && count < LANES_MAX && at.panel + count < p->panels.last) {
        const struct panel_at next = axis_panel(axis, at.panel + count);
        if (next.segment != at.segment || !has_lanes(axis, p->own, next))
            break;
        count++;
    }
    return count;
}

/* A piece of `panels` from `at` on, of one panel of rows TR_VLEN of them. What is asked for ahead of its end is where the
 * next job is taken to begin. */
static struct job make_job(const struct tr_gemm *g, const struct axis *axis, const struct packing *p,
                           const struct piece *piece, struct panel_at at, int64_t panels, float *to)
{
    const struct tr_gemm_view view = view_of(g, p->own, at.segment, piece);
    const int64_t step = panel_step(p->own), size = tr_dtype_bytes(g->type), row_bytes = view.stride * size;
    struct job job = {.row_bytes = row_bytes, .k_slow = is_k_slow(g, p->own), .to = to, .step = step, .lanes = 1};
    if (!job.k_slow) {
        job.from = element_at(view, g->type, at.offset + p->lane, piece->k0);
        job.to += p->lane;
        job.wrap = tr_min_i64(step, TR_VLEN) * row_bytes - p->panel->k * size;
    } else {
        job.from = element_at(view, g->type, piece->k0, at.offset);
        job.wrap = p->piece + 1 < p->panel->pieces ? 0 : panels * step * size - p->panel->k * row_bytes;
        job.lanes = (int)(p->own == TR_GEMM_N ? NV : panels);
        for (int i = 0; i < job.lanes; i++) {
            const int64_t offset =
                p->own == TR_GEMM_N ? i * TR_VLEN : axis_panel(axis, at.panel + i).offset - at.offset;
            job.lane_bytes[i] = (int32_t)(offset * size);
            job.lane_floats[i] = (int32_t)(i * (p->own == TR_GEMM_N ? TR_VLEN : A_PANEL_FLOATS));
        }
    }
    job.units = job.lanes * piece->words / JOB_WORDS;
    return job;
}

/* Makes p->job the next one, if there is one; what cannot be one is packed at once. */
static bool next_job(const struct tr_gemm *g, const struct axis *axis, struct packing *p)
{
    const int64_t step = panel_step(p->own);
    while (p->job.units == 0 && p->panels.first < p->panels.last) {
        const struct panel_at at = axis_panel(axis, p->panels.first);
        const struct piece *piece = &p->panel->piece[p->piece];
        const int64_t panels = panels_in_turn(g, axis, p, at);
        float *to = p->to + p->words * step;
        if (has_units(g, piece) && has_lanes(axis, p->own, at)) {
            p->job = make_job(g, axis, p, piece, at, panels, to);
            p->lane += is_k_slow(g, p->own) ? step : TR_VLEN;
            if (p->lane < step)
                break;
        } else {
            for (int64_t i = 0; i < panels; i++)
                pack_piece(g, p->own, to + i * panel_floats(p->own), axis_panel(axis, at.panel + i), piece);
        }
        p->lane = 0;
        p->words += piece->words;
        if (++p->piece == p->panel->pieces) {
            p->piece = p->words = 0;
            p->panels.first += panels;
            p->to += panels * panel_floats(p->own);
        }
    }
    return p->job.units > 0;
}

static void finish_packing(const struct tr_gemm *g, const struct axis *axis, struct packing *p)
{
    while (next_job(g, axis, p)) {
        while (p->job.units > 0)
            job_unit(&p->job);
    }
}

#endif
