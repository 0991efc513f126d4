#include "base/json.h"
#include "base/num.h"
#include "base/table.h"
#include "plan/run/run.h"
#include "plan/validate/validate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void price_run(const struct tr_sample *sample, struct tr_score_row *row)
{
    struct tr_run *run = sample->of.run;
    struct tr_err why;
    if (tr_run_price(run, &row->step, &row->layout, &why) != TR_OK) {
        snprintf(run->reason, sizeof run->reason, "%.190s", why.text);
        row->reason = run->reason;
        return;
    }
    row->cost = (struct tr_cost){.time_s = row->step.time_s, .error = row->step.error, .grade = row->step.grade};
    row->error = row->step.time_s / sample->time_s - 1;
}

/* More than any of the catalog's chips keeps near its cores, AMD's memory-side caches included. */
static const double cached_bytes = 256e6;

/* Of both operands and the result, each once. */
static double product_bytes(const struct tr_gemm_sample *g)
{
    const struct tr_format_info *info = tr_format_info(g->format);
    double m = (double)g->m, n = (double)g->n, k = (double)g->k;
    return m * k * info->x_bytes + n * k * info->w_bytes + m * n * info->y_bytes;
}

/* No chip multiplies or moves bytes faster than its data sheet says: such a row is of another chip, format or unit of time. Of a product
 * what a cache may have held is not counted; of a sum over ranks what a switch that adds saves. NULL: it may be. */
static const char *impossible(const struct tr_samples *samples, const struct tr_sample *sample, const struct tr_cost *cost)
{
    const struct tr_rates *rates = &samples->chip[sample->chip].rates;
    const double slack = 1.1; /* of bytes: clocks of memory and links are given in round numbers */
    if (samples->kind == TR_MEASURED_COLLECTIVE)
        return cost->bytes / 2 > slack * rates->link_bytes_s * sample->time_s ? "cannot be: more bytes/s than the chip's links have" : NULL;
    const bool gemm = samples->kind == TR_MEASURED_GEMM;
    enum tr_format format = gemm ? sample->of.gemm.format : sample->of.attention.format;
    if (cost->flop > rates->flop_s[tr_format_info(format)->rate] * sample->time_s)
        return "cannot be: more FLOP/s than the chip has in this number format";
    if (gemm && product_bytes(&sample->of.gemm) - cached_bytes > slack * rates->memory_bytes_s * sample->time_s)
        return "cannot be: more bytes/s than the chip's memory has";
    return NULL;
}

static void price(const struct tr_samples *samples, const struct tr_sample *sample, struct tr_score_row *row)
{
    *row = (struct tr_score_row){.sample = sample, .cost = {.time_s = INFINITY}, .reason = sample->reason};
    if (row->reason)
        return;
    if (samples->kind == TR_MEASURED_TRAIN) {
        price_run(sample, row);
        return;
    }
    row->cost = tr_sample_cost(samples, sample, &samples->chip[sample->chip].rates);
    if (!isfinite(row->cost.time_s))
        row->reason = "the chip has no units for this number format";
    else
        row->reason = impossible(samples, sample, &row->cost);
    if (!row->reason)
        row->error = row->cost.time_s / sample->time_s - 1;
}

/* --- lines --- */

static int compare_labels(const struct tr_score *score, const struct tr_score_row *a, const struct tr_score_row *b)
{
    const struct tr_sample_chip *chip = score->samples->chip;
    int order = strcmp(chip[a->sample->chip].name, chip[b->sample->chip].name);
    if (order == 0)
        order = strcmp(a->sample->what, b->sample->what);
    return order ? order : strcmp(a->sample->source, b->sample->source);
}

/* The line of which rows are; `errors` has room for all of them. */
static struct tr_score_line sum_up(const struct tr_score *score, const int64_t *rows, int64_t count, double *errors)
{
    struct tr_score_line line = {.rows = count};
    int64_t inside = 0;
    for (int64_t i = 0; i < count; i++) {
        const struct tr_score_row *row = &score->row[rows[i]];
        if (row->reason)
            continue;
        double size = fabs(row->error);
        line.mape += size;
        line.bias += row->error;
        line.worst = fmax(line.worst, size);
        inside += fabs(row->sample->time_s / row->cost.time_s - 1) <= row->cost.error;
        errors[line.covered++] = size;
    }
    if (line.covered == 0)
        return line;
    qsort(errors, (size_t)line.covered, sizeof *errors, tr_ascending);
    line.regret = tr_score_regret(score, rows, count);
    line.median = (errors[(line.covered - 1) / 2] + errors[line.covered / 2]) / 2;
    line.mape /= (double)line.covered;
    line.bias /= (double)line.covered;
    line.inside = (double)inside / (double)line.covered;
    return line;
}

/* Rows by label, in the order of the table within one: merge sort, since qsort has no context. */
static void sort_rows(const struct tr_score *score, int64_t *rows, int64_t *spare, int64_t count)
{
    if (count < 2)
        return;
    int64_t half = count / 2, a = 0, b = half;
    sort_rows(score, rows, spare, half);
    sort_rows(score, rows + half, spare, count - half);
    for (int64_t i = 0; i < count; i++) {
        bool left = a < half && (b == count ||
                                 compare_labels(score, &score->row[rows[a]], &score->row[rows[b]]) <= 0);
        spare[i] = left ? rows[a++] : rows[b++];
    }
    memcpy(rows, spare, (size_t)count * sizeof *rows);
}

static bool is_open(const struct tr_sample *sample, enum tr_table_kind kind)
{
    return kind == TR_MEASURED_TRAIN && sample->of.run->layout_open;
}

static enum tr_status make_lines(struct tr_score *score, struct tr_err *err)
{
    int64_t count = score->samples->count;
    int64_t *rows = calloc((size_t)count + 1, sizeof *rows), *spare = calloc((size_t)count + 1, sizeof *spare);
    double *errors = calloc((size_t)count + 1, sizeof *errors);
    score->line = calloc((size_t)count + 1, sizeof *score->line);
    bool enough = rows && spare && errors && score->line;
    int64_t open = 0; /* first those whose layout is said, then the others */
    for (int64_t i = 0; enough && i < count; i++)
        if (is_open(score->row[i].sample, score->samples->kind))
            rows[count - ++open] = i;
        else
            rows[i - open] = i;
    if (enough) {
        score->all = sum_up(score, rows, count - open, errors);
        score->open = sum_up(score, rows + count - open, open, errors);
        score->all.chip = "all", score->all.what = score->all.source = score->open.source = "";
        score->open.chip = "apart", score->open.what = "layout open";
        sort_rows(score, rows, spare, count);
    }
    for (int64_t i = 0, end; enough && i < count; i = end) {
        const struct tr_score_row *first = &score->row[rows[i]];
        for (end = i; end < count && compare_labels(score, first, &score->row[rows[end]]) == 0;)
            end++;
        struct tr_score_line *line = &score->line[score->line_count++];
        *line = sum_up(score, rows + i, end - i, errors);
        line->source = first->sample->source;
        line->chip = score->samples->chip[first->sample->chip].name;
        line->what = first->sample->what;
    }
    free(rows);
    free(spare);
    free(errors);
    return enough ? TR_OK : tr_fail(err, TR_FAILED, "out of memory for the score of %lld rows", (long long)count);
}

enum tr_status tr_validate(const struct tr_samples *samples, struct tr_score *out, struct tr_err *err)
{
    struct tr_score score = {.samples = samples};
    score.row = calloc((size_t)samples->count + 1, sizeof *score.row);
    if (!score.row)
        return tr_fail(err, TR_FAILED, "out of memory for %lld predictions", (long long)samples->count);
    for (int64_t i = 0; i < samples->count; i++)
        price(samples, &samples->at[i], &score.row[i]);
    enum tr_status status = make_lines(&score, err);
    if (status != TR_OK)
        tr_score_free(&score);
    else
        *out = score;
    return status;
}

void tr_score_free(struct tr_score *score)
{
    free(score->row);
    free(score->line);
    *score = (struct tr_score){0};
}

/* --- answers --- */

/* What a line says beside its rows and how many are covered: once, for all forms of the answer. */
struct figure {
    const char *title, *key; /* in the terminal; in JSON and CSV */
    bool known, whole;       /* whole: counted, else a share */
    double value;
};
enum { FIGURES_MAX = 9 };

static int line_figures(const struct tr_score *score, const struct tr_score_line *line, struct figure figure[FIGURES_MAX])
{
    const struct tr_regret *regret = &line->regret;
    bool covered = line->covered > 0, chosen = regret->groups > 0;
    const struct figure all[FIGURES_MAX] = {
        {"MAPE", "mape", covered, false, line->mape},
        {"median", "median", covered, false, line->median},
        {"worst", "worst", covered, false, line->worst},
        {"bias", "bias", covered, false, line->bias},
        {"in 80 %", "inside_80", covered, false, line->inside},
        {"groups", "groups", true, true, (double)regret->groups},
        {"within 1 %", "within_1_percent", chosen, true, (double)regret->within_1},
        {"regret", "regret", chosen, false, regret->mean},
        {"worst regret", "worst_regret", chosen, false, regret->worst},
    };
    memcpy(figure, all, sizeof all);
    return score->samples->kind == TR_MEASURED_TRAIN ? FIGURES_MAX : 5; /* operations have no layouts to choose from */
}

static void text_line(struct tr_table *table, const struct tr_score *score, const struct tr_score_line *line)
{
    struct figure figure[FIGURES_MAX];
    int count = line_figures(score, line, figure);
    tr_table_cell(table, "%lld", (long long)line->rows);
    tr_table_cell(table, "%.1f %%", line->rows ? 100 * (double)line->covered / (double)line->rows : 0);
    for (int i = 0; i < count; i++)
        if (!figure[i].known)
            tr_table_cell(table, "-");
        else if (figure[i].whole)
            tr_table_cell(table, "%.0f", figure[i].value);
        else
            tr_table_cell(table, "%.1f %%", 100 * figure[i].value);
}

/* Each reason once, with how many rows have it. */
static void text_reasons(const struct tr_score *score, struct tr_text *out)
{
    enum { MAX = 512 };
    const char *reason[MAX];
    int64_t rows[MAX], others = 0;
    int count = 0;
    for (int64_t i = 0; i < score->samples->count; i++) {
        int at = 0;
        if (!score->row[i].reason)
            continue;
        while (at < count && strcmp(reason[at], score->row[i].reason) != 0)
            at++;
        if (at == MAX) {
            others++;
            continue;
        }
        if (at == count) {
            reason[count] = score->row[i].reason;
            rows[count++] = 0;
        }
        rows[at]++;
    }
    for (int i = 0; i < count; i++)
        tr_text_printf(out, "not covered: %lld rows: %s\n", (long long)rows[i], reason[i]);
    if (others)
        tr_text_printf(out, "not covered: %lld rows: for other reasons\n", (long long)others);
}

static void text_memory(const struct tr_score *score, struct tr_text *out)
{
    for (int allocated = 1; allocated >= 0; allocated--) {
        struct tr_memory_score memory;
        struct tr_err err;
        if (tr_score_memory(score, allocated, &memory, &err) != TR_OK || memory.rows == 0)
            continue;
        tr_text_printf(out, "memory, %s: %lld rows, MAPE %.1f %%, median %.1f %%, worst %.1f %%, bias %+.1f %%, in 80 %% "
                       "intervals %.0f %%\n",
                       allocated ? "as allocated" : "of the device, or not said", (long long)memory.rows,
                       100 * memory.mape, 100 * memory.median, 100 * memory.worst, 100 * memory.bias, 100 * memory.inside);
    }
}

/* Whether a line before this one is of its source. */
static bool is_source_again(const struct tr_score *score, int64_t line)
{
    for (int64_t i = 0; i < line; i++)
        if (strcmp(score->line[i].source, score->line[line].source) == 0)
            return true;
    return false;
}

static void text_floors(const struct tr_score *score, struct tr_text *out)
{
    for (int64_t i = 0; i < score->line_count; i++) {
        struct tr_floor floor;
        struct tr_err err;
        if (is_source_again(score, i) || tr_score_floor(score, score->line[i].source, &floor, &err) != TR_OK || !floor.runs)
            continue;
        tr_text_printf(out, "the floor, by runs that are there again: %s: %lld rows of %lld runs, mean %.1f %% from their median, "
                       "worst %.0f %%\n", score->line[i].source, (long long)floor.rows, (long long)floor.runs,
                       100 * floor.mean, 100 * floor.worst);
    }
}

static void text_regret(const struct tr_regret *regret, struct tr_text *out)
{
    if (regret->groups)
        tr_text_printf(out, "regret of the layout predicted fastest: %lld groups of layouts, %lld within 1 %%, mean %.1f %%, "
                            "worst %.1f %% (line %lld)\n",
                       (long long)regret->groups, (long long)regret->within_1, 100 * regret->mean, 100 * regret->worst,
                       (long long)regret->worst_line);
}

/* What plans take as alike in time, and what is half as far apart again. */
static void text_order(const struct tr_score *score, struct tr_text *out)
{
    const struct tr_pair_order order = tr_score_order(score);
    if (order.alike.pairs + order.next.pairs)
        tr_text_printf(out, "layouts of one run that are predicted within %g %% of each other: %lld pairs, in %lld the one predicted faster was; "
                            "%g to %g %%: %lld pairs, in %lld\n",
                       100 * TR_PLAN_ALIKE, (long long)order.alike.pairs, (long long)order.alike.right, 100 * TR_PLAN_ALIKE,
                       200 * TR_PLAN_ALIKE, (long long)order.next.pairs, (long long)order.next.right);
}

static void text_labelled(struct tr_table *table, const struct tr_score *score, const struct tr_score_line *line)
{
    tr_table_cell(table, "%s", line->chip);
    tr_table_cell(table, "%s", line->what);
    tr_table_cell(table, "%s", line->source);
    text_line(table, score, line);
}

static void text_lines(const struct tr_score *score, struct tr_text *out)
{
    struct figure figure[FIGURES_MAX];
    int count = line_figures(score, &score->all, figure);
    struct tr_table table = {0};
    tr_table_column(&table, "chip", TR_LEFT);
    tr_table_column(&table, "what", TR_LEFT);
    tr_table_column(&table, "source", TR_LEFT);
    tr_table_column(&table, "rows", TR_RIGHT);
    tr_table_column(&table, "covered", TR_RIGHT);
    for (int i = 0; i < count; i++)
        tr_table_column(&table, figure[i].title, TR_RIGHT);
    for (int64_t i = 0; i < score->line_count; i++)
        text_labelled(&table, score, &score->line[i]);
    tr_table_rule(&table);
    text_labelled(&table, score, &score->all);
    if (score->open.rows)
        text_labelled(&table, score, &score->open);
    tr_table_text(&table, out);
    tr_table_free(&table);
}

void tr_score_text(const struct tr_score *score, struct tr_text *out)
{
    text_lines(score, out);
    text_regret(&score->all.regret, out);
    if (score->samples->kind == TR_MEASURED_TRAIN) {
        text_order(score, out);
        text_floors(score, out);
    }
    text_memory(score, out);
    text_reasons(score, out);
}

static void json_line(struct tr_json *json, const char *key, const struct tr_score *score, const struct tr_score_line *line)
{
    struct figure figure[FIGURES_MAX];
    int count = line_figures(score, line, figure);
    tr_json_object(json, key);
    if (!key) {
        tr_json_string(json, "chip", line->chip);
        tr_json_string(json, "what", line->what);
        tr_json_string(json, "source", line->source);
    }
    tr_json_int(json, "rows", line->rows);
    tr_json_int(json, "covered", line->covered);
    for (int i = 0; i < count; i++)
        tr_json_double(json, figure[i].key, figure[i].known ? figure[i].value : NAN);
    tr_json_end(json);
}

void tr_score_json(const struct tr_score *score, struct tr_text *out)
{
    struct tr_json json = tr_json_start(out, TR_JSON_PRETTY);
    tr_json_object(&json, NULL);
    tr_json_string(&json, "format", tr_table_format(score->samples->kind)->name);
    json_line(&json, "all", score, &score->all);
    if (score->samples->kind == TR_MEASURED_TRAIN)
        json_line(&json, "layout_open", score, &score->open);
    tr_json_array(&json, "lines");
    for (int64_t i = 0; i < score->line_count; i++)
        json_line(&json, NULL, score, &score->line[i]);
    tr_json_end(&json);
    tr_json_array(&json, "not_covered");
    for (int64_t i = 0; i < score->samples->count; i++) {
        if (!score->row[i].reason)
            continue;
        tr_json_object(&json, NULL);
        tr_json_int(&json, "line", score->row[i].sample->line);
        tr_json_string(&json, "reason", score->row[i].reason);
        tr_json_end(&json);
    }
    tr_json_end(&json);
    tr_json_end(&json);
    tr_text_char(out, '\n');
}

void tr_score_summary(const struct tr_score *score, struct tr_text *out)
{
    struct figure figure[FIGURES_MAX];
    int count = line_figures(score, &score->all, figure);
    tr_text_append(out, "chip,what,source,rows,covered");
    for (int i = 0; i < count; i++)
        tr_text_printf(out, ",%s", figure[i].key);
    tr_text_char(out, '\n');
    for (int64_t i = 0; i < score->line_count; i++) {
        const struct tr_score_line *line = &score->line[i];
        tr_csv_append(out, line->chip);
        tr_text_char(out, ',');
        tr_csv_append(out, line->what);
        tr_text_char(out, ',');
        tr_csv_append(out, line->source);
        tr_text_printf(out, ",%lld,%lld", (long long)line->rows, (long long)line->covered);
        line_figures(score, line, figure);
        for (int j = 0; j < count; j++) {
            tr_text_char(out, ',');
            if (figure[j].known)
                tr_text_printf(out, "%.*f", figure[j].whole ? 0 : 4, figure[j].value);
        }
        tr_text_char(out, '\n');
    }
}

/* Of a training run: its layout, what its time and its memory are made of. */
static void csv_run_names(struct tr_text *out)
{
    tr_text_append(out, ",layout,stack");
    for (int i = 0; i < TR_TERM_COUNT; i++)
        tr_text_printf(out, ",%s s", tr_term_name((enum tr_term)i));
    tr_text_append(out, ",memory_printed GB,memory GB");
    for (int i = 0; i < TR_MEM_COUNT; i++)
        tr_text_printf(out, ",%s GB", tr_mem_name((enum tr_mem)i));
}

static void csv_run(struct tr_text *out, const struct tr_score_row *row)
{
    char layout[TR_LAYOUT_TEXT_BYTES];
    if (row->reason) {
        tr_text_fill(out, ',', 4 + TR_TERM_COUNT + TR_MEM_COUNT);
        return;
    }
    tr_text_char(out, ',');
    tr_csv_append(out, tr_layout_print(&row->layout, layout));
    tr_text_printf(out, ",%s", row->sample->of.run->where->stack.name);
    for (int i = 0; i < TR_TERM_COUNT; i++)
        tr_text_printf(out, ",%.5g", row->step.term_s[i]);
    tr_text_printf(out, ",%.4g,%.4g", row->sample->of.run->memory_bytes / 1e9, row->step.memory_bytes / 1e9);
    for (int i = 0; i < TR_MEM_COUNT; i++)
        tr_text_printf(out, ",%.4g", row->step.memory[i] / 1e9);
}

void tr_score_csv(const struct tr_score *score, struct tr_text *out)
{
    bool train = score->samples->kind == TR_MEASURED_TRAIN;
    tr_text_append(out, "line,id,chip,what,source,measured_us,predicted_us,error,interval_80,bound,grade,reason");
    if (train)
        csv_run_names(out);
    tr_text_char(out, '\n');
    for (int64_t i = 0; i < score->samples->count; i++) {
        const struct tr_score_row *row = &score->row[i];
        const char *const label[] = {tr_sample_id(score->samples, row->sample), score->samples->chip[row->sample->chip].name,
                                     row->sample->what, row->sample->source};
        tr_text_printf(out, "%lld", (long long)row->sample->line);
        for (size_t j = 0; j < sizeof label / sizeof *label; j++) {
            tr_text_char(out, ',');
            tr_csv_append(out, label[j]);
        }
        tr_text_printf(out, ",%.6g,", row->sample->time_s * 1e6);
        if (row->reason)
            tr_text_append(out, ",,,,,");
        else
            tr_text_printf(out, "%.6g,%.4f,%.4f,%s,%s,", row->cost.time_s * 1e6, row->error, row->cost.error,
                           train ? "" : tr_bound_name(row->cost.bound), tr_grade_name(row->cost.grade));
        if (row->reason)
            tr_csv_append(out, row->reason);
        if (train)
            csv_run(out, row);
        tr_text_char(out, '\n');
    }
}
