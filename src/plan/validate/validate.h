/* Predictions held against measurements: tables of what others measured, row by row.
 *
 *     struct tr_samples samples;
 *     tr_samples_read("op_gemm.csv", catalog, &samples, err)      any of the formats of docs/formats/measurements.md
 *     struct tr_score score;
 *     tr_validate(&samples, &score, err)
 *     tr_score_text(&score, &text), tr_score_json, tr_score_summary, tr_score_csv
 *     tr_score_free(&score); tr_samples_free(&samples);
 *
 * The format is known by the header: each format has columns that must be there (tr_table_formats), others are ignored.
 * A row that cannot be read (no number, no time) or priced (a chip that the catalog does not have, units that it lacks)
 * stays, with the reason, and counts as not covered.
 *
 * A row's group is what the fit holds back as a whole: the (n, k) of a product, the heads of attention, the operation,
 * ranks and size of a collective; of training runs: what has all but the layout in common. */
#ifndef TR_PLAN_VALIDATE_VALIDATE_H
#define TR_PLAN_VALIDATE_VALIDATE_H

#include "base/csv.h"
#include "base/text.h"
#include "plan/step/step.h"

enum tr_table_kind {
    TR_MEASURED_GEMM,
    TR_MEASURED_ATTENTION,
    TR_MEASURED_COLLECTIVE,
    TR_MEASURED_TRAIN,
    TR_MEASURED_KINDS
};

enum { TR_SAMPLE_CHIPS_MAX = 256, TR_TABLE_COLUMNS_MAX = 16 };

struct tr_table_format {
    const char *name;                             /* "op_gemm" */
    const char *columns[TR_TABLE_COLUMNS_MAX];    /* that must be there */
    const char *what;                             /* one line for docs */
};
const struct tr_table_format *tr_table_format(enum tr_table_kind kind);

struct tr_gemm_sample {
    enum tr_format format; /* TR_FORMAT_COUNT: not known */
    int64_t m, n, k;
};

struct tr_collective_sample {
    enum tr_collective op;
    bool narrow; /* elements are whole numbers of 8 bits */
    int64_t ranks;
    double bytes;
};

/* Where runs of a table ran: a system, a software stack and a number format. Runs share them. */
struct tr_run_site {
    struct tr_system system;
    struct tr_stack stack;
    struct tr_site site; /* of the two above */
};

/* A training run as its row says it. What a row leaves open is chosen as whoever ran it would have: the fastest that
 * fits the memory. */
struct tr_run {
    const struct tr_run_site *where;
    struct tr_model_shape model;
    struct tr_task task;     /* .model is the one above */
    struct tr_layout layout;
    bool micro_open;         /* the microbatch is not said */
    bool rerun_open;         /* what is computed again is not said */
    bool chunks_open;        /* a pipeline's chunks a stage are not said */
    bool assumed;            /* its model, batch, chips, software or the length of its sequences are guessed (guess.h) */
    bool cp_said;            /* cp is said, be it 1 */
    bool context_open;       /* how contexts exchange keys and values is not said, and was chosen to race */
    bool zero_open;          /* what is shared out is not said: as the stack has it, and all where nothing fits else (also where
                                weights, gradients and states that are said not to be are too much alone) */
    bool ep_open;            /* over how many ranks experts are spread is not said */
    bool layout_open;        /* which of tp, pp, cp and ep are more than 1 is not said, but for those that are here */
    double memory_bytes;     /* as printed; 0: not */
    bool allocated;          /* that is what the program allocated, without context, communicators and fragmentation */
    char reason[192];        /* why it cannot be priced; "": it can */
};

enum { TR_RUN_SITES_MAX = 1024 };
struct tr_runs {
    struct tr_run *at;
    int64_t count;
    struct tr_run_site *site[TR_RUN_SITES_MAX];
    int site_count;
};

/* What the planner says about a run; *layout (may be NULL): with the open parts chosen. TR_NO: nothing that the row says
 * is legal or fits; err says why. */
TR_MUST_CHECK enum tr_status tr_run_price(const struct tr_run *run, struct tr_step *step, struct tr_layout *layout,
                                          struct tr_err *err);

/* The bytes of a priced run that its row's printed memory is to be compared with: all, or what the program allocated. */
double tr_run_memory(const struct tr_run *run, const struct tr_step *step, const struct tr_layout *layout);

struct tr_sample {
    int chip;           /* index into tr_samples.chip */
    const char *source; /* who measured: engine or library, as in the file */
    const char *what;   /* dtype or operation, as in the file */
    int64_t line;
    double time_s;
    uint64_t group;
    const char *reason; /* why it cannot be priced; NULL: it can */
    union {
        struct tr_gemm_sample gemm;
        struct tr_attention attention;
        struct tr_collective_sample collective;
        struct tr_run *run;
    } of;
};

struct tr_sample_chip {
    const char *name;      /* as in the file */
    bool known;
    struct tr_chip chip;   /* when known */
    struct tr_rates rates;
    struct tr_system system; /* of those that carry it the one whose links join most; the first of these */
    char reason[256];      /* else */
};

struct tr_samples {
    enum tr_table_kind kind;
    struct tr_csv csv; /* strings live here */
    struct tr_sample *at;
    int64_t count;
    struct tr_sample_chip *chip;
    int chip_count;
    struct tr_runs runs;
};

TR_MUST_CHECK enum tr_status tr_samples_read(const char *path, const struct tr_catalog *catalog,
                                             struct tr_samples *out, struct tr_err *err);
/* The same of a table in memory, which it takes over, also when it fails. */
TR_MUST_CHECK enum tr_status tr_samples_of(const char *name, struct tr_csv *csv, const struct tr_catalog *catalog,
                                           struct tr_samples *out, struct tr_err *err);
void tr_samples_free(struct tr_samples *samples); /* right on a zeroed struct */
const char *tr_sample_id(const struct tr_samples *samples, const struct tr_sample *sample); /* as in the file; "": it has none */

/* What the models say; rates: those of the sample's chip, or others in their place (the fit tries many). time_s is
 * INFINITY when the chip cannot do it. */
struct tr_cost tr_sample_cost(const struct tr_samples *samples, const struct tr_sample *sample,
                              const struct tr_rates *rates);

/* --- the score --- */

/* Regret: in each group of rows that differ in their layout only (training runs of one model, batch and system), how much
 * longer the layout that is predicted fastest really took than the one that was. A layout that was measured several times
 * took the mean of its rows, and is one choice. Groups of 3 layouts and more. */
struct tr_regret {
    int64_t groups;
    double mean, worst; /* fractions */
    int64_t within_1;   /* groups with at most 1 % */
    int64_t worst_line; /* of the table: the first row of the worst group */
};

/* Pairs of layouts of one such group (of 2 layouts and more), by how far apart they are predicted, as a share of the faster one's time:
 * how many there are, and of how many the one that is predicted faster was. */
struct tr_pair_order {
    struct tr_pairs {
        int64_t pairs, right;
    } alike, next; /* up to TR_PLAN_ALIKE, which plans take as alike (plan/run/run.h); up to twice that */
};

struct tr_score_line { /* of one source, chip and dtype or operation; or of all */
    const char *source, *chip, *what;
    int64_t rows, covered;
    double mape, median, worst, bias; /* of |predicted / measured - 1|, and of it with its sign; fractions */
    double inside;                    /* share of covered rows within the 80 % interval */
    struct tr_regret regret;          /* in the groups that begin in these rows */
};

struct tr_score_row {
    const struct tr_sample *sample;
    struct tr_cost cost; /* time_s INFINITY: not covered */
    const char *reason;  /* why not */
    double error;        /* predicted / measured - 1 */
    struct tr_step step; /* of a training run, and its layout with the open parts chosen */
    struct tr_layout layout;
};

struct tr_score {
    const struct tr_samples *samples;
    struct tr_score_row *row; /* by samples->at */
    struct tr_score_line *line;
    int64_t line_count;
    struct tr_score_line all;  /* of all but: */
    struct tr_score_line open; /* training runs whose layout is not said, priced at the best that the search finds */
};

TR_MUST_CHECK enum tr_status tr_validate(const struct tr_samples *samples, struct tr_score *out, struct tr_err *err);
void tr_score_free(struct tr_score *score);

/* Of the groups that begin in these rows, which are indices into score->row. */
struct tr_regret tr_score_regret(const struct tr_score *score, const int64_t *rows, int64_t count);

/* Of all groups. */
struct tr_pair_order tr_score_order(const struct tr_score *score);

/* The floor of any prediction from what rows say: training runs of a source that it prints several times with the same chips,
 * software, model, batch and layout, and how far each is from their median. */
struct tr_floor {
    int64_t runs, rows;
    double mean, worst; /* of |median / measured - 1|; fractions */
};
TR_MUST_CHECK enum tr_status tr_score_floor(const struct tr_score *score, const char *source, struct tr_floor *out,
                                            struct tr_err *err);

/* Memory of training runs that print it: predicted over printed, on the heaviest rank. */
struct tr_memory_score {
    int64_t rows;
    double mape, median, worst, bias; /* fractions */
    double inside;                    /* share of rows within the 80 % interval */
};
/* `allocated`: of rows that print what was allocated, or of the others (whole device, or not said). */
TR_MUST_CHECK enum tr_status tr_score_memory(const struct tr_score *score, bool allocated, struct tr_memory_score *out,
                                             struct tr_err *err);

void tr_score_text(const struct tr_score *score, struct tr_text *out);
void tr_score_json(const struct tr_score *score, struct tr_text *out);
void tr_score_summary(const struct tr_score *score, struct tr_text *out); /* CSV: a line a score line, with what the text has of it */
void tr_score_csv(const struct tr_score *score, struct tr_text *out);     /* a line a row of the table */

/* Of training runs: a table of Markdown, a line a row. Rows with `chip_hours` and a `goodput` (the share of those hours that
 * is steps, and `goodput_why`) are predicted in chip-hours, all others in seconds a step. */
void tr_score_page(const struct tr_score *score, struct tr_text *out);

#endif
