#include "plan/validate/runs.h"

#include "cloud/collective/collective.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct tr_table_format formats[TR_MEASURED_KINDS] = {
    [TR_MEASURED_GEMM] = {"op_gemm", {"chip", "engine", "dtype", "m", "n", "k", "latency_us"},
                          "matrix products y[m, n] = x[m, k] w[n, k]^T"},
    [TR_MEASURED_ATTENTION] = {"op_attention",
                               {"chip", "engine", "op", "batch", "seq", "n_heads", "n_kv_heads", "head_dim", "window",
                                "dtype", "kv_dtype", "latency_us"},
                               "causal attention over whole sequences, forward"},
    [TR_MEASURED_COLLECTIVE] = {"op_collective",
                                {"system", "library", "op", "dtype", "n_gpus", "message_elements", "latency_us"},
                                "collectives among chips"},
    [TR_MEASURED_TRAIN] = {"train_runs",
                           {"chip", "framework", "precision", "model", "n_layers", "d_model", "n_chips", "seq_len",
                            "global_batch_seqs", "tp", "pp", "step_time_s"},
                           "training runs: seconds a step, of a model, a layout and a system"},
};

const struct tr_table_format *tr_table_format(enum tr_table_kind kind)
{
    TR_ASSERT(kind >= 0 && kind < TR_MEASURED_KINDS);
    return &formats[kind];
}

/* A table on the way in: where the required columns of its format are. */
struct table {
    const char *name;
    struct tr_samples *samples;
    const struct tr_catalog *catalog;
    int column[TR_TABLE_COLUMNS_MAX];
    int64_t row;
    struct tr_err *err;
};

static const char *cell(const struct table *t, int column)
{
    return tr_csv_cell(&t->samples->csv, t->row, t->column[column]);
}

static const char *const no_numbers = "a size that is no whole number in its range, or a time that is not above 0";

static bool read_count(const struct table *t, int column, int64_t min, int64_t *out)
{
    const char *text = cell(t, column);
    char *end;
    *out = strtoll(text, &end, 10);
    return end != text && !*end && *out >= min && *out <= TR_COST_MAX_EXTENT;
}

static bool read_time(const struct table *t, int column, struct tr_sample *sample)
{
    const char *text = cell(t, column);
    char *end;
    double value = strtod(text, &end);
    sample->time_s = value * 1e-6;
    return end != text && !*end && value > 0 && value <= 1e15;
}

/* Chips that links join. */
static int64_t domain_of(const struct tr_system *system)
{
    int64_t chips = system->tier[0].domain_chips;
    return chips ? chips : INT64_MAX;
}

static enum tr_status find_system(const struct tr_catalog *catalog, const struct tr_chip *chip, struct tr_system *out,
                                  struct tr_err *err)
{
    enum tr_status status = tr_system_around(catalog, chip, 0, out, err);
    for (int i = 0; i < tr_catalog_count(catalog, TR_SECTION_SYSTEMS) && status == TR_OK; i++) {
        struct tr_system system;
        status = tr_system_read(tr_catalog_entry(catalog, TR_SECTION_SYSTEMS, i), &system, err);
        if (status == TR_OK && system.chip.entry == chip->entry && domain_of(&system) > domain_of(out))
            *out = system;
    }
    return status;
}

static enum tr_status find_chip(struct table *t, int column, int *index)
{
    struct tr_samples *s = t->samples;
    const char *name = cell(t, column);
    for (*index = 0; *index < s->chip_count; ++*index)
        if (strcmp(s->chip[*index].name, name) == 0)
            return TR_OK;
    if (s->chip_count == TR_SAMPLE_CHIPS_MAX)
        return tr_fail(t->err, TR_BAD_INPUT, "%s: more than %d chips", t->name, TR_SAMPLE_CHIPS_MAX);
    struct tr_sample_chip *chip = &s->chip[s->chip_count++];
    struct tr_err why;
    chip->name = name;
    chip->known = tr_chip_find(t->catalog, name, &chip->chip, &why) == TR_OK;
    if (!chip->known) {
        size_t bytes = strlen(why.text) < sizeof chip->reason ? strlen(why.text) : sizeof chip->reason - 1;
        memcpy(chip->reason, why.text, bytes);
        return TR_OK;
    }
    enum tr_status status = find_system(t->catalog, &chip->chip, &chip->system, t->err);
    return status == TR_OK ? tr_rates_make(&chip->chip, &chip->rates, t->err) : status;
}

static uint64_t mix(uint64_t hash, int64_t value)
{
    return (hash ^ (uint64_t)value) * 0x9E3779B97F4A7C15u ^ (hash >> 29);
}

static void read_gemm(struct table *t, struct tr_sample *s)
{
    struct tr_gemm_sample *g = &s->of.gemm;
    bool numbers = read_count(t, 3, 1, &g->m) && read_count(t, 4, 1, &g->n) && read_count(t, 5, 1, &g->k);
    s->what = cell(t, 2);
    s->group = mix(mix(1, g->n), g->k);
    g->format = tr_format_find(s->what);
    if (!numbers || !read_time(t, 6, s))
        s->reason = no_numbers;
    else if (g->format == TR_FORMAT_COUNT)
        s->reason = "a number format that is not known";
}

static void read_attention(struct table *t, struct tr_sample *s)
{
    struct tr_attention *a = &s->of.attention;
    const struct {
        int column;
        int64_t min, *to;
    } count[] = {{3, 1, &a->batch}, {4, 1, &a->queries}, {5, 1, &a->heads}, {6, 1, &a->kv_heads}, {7, 1, &a->head_dim},
                 {8, 0, &a->window}};
    bool numbers = true;
    for (size_t i = 0; i < sizeof count / sizeof *count; i++)
        numbers = read_count(t, count[i].column, count[i].min, count[i].to) && numbers;
    a->keys = a->queries;
    a->causal = true;
    a->format = tr_format_find(cell(t, 9));
    a->kv_format = tr_format_find(cell(t, 10));
    s->what = cell(t, 9);
    s->group = mix(mix(mix(2, a->heads), a->kv_heads), a->head_dim);
    if (!numbers || !read_time(t, 11, s))
        s->reason = no_numbers;
    else if (strcmp(cell(t, 2), "context_attention") != 0)
        s->reason = "not the forward pass of whole sequences (context_attention)";
    else if (a->heads % a->kv_heads != 0)
        s->reason = "heads that key-value heads do not divide";
    else if (a->format == TR_FORMAT_COUNT || a->kv_format == TR_FORMAT_COUNT)
        s->reason = "a number format that is not known";
}

/* Whether the release behind a library's name ("vLLM_custom_eager 0.14.0") is older than that one. Whose table says
 * "undefined" measured before it knew. */
static bool released_before(const char *library, const int release[3])
{
    int number[3] = {INT_MAX, 0, 0}; /* none is said: as of today */
    const char *at = strrchr(library, ' ');
    if (at && strcmp(at + 1, "undefined") == 0)
        return true;
    if (at)
        sscanf(at + 1, "%9d.%9d.%9d", &number[0], &number[1], &number[2]);
    for (int i = 0; i < 3; i++)
        if (number[i] != release[i])
            return number[i] < release[i];
    return false;
}

/* Of a library of collectives; or all-reduces that an inference engine brings, by who launches them. `release`: since when
 * they are what they are: times change by half there, and by a few per cent from one release to the next elsewhere. */
static enum tr_collective collective_of(const char *library, const char *op)
{
    static const struct {
        const char *begins, *op;
        enum tr_collective lasting, eager;
        int release[3];
    } known[] = {
        {"NCCL", "all_reduce", TR_COLLECTIVE_ALL_REDUCE, TR_COLLECTIVE_ALL_REDUCE, {0}},
        {"NCCL", "all_gather", TR_COLLECTIVE_ALL_GATHER, TR_COLLECTIVE_ALL_GATHER, {0}},
        {"NCCL", "reduce_scatter", TR_COLLECTIVE_REDUCE_SCATTER, TR_COLLECTIVE_REDUCE_SCATTER, {0}},
        {"NCCL", "alltoall", TR_COLLECTIVE_ALL_TO_ALL, TR_COLLECTIVE_ALL_TO_ALL, {0}},
        {"NCCL", "all_to_all", TR_COLLECTIVE_ALL_TO_ALL, TR_COLLECTIVE_ALL_TO_ALL, {0}},
        {"TRTLLM", "all_reduce", TR_COLLECTIVE_TRTLLM, TR_COLLECTIVE_TRTLLM, {1, 3, 0}},
        {"vLLM", "all_reduce", TR_COLLECTIVE_VLLM_GRAPH, TR_COLLECTIVE_VLLM_EAGER, {0, 18, 0}},
        {"SGLang", "all_reduce", TR_COLLECTIVE_SGLANG_GRAPH, TR_COLLECTIVE_SGLANG_EAGER, {0, 5, 14}},
    };
    bool like_nccl = strncmp(library, "RCCL", 4) == 0 || strncmp(library, "oneCCL", 6) == 0;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        bool nccl = strcmp(known[i].begins, "NCCL") == 0;
        if (strcmp(op, known[i].op) != 0 ||
            (strncmp(library, known[i].begins, strlen(known[i].begins)) != 0 && !(nccl && like_nccl)))
            continue;
        enum tr_collective found = strstr(library, "eager") ? known[i].eager : known[i].lasting;
        return released_before(library, known[i].release) ? found + TR_COLLECTIVE_OLD : found;
    }
    return TR_COLLECTIVE_COUNT;
}

static bool is_across(const struct tr_sample_chip *chip, const struct tr_collective_sample *c)
{
    return c->ranks > domain_of(&chip->system);
}

static void read_collective(struct table *t, struct tr_sample *s)
{
    struct tr_collective_sample *c = &s->of.collective;
    const struct tr_sample_chip *chip = &t->samples->chip[s->chip];
    int64_t elements = 0;
    bool numbers = read_count(t, 4, 1, &c->ranks) && read_count(t, 5, 0, &elements);
    enum tr_format format = tr_format_find(cell(t, 3));
    s->what = cell(t, 2);
    c->op = collective_of(s->source, s->what);
    c->narrow = format == TR_FORMAT_INT8;
    s->group = mix(mix(mix(3, c->op), c->ranks), elements);
    if (!numbers || !read_time(t, 6, s))
        s->reason = no_numbers;
    else if (c->op == TR_COLLECTIVE_COUNT)
        s->reason = "a library or collective that is not known";
    else if (format == TR_FORMAT_COUNT)
        s->reason = "a number format that is not known";
    else if (c->ranks < 2)
        s->reason = "a collective of one rank";
    else if (chip->known && chip->rates.link_bytes_s <= 0)
        s->reason = "a chip without links to others";
    else if (chip->known && is_across(chip, c) && c->op % TR_COLLECTIVE_OLD > TR_COLLECTIVE_ALL_TO_ALL)
        s->reason = "an engine's kernel, which works within a domain of links, among more chips than one joins";
    else
        c->bytes = (double)elements * tr_format_info(format)->x_bytes;
}

static uint64_t mix_text(uint64_t hash, const char *text)
{
    for (; *text; text++)
        hash = mix(hash, (unsigned char)*text);
    return hash;
}

/* All but the layout. */
static uint64_t run_group(const struct tr_run *run, const struct tr_sample *s)
{
    const struct tr_model_shape *m = &run->model;
    uint64_t hash = mix_text(mix_text(4, s->source), m->name);
    const int64_t numbers[] = {m->layers, m->width, run->task.batch.seq_len, run->task.batch.global_batch,
                               tr_layout_chips(&run->layout), run->task.lora_rank, (int64_t)(intptr_t)run->where};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        hash = mix(hash, numbers[i]);
    return hash;
}

static enum tr_status read_run(struct table *t, struct tr_sample *s)
{
    struct tr_run *run = s->of.run = &t->samples->runs.at[t->row];
    int source = tr_csv_column(&t->samples->csv, "source");
    if (source >= 0)
        s->source = tr_csv_cell(&t->samples->csv, t->row, source);
    s->what = cell(t, 2);
    enum tr_status status =
        tr_run_read(&t->samples->runs, t->catalog, t->name, &t->samples->csv, t->row, run, &s->time_s, t->err);
    if (status == TR_BAD_INPUT) { /* a cell that is no number: the row is lost, not the table */
        if (!run->reason[0])
            snprintf(run->reason, sizeof run->reason, "%.190s", t->err->text);
        t->err->text[0] = 0, status = TR_OK;
    }
    if (run->layout_open)
        s->what = "layout open";
    if (run->reason[0])
        s->reason = run->reason;
    s->group = run_group(run, s);
    return status;
}

static enum tr_status read_row(struct table *t, struct tr_sample *s)
{
    s->line = t->samples->csv.line[t->row];
    s->source = cell(t, 1);
    enum tr_status status = find_chip(t, 0, &s->chip);
    if (status != TR_OK)
        return status;
    if (t->samples->kind == TR_MEASURED_GEMM)
        read_gemm(t, s);
    else if (t->samples->kind == TR_MEASURED_ATTENTION)
        read_attention(t, s);
    else if (t->samples->kind == TR_MEASURED_COLLECTIVE)
        read_collective(t, s);
    else
        status = read_run(t, s);
    if (status == TR_OK && !t->samples->chip[s->chip].known && !s->reason)
        s->reason = t->samples->chip[s->chip].reason;
    return status;
}

/* The format all of whose columns are there. */
static enum tr_status find_format(struct table *t)
{
    for (int kind = 0; kind < TR_MEASURED_KINDS; kind++) {
        int i = 0;
        for (; i < TR_TABLE_COLUMNS_MAX && formats[kind].columns[i]; i++) {
            t->column[i] = tr_csv_column(&t->samples->csv, formats[kind].columns[i]);
            if (t->column[i] < 0)
                break;
        }
        t->samples->kind = (enum tr_table_kind)kind;
        if (i == TR_TABLE_COLUMNS_MAX || !formats[kind].columns[i])
            return TR_OK;
    }
    struct tr_text known = {0};
    for (int kind = 0; kind < TR_MEASURED_KINDS; kind++) {
        tr_text_printf(&known, "%s%s (", kind ? "; " : "", formats[kind].name);
        for (int i = 0; i < TR_TABLE_COLUMNS_MAX && formats[kind].columns[i]; i++)
            tr_text_printf(&known, "%s%s", i ? "," : "", formats[kind].columns[i]);
        tr_text_append(&known, ")");
    }
    tr_fail(t->err, TR_BAD_INPUT, "%s: its columns are those of no table of measurements; known: %s", t->name,
            tr_text_str(&known));
    tr_text_free(&known);
    return TR_BAD_INPUT;
}

enum tr_status tr_samples_of(const char *name, struct tr_csv *csv, const struct tr_catalog *catalog,
                             struct tr_samples *out, struct tr_err *err)
{
    struct tr_samples samples = {.csv = *csv};
    struct table t = {.name = name, .samples = &samples, .catalog = catalog, .err = err};
    *csv = (struct tr_csv){0};
    enum tr_status status = find_format(&t);
    if (status == TR_OK) {
        samples.at = calloc((size_t)samples.csv.rows + 1, sizeof *samples.at);
        samples.chip = calloc(TR_SAMPLE_CHIPS_MAX, sizeof *samples.chip);
        if (!samples.at || !samples.chip)
            status = tr_fail(err, TR_FAILED, "%s: out of memory for its rows", name);
        if (status == TR_OK && samples.kind == TR_MEASURED_TRAIN)
            status = tr_runs_make(&samples.runs, samples.csv.rows, err);
    }
    for (t.row = 0; status == TR_OK && t.row < samples.csv.rows; t.row++)
        status = read_row(&t, &samples.at[samples.count++]);
    if (status != TR_OK) {
        tr_samples_free(&samples);
        return status;
    }
    *out = samples;
    return TR_OK;
}

enum tr_status tr_samples_read(const char *path, const struct tr_catalog *catalog, struct tr_samples *out,
                               struct tr_err *err)
{
    struct tr_csv csv;
    enum tr_status status = tr_csv_read(path, &csv, err);
    return status == TR_OK ? tr_samples_of(path, &csv, catalog, out, err) : status;
}

const char *tr_sample_id(const struct tr_samples *samples, const struct tr_sample *sample)
{
    int column = tr_csv_column(&samples->csv, "id");
    return column < 0 ? "" : tr_csv_cell(&samples->csv, sample - samples->at, column);
}

void tr_samples_free(struct tr_samples *samples)
{
    tr_csv_free(&samples->csv);
    free(samples->at);
    free(samples->chip);
    tr_runs_free(&samples->runs);
    *samples = (struct tr_samples){0};
}

/* Whole domains, and nobody else on their network. */
static struct tr_cost across_cost(const struct tr_system *system, const struct tr_rates *rates,
                                  const struct tr_collective_sample *c)
{
    int64_t local = domain_of(system);
    while (c->ranks % local)
        local--;
    struct tr_group group = {.ranks = c->ranks, .local = local, .sharing = 1, .stride = 1, .job = c->ranks};
    return tr_collective_price(system, rates, c->op % TR_COLLECTIVE_OLD, &group, c->bytes);
}

struct tr_cost tr_sample_cost(const struct tr_samples *samples, const struct tr_sample *sample,
                              const struct tr_rates *rates)
{
    TR_ASSERT(!sample->reason);
    const struct tr_gemm_sample *g = &sample->of.gemm;
    if (samples->kind == TR_MEASURED_GEMM)
        return tr_cost_gemm(rates, g->format, g->m, g->n, g->k, 1);
    if (samples->kind == TR_MEASURED_ATTENTION)
        return tr_cost_attention(rates, &sample->of.attention);
    const struct tr_collective_sample *c = &sample->of.collective;
    TR_ASSERT(samples->kind == TR_MEASURED_COLLECTIVE);
    const struct tr_sample_chip *chip = &samples->chip[sample->chip];
    if (is_across(chip, c))
        return across_cost(&chip->system, rates, c);
    return tr_cost_collective_of(rates, c->op, c->narrow, c->ranks, c->bytes, rates->link_bytes_s);
}
