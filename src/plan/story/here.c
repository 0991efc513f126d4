/* The chapters of this machine, what was predicted of it, the run, and the text. */
#include "base/chart.h"
#include "base/num.h"
#include "base/page.h"
#include "base/quantity.h"
#include "plan/story/inside.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER = TR_QUANTITY_BYTES, NOTE_BYTES = 96, TEXT_MAX_BYTES = 1500 };
/* A time axis ends at so many times what is usual. */
#define DRAWN_TIMES 2.0
/* A calibration whose own check was off by more was not alone on its machine. */
#define POOR_FIT .15

static bool is_bf16(const struct story *s) { return s->config.dtype == TR_BF16; }

static const char *percent(char buf[NUMBER], double share)
{
    snprintf(buf, NUMBER, "%.*f %%", share < .0995 ? 1 : 0, 100 * share);
    return buf;
}

/* ---- this machine ------------------------------------------------------------------------------------------------ */

static void put_reading(const struct story *s, struct tr_text *out)
{
    struct tr_bar bars[TR_READ_LEVELS];
    char label[TR_READ_LEVELS][NUMBER], note[TR_READ_LEVELS][NUMBER];
    int count = 0;
    for (int i = 0; i < TR_READ_LEVELS; i++) {
        if (!(s->most.machine.read_byte_s[i] > 0))
            continue;
        tr_print_bytes(label[count], tr_read_bytes[i]);
        tr_print_quantity(note[count], TR_UNIT_BYTES_S, s->most.machine.read_byte_s[i]);
        bars[count] = (struct tr_bar){label[count], s->most.machine.read_byte_s[i], note[count]};
        count++;
    }
    tr_chart_bars(out, "Reading, by how many bytes each thread goes through", bars, count);
}

/* The rate of a kind's multiply-adds alone: its first term, where that is FLOP/s. 0: it has none. */
static double flop_rate(const struct story *s, enum tr_op_kind kind)
{
    const struct tr_kernel_term *terms;
    const struct tr_kernel_price *price = &s->most.price[kind][is_bf16(s)];
    if (!price->known || tr_kernel_terms(kind, &terms) == 0 || terms[0].unit != TR_UNIT_FLOP_S ||
        !(price->unit_s[0] > 0))
        return 0;
    return 1 / price->unit_s[0];
}

static void put_kernels(const struct story *s, struct tr_text *out)
{
    struct tr_bar bars[TR_OP_KIND_COUNT];
    char note[TR_OP_KIND_COUNT][NOTE_BYTES], rate[NUMBER];
    double peak = s->most.machine.peak_flop_s[is_bf16(s)];
    int count = 0;
    for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++) {
        double flop_s = flop_rate(s, (enum tr_op_kind)kind);
        if (!(flop_s > 0))
            continue;
        snprintf(note[count], NOTE_BYTES, "%s, %.0f %%", tr_print_flop_s(rate, flop_s), 100 * flop_s / peak);
        bars[count] = (struct tr_bar){tr_op_operands((enum tr_op_kind)kind)->name, flop_s, note[count]};
        count++;
    }
    if (count == 0 || !(peak > 0))
        return;
    tr_text_append(out, "<div>\n");
    tr_chart_bars(out, "Main loops of trine's kernels, and their share of the peak", bars, count);
    tr_page_put(out, "p", "sub", "Fitted to the times of whole operations, and so at times above a peak that was measured by itself.");
    tr_text_append(out, "</div>\n");
}

/* A profile that is not of the run's machine describes the other one, and the page must not call that this. */
static void put_whose(const struct story *s, struct tr_text *out)
{
    const struct tr_kernel_rates *most = &s->most;
    char noise[NUMBER];
    if (s->differs.len)
        tr_page_put(out, "p", "no", "The profile is of another machine or trine than the run%s. What is called predicted is what the run would have taken there.",
                    tr_text_str(&s->differs));
    tr_page_put(out, "p", NULL,
                "%s with %d core%s, %s. Before anything was predicted it was measured (%s, %s): %d thread%s, whose bursts came "
                "within %s of one another.",
                most->processor, most->cores, most->cores == 1 ? "" : "s", most->isa,
                s->chip.memory_bytes.source ? s->chip.memory_bytes.source->title : "trine calibrate", s->chip.memory_bytes.date, most->threads,
                most->threads == 1 ? "" : "s", percent(noise, most->machine.noise));
}

/* Of the prices that the run was predicted by, which are those of a rank's threads. */
static void put_prices(const struct story *s, struct tr_text *out)
{
    char refined[TR_REFINED_WORDS_BYTES], unmeasured[TR_UNMEASURED_WORDS_BYTES];
    const int threads = s->rates.threads;
    if (threads != s->most.threads)
        tr_page_put(out, "p", NULL, "A rank of this run had %d thread%s: it was predicted by what so many take%s, and what follows is of all.", threads,
                    threads == 1 ? "" : "s", tr_kernel_unmeasured_words(&s->rates, unmeasured));
    if (tr_refined_runs(&s->rates.refined) > 0)
        tr_page_put(out, "p", NULL, "Its prices were calibrated%s, and so were their errors.", tr_refined_words(&s->rates.refined, refined));
    else if (s->rates.step_error > POOR_FIT)
        tr_page_put(out, "p", "no",
                    "Programs that the fit had not seen were off by %.0f %%: something else was at work here. Calibrated "
                    "when nothing is, this machine would be predicted better.",
                    100 * s->rates.step_error);
}

void story_machine(const struct story *s, int number, struct tr_text *out)
{
    const struct tr_kernel_machine *m = &s->most.machine;
    char a[NUMBER];
    story_chapter(out, number, s->differs.len ? "The machine of the profile" : "This machine");
    if (!s->predicted) {
        tr_text_append(out,
                       "<p>It was not calibrated, so nothing was predicted of this run: <code>trine calibrate</code> "
                       "measures it in a minute or a minute and a half, and <code>trine report RUN --profile profile.yaml</code> then "
                       "holds the run against that.</p>\n</section>\n");
        return;
    }
    put_whose(s, out);
    put_prices(s, out);
    tr_page_tiles(out);
    tr_page_tile(out, "peak in fp32", tr_print_flop_s(a, m->peak_flop_s[0]));
    tr_page_tile(out, "peak in bf16", tr_print_flop_s(a, m->peak_flop_s[1]));
    tr_page_tile(out, "memory bandwidth, reading",
                 tr_print_quantity(a, TR_UNIT_BYTES_S, m->read_byte_s[TR_READ_MEMORY]));
    tr_page_tile(out, "memory", tr_print_bytes(a, (int64_t)s->chip.memory_bytes.value));
    if (m->disk_byte_s > 0)
        tr_page_tile(out, "disk, written and synced", tr_print_quantity(a, TR_UNIT_BYTES_S, m->disk_byte_s));
    tr_page_end_tiles(out);
    tr_text_append(out, "<div class=\"charts\">\n");
    put_reading(s, out);
    put_kernels(s, out);
    tr_text_append(out, "</div>\n</section>\n");
}

/* ---- the prediction ---------------------------------------------------------------------------------------------- */

static void put_phases(const struct story *s, struct tr_text *out)
{
    enum { BETWEEN_OPS = TR_PHASE_COUNT, WAITS, PARTS };
    struct tr_bar bars[PARTS];
    char note[PARTS][NOTE_BYTES], time[NUMBER];
    double part_s[PARTS] = {[BETWEEN_OPS] = s->run.between_predicted_s, [WAITS] = s->run.wait_predicted_s};
    int count = 0;
    for (int i = 0; i < s->run.rows; i++)
        part_s[s->run.row[i].phase] += s->run.row[i].predicted_s;
    for (int i = 0; i < PARTS; i++) {
        if (!(part_s[i] > 0))
            continue;
        const char *name = i == WAITS ? "waits" : i == BETWEEN_OPS ? "between" : tr_phase_name((enum tr_phase)i);
        snprintf(note[count], NOTE_BYTES, "%s, %.1f %%", tr_print_time(time, part_s[i]),
                 100 * part_s[i] / s->run.predicted_s);
        bars[count] = (struct tr_bar){name, part_s[i], note[count]};
        count++;
    }
    tr_chart_bars(out, "The predicted step, by its stages", bars, count);
}

/* What kinds of operations are to a reader who has not met them. */
enum { PRODUCTS, ATTENTION, HEAD, PASSES, UPDATE, BETWEEN, WAITING, GROUPS };
static const char *const group_names[GROUPS] = {"matrix products",         "attention",       "logits and loss",
                                                "passes over activations", "sums and update", "between operations",
                                                "waiting for other ranks"};

static int group_of(const struct tr_run_row *row)
{
    switch (row->kind) {
    case TR_OP_LINEAR:
    case TR_OP_LINEAR_DX:
    case TR_OP_LINEAR_DW:
    case TR_OP_LINEAR_END:
        return PRODUCTS;
    case TR_OP_ATTN:
    case TR_OP_ATTN_BWD:
        return ATTENTION;
    case TR_OP_HEAD:
    case TR_OP_LOSS:
    case TR_OP_LOSS_SUM:
        return HEAD;
    default:
        return row->phase == TR_PHASE_UPDATE || row->phase == TR_PHASE_REDUCE ? UPDATE : PASSES;
    }
}

/* The same step twice: what it was to take, and what it took. */
void story_step(const struct story *s, struct tr_text *out)
{
    double predicted_s[GROUPS] = {0}, measured_s[GROUPS] = {0};
    char predicted[NUMBER], measured[NUMBER];
    for (int i = 0; i < s->run.rows; i++) {
        predicted_s[group_of(&s->run.row[i])] += s->run.row[i].predicted_s;
        measured_s[group_of(&s->run.row[i])] += s->run.row[i].measured_s;
    }
    predicted_s[BETWEEN] = s->run.between_predicted_s;
    measured_s[BETWEEN] = fmax(0, s->run.between_measured_s);
    predicted_s[WAITING] = s->run.wait_predicted_s;
    measured_s[WAITING] = s->run.wait_measured_s;
    const struct tr_stack_row rows[] = {{"predicted", predicted_s, tr_print_time(predicted, s->run.predicted_s)},
                                        {"measured", measured_s, tr_print_time(measured, s->run.measured_s)}};
    tr_chart_stacks(out, &(struct tr_stacks){.title = story_is_whole(s) ? "One step, by what takes its time"
                                                                          : "One step of the newest attempt, by what takes its time",
                                             .names = group_names,
                                             .part_count = s->ran.ranks > 1 ? GROUPS : WAITING,
                                             .rows = rows,
                                             .row_count = 2,
                                             .print = tr_print_time});
}

void story_prediction(const struct story *s, int number, struct tr_text *out)
{
    char a[NUMBER], b[NUMBER], value[2 * NUMBER];
    double calls = 0, flop = 0;
    for (int i = 0; i < s->run.rows; i++)
        calls += s->run.row[i].calls, flop += s->run.row[i].flop;
    story_chapter(out, number, "The prediction");
    tr_page_put(
        out, "p", NULL,
        "A step is written down as a list of operations before it runs. Each is priced by the rates above, which were "
        "fitted to small programs of other shapes%s.",
        s->run.learned_from ? " and to runs; this run is one of them, so what stands here was not said before it"
                            : "; of this run itself the prediction knows nothing");
    tr_page_tiles(out);
    snprintf(value, sizeof value, "a step, ± %.0f %% (80 %% interval)", 100 * s->run.error);
    tr_page_tile(out, story_has_interval(s) ? value : "a step, but for moving bytes", tr_print_time(a, s->run.predicted_s));
    tr_page_tile(out, "all steps", tr_print_time(a, (double)story_steps(s) * s->run.predicted_s));
    if (s->ran.predicted.run_s > 0 && story_is_whole(s)) {
        snprintf(value, sizeof value, "with evaluations, samples, checkpoints, ± %.0f %%", 100 * s->ran.predicted.run_error);
        tr_page_tile(out, value, tr_print_time(a, s->ran.predicted.run_s));
    }
    tr_page_tile(out, "operations a step", tr_print_quantity(a, TR_UNIT_COUNT, calls));
    tr_page_tile(out, "arithmetic a step", tr_print_quantity(a, TR_UNIT_FLOP, flop));
    tr_page_tile(out, "memory", tr_print_bytes(b, s->run.planned_bytes));
    tr_page_end_tiles(out);
    put_phases(s, out);
    tr_text_append(out, "</section>\n");
}

/* ---- the run ----------------------------------------------------------------------------------------------------- */

/* What so large a share of the finite values does not exceed, by a sorted copy; NAN: there are none, or no memory. */
static double quantile(const double *values, int64_t count, double share)
{
    double *copy = malloc((size_t)(count + 1) * sizeof *copy), found = NAN;
    int64_t n = 0;
    if (!copy)
        return NAN;
    for (int64_t i = 0; i < count; i++)
        if (isfinite(values[i]))
            copy[n++] = values[i];
    qsort(copy, (size_t)n, sizeof *copy, tr_ascending);
    if (n)
        found = copy[(int64_t)((double)(n - 1) * share)];
    free(copy);
    return found;
}

static void put_loss(const struct story *s, struct tr_text *out)
{
    const struct tr_run_files *f = &s->files;
    const struct tr_series series[] = {
        {.name = "training", .x = f->step, .y = f->value[TR_CURVE_LOSS], .count = f->step_count},
        {.name = "validation", .x = f->eval_step, .y = f->eval[TR_EVAL_LOSS], .count = f->eval_count, .points = true}};
    tr_chart_lines(out, &(struct tr_chart){.title = "Loss",
                                           .y_label = "nats a token",
                                           .x_label = "step",
                                           .series = series,
                                           .series_count = f->eval_count ? 2 : 1});
}

/* What is drawn of a step's time at most: one that waited for the machine must not flatten all others. */
static double most_drawn_s(const struct story *s)
{
    double usual_s = quantile(s->files.value[TR_CURVE_STEP_S], s->files.step_count, .9);
    return DRAWN_TIMES * (s->predicted ? fmax(usual_s, s->run.predicted_s * (1 + s->run.error)) : usual_s);
}

static void put_step_times(const struct story *s, struct tr_text *out)
{
    const struct tr_run_files *f = &s->files;
    double *ms = malloc((size_t)f->step_count * sizeof *ms), most_s = most_drawn_s(s);
    char name[NOTE_BYTES], time[NUMBER];
    if (!ms)
        return;
    for (int64_t i = 0; i < f->step_count; i++) {
        double step_s = f->value[TR_CURVE_STEP_S][i];
        ms[i] = 1e3 * (step_s > most_s ? most_s : step_s);
    }
    const struct tr_series series = {.name = "a step", .x = f->step, .y = ms, .count = f->step_count};
    struct tr_band band = {.name = name};
    if (s->predicted) {
        double middle = 1e3 * s->run.predicted_s;
        band.low = middle * fmax(0, 1 - s->run.error), band.middle = middle, band.high = middle * (1 + s->run.error);
        snprintf(name, sizeof name, "predicted %s ± %.0f %%", tr_print_time(time, s->run.predicted_s),
                 100 * s->run.error);
    }
    tr_chart_lines(out, &(struct tr_chart){.title = "What each step took",
                                           .y_label = "ms",
                                           .x_label = "step",
                                           .series = &series,
                                           .series_count = 1,
                                           .from_zero = true,
                                           .band = s->predicted ? &band : NULL});
    free(ms);
}

/* Steps beyond what is drawn. */
static void say_outliers(const struct story *s, struct tr_text *line)
{
    double most_s = most_drawn_s(s), longest_s = 0;
    char edge[NUMBER], longest[NUMBER];
    int64_t count = 0;
    for (int64_t i = 0; i < s->files.step_count; i++) {
        double step_s = s->files.value[TR_CURVE_STEP_S][i];
        if (step_s > most_s) {
            count++;
            longest_s = fmax(longest_s, step_s);
        }
    }
    if (count)
        tr_text_printf(line, " %lld took longer than %s, up to %s: they are in the mean, and drawn at the edge.",
                       (long long)count, tr_print_time(edge, most_s), tr_print_time(longest, longest_s));
}

/* " the cores gave 98 %", of what was calibrated. */
static void say_share(const char *what, double first, double last, double then, struct tr_text *line)
{
    tr_text_printf(line, " %s %.0f %%", what, 100 * first / then);
    if (last > 0)
        tr_text_printf(line, " when it began and %.0f %% when it ended", 100 * last / then);
}

/* What the run saw of the machine, beside the calibration. */
static void say_machine_now(const struct story *s, struct tr_text *line)
{
    char now[NUMBER];
    const struct tr_run_explained *run = &s->run;
    const struct tr_looks *looks = &run->ran.looks;
    if (!(run->peak_then_flop_s > 0) || !(run->ran.peak_flop_s > 0))
        return;
    tr_text_append(line, looks->last.peak_flop_s > 0 ? " Of the rates that had been calibrated" : " When the run began, of the rates that had been calibrated");
    say_share("the cores gave", run->ran.peak_flop_s, looks->last.peak_flop_s, run->peak_then_flop_s, line);
    if (run->memory_then_byte_s > 0 && looks->first_read_byte_s > 0)
        say_share(run->read_memory ? "and memory" : "and caches", looks->first_read_byte_s, looks->last.read_byte_s, run->memory_then_byte_s, line);
    if (run->apart_share > 0)
        tr_text_printf(line, "; in %.0f %% of its time two cores were apart, with no cache in common", 100 * run->apart_share);
    tr_text_printf(line, "; of a machine like that %s a step would be predicted%s.", tr_print_time(now, run->now_s),
                   tr_run_looks_tell(run) ? "" : ", further off: that was of moments");
}

/* Of a run that came to its end in one attempt. */
static void say_end(const struct story *s, struct tr_text *line)
{
    char said[NUMBER], met[TR_MET_WORDS_BYTES];
    const struct tr_train_predicted *p = &s->ran.predicted;
    if (!(p->run_s > 0) || !(s->ran.wall_s > 0) || !story_is_whole(s) || (double)story_steps(s) < s->files.steps_planned)
        return;
    tr_text_printf(line, " Before it began it was said to take %s ± %.0f %%, evaluations, samples and checkpoints included; it %s.",
                   tr_print_time(said, p->run_s), 100 * p->run_error, tr_here_met(p->run_s, p->run_error, s->ran.wall_s, met));
}

static void say_steps(const struct story *s, struct tr_text *out)
{
    const double *step_s = s->files.value[TR_CURVE_STEP_S];
    const int64_t count = s->files.step_count;
    const double crowded = tr_run_profile_crowded(&s->ran);
    char a[NUMBER], b[NUMBER], c[NUMBER];
    struct tr_text line = {0};
    if (isfinite(quantile(step_s, count, 0)))
        tr_text_printf(&line, "A tenth of the steps took %s at most, and half of them from %s to %s.",
                       tr_print_time(a, quantile(step_s, count, .1)), tr_print_time(b, quantile(step_s, count, .25)),
                       tr_print_time(c, quantile(step_s, count, .75)));
    say_outliers(s, &line);
    if (!story_is_whole(s) && (crowded > 0 || s->predicted))
        tr_text_append(&line, " What follows is of the newest attempt alone.");
    if (crowded > 0)
        tr_text_printf(&line, " Other programs had cores that it wanted in %.3g %% of the time.", 100 * crowded);
    if (s->predicted)
        say_machine_now(s, &line);
    say_end(s, &line);
    if (line.len)
        tr_page_put(out, "p", NULL, "%s", tr_text_str(&line));
    tr_text_free(&line);
}

void story_run(const struct story *s, int number, struct tr_text *out)
{
    char a[NUMBER];
    double mfu = quantile(s->files.value[TR_CURVE_MFU], s->files.step_count, .5);
    story_chapter(out, number, "The run");
    tr_page_tiles(out);
    snprintf(a, sizeof a, "%lld of %.0f", (long long)story_steps(s), s->files.steps_planned);
    tr_page_tile(out, "steps", a);
    tr_page_tile(out, "in steps", tr_print_time(a, story_steps_s(s)));
    if (s->ran.wall_s > 0 && story_is_whole(s))
        tr_page_tile(out, "from the first step to the last save", tr_print_time(a, s->ran.wall_s));
    tr_page_tile(out, "tokens a second", tr_print_quantity(a, TR_UNIT_COUNT, story_tokens_s(s)));
    if (mfu > 0)
        tr_page_tile(out, "of the peak as the model's own arithmetic (MFU), median", percent(a, mfu));
    tr_page_tile(out, "memory of the process, data and libraries included", tr_print_bytes(a, s->ran.peak_bytes));
    tr_page_end_tiles(out);
    say_steps(s, out);
    tr_text_append(out, "<div class=\"charts\">\n");
    put_loss(s, out);
    put_step_times(s, out);
    tr_text_append(out, "</div>\n</section>\n");
}

/* ---- what was learned -------------------------------------------------------------------------------------------- */

static void put_step_tile(const char *what, const struct tr_run_explained *run, struct tr_text *out)
{
    char label[2 * NUMBER], time[NUMBER];
    snprintf(label, sizeof label, "%s, ± %.1f %%", what, 100 * run->error);
    tr_page_tile(out, label, tr_print_time(time, run->predicted_s));
}

/* The first step, which is cold, was not learned from. */
void story_learned(const struct story *s, int number, struct tr_text *out)
{
    char took[NUMBER];
    story_chapter(out, number, "What was learned");
    if (s->not_learned.len) {
        tr_page_put(out, "p", "no", "Nothing. The run was left out, and the profile is as it was: %s.", tr_text_str(&s->not_learned));
        tr_text_append(out, "</section>\n");
        return;
    }
    tr_page_put(out, "p", NULL,
                "What the run took then refined the profile: each kind of operation is now said to take between what it took when the machine was "
                "calibrated and what it took here. If the same run began now, this would be predicted:");
    tr_page_tiles(out);
    put_step_tile("a step, as predicted before", &s->run, out);
    put_step_tile("a step, as predicted now", &s->after, out);
    if (s->run.warm_s > 0)
        tr_page_tile(out, story_is_whole(s) ? "a step, as it was, the first left out" : "a step of the newest attempt, its first left out", tr_print_time(took, s->run.warm_s));
    tr_page_end_tiles(out);
    tr_text_append(out, "</section>\n");
}

/* ---- what it writes ---------------------------------------------------------------------------------------------- */

/* The newest sample: behind the last line "== step N ==". */
static const char *newest_sample(const struct story *s)
{
    static const char mark[] = "== step ";
    const char *text = s->files.samples.at, *newest = NULL;
    for (const char *at = text; at && (at = strstr(at, mark)) != NULL; at += strlen(mark))
        if (at == text || at[-1] == '\n')
            newest = at;
    newest = newest ? strchr(newest, '\n') : NULL;
    return newest ? newest + 1 : NULL;
}

bool story_has_text(const struct story *s)
{
    const char *sample = newest_sample(s);
    return sample && sample[strspn(sample, " \n\r\t")] != '\0';
}

static void put_bits(const struct story *s, struct tr_text *out)
{
    const struct tr_run_files *f = &s->files;
    const struct tr_series series = {
        .name = "validation", .x = f->eval_step, .y = f->eval[TR_EVAL_BPB], .count = f->eval_count, .points = true};
    if (f->eval_count > 1)
        tr_chart_lines(out, &(struct tr_chart){.title = "Text that it has not seen",
                                               .y_label = "bits for each byte of it",
                                               .x_label = "step",
                                               .series = &series,
                                               .series_count = 1,
                                               .from_zero = true});
}

void story_text(const struct story *s, int number, struct tr_text *out)
{
    const char *sample = newest_sample(s);
    struct tr_text text = {0};
    size_t length = strlen(sample), most = length < TEXT_MAX_BYTES ? length : tr_utf8_prefix(sample, TEXT_MAX_BYTES);
    while (most && strchr(" \n\r\t", sample[most - 1]))
        most--;
    tr_text_append_bytes(&text, sample, most);
    if (length > TEXT_MAX_BYTES)
        tr_text_append(&text, " …");
    story_chapter(out, number, "What it writes");
    tr_text_append(out, "<div class=\"charts\"><div>\n");
    tr_page_verbatim(out, "blockquote", tr_text_str(&text));
    tr_text_free(&text);
    if (s->config.sample_prompt[0])
        tr_page_put(out, "p", "sub", "The model's own words after %lld steps, at temperature %g, going on from “%s”.",
                    (long long)story_steps(s), s->config.sample_temperature, s->config.sample_prompt);
    else
        tr_page_put(out, "p", "sub", "The model's own words after %lld steps, at temperature %g.",
                    (long long)story_steps(s), s->config.sample_temperature);
    tr_text_append(out, "</div>\n");
    put_bits(s, out);
    tr_text_append(out, "</div>\n</section>\n");
}
