#include "lab/report/report.h"

#include "base/chart.h"
#include "base/num.h"
#include "base/os.h"
#include "base/page.h"
#include "base/quantity.h"
#include "base/text.h"
#include "lab/model/program.h"
#include "lab/report/run_files.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPS_MAX = 512, KINDS_MAX = 32, BARS_MAX = 16, RANKS_DRAWN = 64, NOTE_BYTES = 96, NAME_BYTES = 48 };

/* ---- small pieces ------------------------------------------------------------------------------------------------ */

/* Median of the finite values; NaN when there is none. Reorders a copy. */
static double median(const double *values, int64_t count)
{
    double *copy = malloc((size_t)(count + 1) * sizeof *copy);
    int64_t n = 0;
    if (copy == NULL)
        return (double)NAN;
    for (int64_t i = 0; i < count; i++)
        if (isfinite(values[i]))
            copy[n++] = values[i];
    qsort(copy, (size_t)n, sizeof *copy, tr_ascending);
    double middle = n == 0 ? (double)NAN : copy[n / 2];
    free(copy);
    return middle;
}

static double number_of(const struct tr_node *object, const char *key)
{
    struct tr_err ignored;
    double value = (double)NAN;
    if (object == NULL || tr_doc_double(object, key, TR_OPTIONAL, -INFINITY, INFINITY, &value, &ignored) != TR_OK)
        return (double)NAN;
    return value;
}

static const char *string_of(const struct tr_node *object, const char *key)
{
    struct tr_err ignored;
    const char *value = "";
    if (object == NULL || tr_doc_string(object, key, TR_OPTIONAL, &value, &ignored) != TR_OK)
        return "";
    return value;
}

/* Of one rank, as operations are: the profile's, "peak_flop_s" or "peak_f32_flop_s", is that of all. */
static double peak_of_rank(const struct tr_node *profile, const char *key)
{
    const double ranks = number_of(profile, "ranks");
    return number_of(profile, key) / (ranks >= 1.0 ? ranks : 1.0);
}

static const struct tr_node *profile_root(const struct tr_run_files *f)
{
    return f->profile == NULL ? NULL : tr_doc_root(f->profile);
}

/* ---- sections ---------------------------------------------------------------------------------------------------- */

/* What a step took, and what was said of it before the run began. */
static void write_step_tile(struct tr_text *out, const struct tr_run_files *f)
{
    char label[96], said[TR_QUANTITY_BYTES], took[TR_QUANTITY_BYTES];
    const struct tr_node *profile = profile_root(f), *predicted = profile ? tr_doc_find(profile, "predicted") : NULL;
    const double step_s = number_of(predicted, "step_s"), median_s = median(f->value[TR_CURVE_STEP_S], f->step_count);
    if (!(step_s > 0.0) || !(median_s > 0.0))
        return;
    snprintf(label, sizeof label, "a step, median; %s ± %.0f %% was predicted", tr_print_time(said, step_s), 100.0 * number_of(predicted, "error_80"));
    tr_page_tile(out, label, tr_print_time(took, median_s));
}

/* What the steps that the run keeps took, all attempts together. NaN: a line of the log does not say it. */
static double steps_s(const struct tr_run_files *f)
{
    double sum_s = 0.0;
    for (int64_t i = 0; i < f->step_count; i++)
        sum_s += f->value[TR_CURVE_STEP_S][i];
    return sum_s;
}

/* The log is of all attempts; where it does not say what steps took, profile.json does, of the newest alone and without its first. */
static void write_time_tile(struct tr_text *out, const struct tr_run_files *f)
{
    char time[TR_QUANTITY_BYTES];
    const struct tr_node *profile = profile_root(f);
    const double sum_s = steps_s(f), newest_s = number_of(profile, "train_s");
    const bool resumed = number_of(profile, "resumed_at") > 0.0;
    if (sum_s > 0.0)
        tr_page_tile(out, resumed ? "time in steps, all attempts" : "time in steps", tr_print_time(time, sum_s));
    else if (newest_s > 0.0)
        tr_page_tile(out, resumed ? "time in steps, newest attempt" : "time in steps", tr_print_time(time, newest_s));
}

/* profile.json is of the newest attempt. Said of a run that was resumed; nothing otherwise. */
static void write_whose(struct tr_text *out, const struct tr_run_files *f)
{
    const struct tr_node *profile = profile_root(f);
    const double resumed_at = number_of(profile, "resumed_at"), steps = number_of(profile, "steps");
    if (resumed_at > 0.0 && steps > 0.0)
        tr_page_put(out, "p", "sub", "The run was resumed after step %.0f. From here on times, bytes and memory are of its newest attempt, %.0f step%s.",
                    resumed_at, steps, steps == 1.0 ? "" : "s");
}

static void write_tiles(struct tr_text *out, const struct tr_run_files *f)
{
    char value[64], quantity[TR_QUANTITY_BYTES];
    tr_page_tiles(out);
    if (f->eval_count > 0) {
        int64_t last = f->eval_count - 1;
        snprintf(value, sizeof value, "%.3f → %.3f", f->eval[TR_EVAL_LOSS][0], f->eval[TR_EVAL_LOSS][last]);
        tr_page_tile(out, "validation loss, before → after (nats a token)", value);
        snprintf(value, sizeof value, "%.3f → %.3f", f->eval[TR_EVAL_BPB][0], f->eval[TR_EVAL_BPB][last]);
        tr_page_tile(out, "validation bits per byte", value);
    }
    if (f->step_count > 0) {
        snprintf(value, sizeof value, "%.0f of %.0f", f->step[f->step_count - 1], f->steps_planned);
        tr_page_tile(out, "steps", value);
        tr_page_tile(out, "tokens trained on", tr_print_quantity(quantity, TR_UNIT_COUNT, f->tokens));
        tr_page_tile(out, "tokens a second, median",
                     tr_print_quantity(quantity, TR_UNIT_COUNT, median(f->value[TR_CURVE_TOK_S], f->step_count)));
        snprintf(value, sizeof value, "%.1f %%", 100.0 * median(f->value[TR_CURVE_MFU], f->step_count));
        tr_page_tile(out, "MFU, median", value);
        write_step_tile(out, f);
    }
    const struct tr_node *profile = profile_root(f);
    if (profile != NULL)
        tr_page_tile(out, "parameters", tr_print_quantity(quantity, TR_UNIT_COUNT, number_of(profile, "parameters")));
    if (f->step_count > 0)
        write_time_tile(out, f);
    if (f->skipped > 0.0) {
        snprintf(value, sizeof value, "%.0f", f->skipped);
        tr_page_tile(out, "steps skipped (not finite)", value);
    }
    tr_page_end_tiles(out);
}

static void write_curve(struct tr_text *out, const struct tr_run_files *f, int curve, const char *title,
                        const char *unit, double scale, bool from_zero)
{
    double *scaled = malloc((size_t)(f->step_count + 1) * sizeof *scaled);
    if (scaled == NULL)
        return;
    for (int64_t i = 0; i < f->step_count; i++)
        scaled[i] = f->value[curve][i] * scale;
    struct tr_series series = {.name = title, .x = f->step, .y = scaled, .count = f->step_count};
    tr_chart_lines(out, &(struct tr_chart){.title = title, .x_label = "step", .y_label = unit, .series = &series,
                                           .series_count = 1, .from_zero = from_zero});
    free(scaled);
}

static void write_curves(struct tr_text *out, const struct tr_run_files *f)
{
    tr_page_heading(out, "Curves", NULL);
    tr_text_append(out, "<div class=\"charts\">\n");
    const struct tr_series loss[] = {
        {.name = "training", .x = f->step, .y = f->value[TR_CURVE_LOSS], .count = f->step_count},
        {.name = "validation", .x = f->eval_step, .y = f->eval[TR_EVAL_LOSS], .count = f->eval_count, .points = true},
    };
    tr_chart_lines(out, &(struct tr_chart){.title = "Loss", .x_label = "step", .y_label = "nats a token",
                                           .series = loss, .series_count = f->eval_count > 0 ? 2 : 1});
    if (f->eval_count > 0) {
        const struct tr_series bpb = {.name = "validation", .x = f->eval_step, .y = f->eval[TR_EVAL_BPB],
                                      .count = f->eval_count, .points = true};
        tr_chart_lines(out, &(struct tr_chart){.title = "Validation", .x_label = "step", .y_label = "bits per byte",
                                               .series = &bpb, .series_count = 1});
    }
    write_curve(out, f, TR_CURVE_TOK_S, "Speed", "tokens a second", 1.0, true);
    write_curve(out, f, TR_CURVE_MFU, "Model FLOPs utilisation", "% of the measured peak", 100.0, true);
    write_curve(out, f, TR_CURVE_GRAD_NORM, "Gradient norm", "before clipping", 1.0, true);
    write_curve(out, f, TR_CURVE_LR, "Learning rate", "", 1.0, true);
    tr_text_append(out, "</div>\n");
}

/* One kind of operation, all phases together; what multiplies fp32 in a run of bf16 stands apart, against a peak of its own. */
struct op_sum {
    char name[NAME_BYTES];
    double peak_flop_s; /* NaN: not known */
    double time_s, flop, bytes, calls;
    double left_s; /* over what the machine's limits allow */
};

static int find_op(struct op_sum *sums, int *count, const char *name)
{
    for (int i = 0; i < *count; i++)
        if (strcmp(sums[i].name, name) == 0)
            return i;
    if (*count == OPS_MAX)
        return -1;
    sums[*count] = (struct op_sum){.time_s = 0};
    snprintf(sums[*count].name, NAME_BYTES, "%s", name);
    return (*count)++;
}

static int longest_first(const void *a, const void *b)
{
    return -tr_ascending(&((const struct op_sum *)a)->time_s, &((const struct op_sum *)b)->time_s);
}

static bool is_of_step(const struct tr_node *op)
{
    const char *phase = string_of(op, "phase");
    return strcmp(phase, tr_phase_name(TR_PHASE_EVAL)) != 0 && strcmp(phase, tr_phase_name(TR_PHASE_LOAD)) != 0;
}

/* Products of another type than the run's. A profile of before types were noted has none. */
static bool is_of_other_type(const struct tr_node *profile, const struct tr_node *op)
{
    return number_of(op, "flop") > 0.0 && strcmp(string_of(op, "type"), string_of(profile, "type")) != 0;
}

static int sum_ops(const struct tr_node *profile, const struct tr_node *ops, struct op_sum *sums, double *total_s)
{
    int count = 0;
    *total_s = 0.0;
    for (int64_t i = 0; i < ops->count; i++) {
        const struct tr_node *op = &ops->children[i];
        const bool other = is_of_other_type(profile, op);
        char name[NAME_BYTES];
        double time_s = number_of(op, "time_s");
        snprintf(name, sizeof name, other ? "%s, %s" : "%s", string_of(op, "op"), string_of(op, "type"));
        int at = is_of_step(op) ? find_op(sums, &count, name) : -1;
        if (at < 0 || !(time_s >= 0.0))
            continue;
        sums[at].peak_flop_s = peak_of_rank(profile, other ? "peak_f32_flop_s" : "peak_flop_s");
        sums[at].time_s += time_s;
        sums[at].flop += number_of(op, "flop");
        sums[at].bytes += number_of(op, "bytes");
        sums[at].calls += number_of(op, "calls");
        *total_s += time_s;
    }
    qsort(sums, (size_t)count, sizeof *sums, longest_first);
    return count;
}

static void write_op_table(struct tr_text *out, const struct op_sum *sums, int count, double total_s)
{
    char a[TR_QUANTITY_BYTES], b[TR_QUANTITY_BYTES], c[TR_QUANTITY_BYTES];
    static const char *const names[] = {"operation", "calls", "time", "share", "rate", "of peak", "memory"};
    tr_page_table(out, "Calls, time and rates by operation", names, sizeof names / sizeof *names, 1);
    for (int i = 0; i < count; i++) {
        const struct op_sum *s = &sums[i];
        double safe_s = s->time_s > 0.0 ? s->time_s : (double)NAN;
        tr_text_append(out, "<tr><td>");
        tr_text_append_html(out, s->name);
        tr_text_printf(out, "</td><td class=\"n\">%.0f</td><td class=\"n\">%s</td><td class=\"n\">%.1f %%</td>", s->calls,
                       tr_print_time(a, s->time_s), 100.0 * s->time_s / total_s);
        if (s->flop > 0.0)
            tr_text_printf(out, "<td class=\"n\">%s</td>", tr_print_flop_s(b, s->flop / safe_s));
        else
            tr_text_append(out, "<td></td>");
        if (s->flop > 0.0 && s->peak_flop_s > 0.0)
            tr_text_printf(out, "<td class=\"n\">%.0f %%</td>", 100.0 * s->flop / safe_s / s->peak_flop_s);
        else
            tr_text_append(out, "<td></td>");
        tr_text_printf(out, "<td class=\"n\">%s</td></tr>\n",
                       s->bytes > 0.0 ? tr_print_quantity(c, TR_UNIT_BYTES_S, s->bytes / safe_s) : "");
    }
    tr_page_end_table(out);
}

/* ---- the roofline ------------------------------------------------------------------------------------------------- */

/* What the two limits allow: the time that an operation's arithmetic and its operands' bytes take at least. NaN where the
 * limit of its arithmetic is not known. */
static double least_s(const struct op_sum *s, double read_byte_s)
{
    if (s->flop > 0.0 && !(s->peak_flop_s > 0.0))
        return (double)NAN;
    return fmax(s->flop / s->peak_flop_s, s->bytes / read_byte_s);
}

static int most_left_first(const void *a, const void *b)
{
    return -tr_ascending(&((const struct op_sum *)a)->left_s, &((const struct op_sum *)b)->left_s);
}

static void write_left(struct tr_text *out, const struct op_sum *sums, int count, double total_s, double read_byte_s)
{
    char b[TR_QUANTITY_BYTES], c[TR_QUANTITY_BYTES], d[TR_QUANTITY_BYTES];
    double least_total_s = 0.0;
    static const char *const names[] = {"operation", "limit", "reached", "of limit", "time over it", "of all"};
    tr_text_append(out, "<div>\n");
    tr_page_table(out, "What is left: the time of each operation over its limit", names, sizeof names / sizeof *names, 2);
    for (int i = 0; i < count; i++) {
        const struct op_sum *s = &sums[i];
        const double least = least_s(s, read_byte_s);
        if (!(least > 0.0) || !(s->time_s > 0.0))
            continue;
        const bool arithmetic = s->flop / s->peak_flop_s >= s->bytes / read_byte_s;
        least_total_s += fmin(least, s->time_s);
        tr_text_append(out, "<tr><td>");
        tr_text_append_html(out, s->name);
        tr_text_printf(out, "</td><td>%s</td><td class=\"n\">%s</td><td class=\"n\">%.0f %%</td>"
                            "<td class=\"n\">%s</td><td class=\"n\">%.1f %%</td></tr>\n",
                       arithmetic ? "arithmetic" : "memory",
                       arithmetic ? tr_print_flop_s(b, s->flop / s->time_s)
                                  : tr_print_quantity(b, TR_UNIT_BYTES_S, s->bytes / s->time_s),
                       100.0 * least / s->time_s, s->left_s > 0.0 ? tr_print_time(c, s->left_s) : "0 s",
                       100.0 * s->left_s / total_s);
    }
    tr_page_end_table(out);
    tr_page_put(out, "p", "sub", "All operations took %s; at their limits they would take %s, %.0f %% of that.", tr_print_time(c, total_s),
                tr_print_time(d, least_total_s), 100.0 * least_total_s / total_s);
    tr_text_append(out, "</div>\n");
}

/* Names stay those of `sums`, which have their order by now. Returns how many points there are. */
static int find_points(const struct op_sum *sums, int count, double total_s, struct tr_roof_point points[TR_ROOF_POINTS])
{
    int found = 0;
    for (int i = 0; i < count && found < TR_ROOF_POINTS; i++) {
        const struct op_sum *s = &sums[i];
        if (s->flop > 0.0 && s->bytes > 0.0 && s->time_s > 0.0)
            points[found++] = (struct tr_roof_point){s->name, s->flop / s->bytes, s->flop / s->time_s, s->time_s / total_s};
    }
    return found;
}

static void write_roofline(struct tr_text *out, const struct tr_run_files *f)
{
    const struct tr_node *profile = profile_root(f);
    const struct tr_node *ops = profile == NULL ? NULL : tr_doc_find(profile, "ops");
    const double peak_flop_s = peak_of_rank(profile, "peak_flop_s"), lower_flop_s = peak_of_rank(profile, "peak_f32_flop_s");
    const double read_byte_s = number_of(profile, "read_byte_s");
    static struct op_sum sums[OPS_MAX];
    struct tr_roof_point points[TR_ROOF_POINTS];
    char peak[TR_QUANTITY_BYTES], lower[2 * TR_QUANTITY_BYTES] = "", read[TR_QUANTITY_BYTES], size[TR_QUANTITY_BYTES];
    double total_s;
    if (ops == NULL || ops->kind != TR_NODE_ARRAY || !(peak_flop_s > 0.0) || !(read_byte_s > 0.0))
        return;
    int count = sum_ops(profile, ops, sums, &total_s);
    if (count == 0 || !(total_s > 0.0))
        return;
    for (int i = 0; i < count; i++)
        sums[i].left_s = fmax(sums[i].time_s - least_s(&sums[i], read_byte_s), 0.0);
    qsort(sums, (size_t)count, sizeof *sums, most_left_first);
    tr_print_flop_s(peak, peak_flop_s);
    if (lower_flop_s > 0.0)
        snprintf(lower, sizeof lower, "fp32: %s", tr_print_flop_s(size, lower_flop_s));
    tr_print_quantity(read, TR_UNIT_BYTES_S, read_byte_s);
    tr_page_heading(out, "Roofline", NULL);
    tr_text_append(out, "<div class=\"charts\">\n");
    tr_chart_roof(out, &(struct tr_roof){.title = "Operations against this machine", .x_label = "FLOP a byte of operands",
                                         .y_label = "FLOP/s; the larger a dot, the more time", .slope = read_byte_s,
                                         .flat = peak_flop_s, .lower_flat = lower_flop_s > 0.0 ? lower_flop_s : 0.0,
                                         .slope_label = read, .flat_label = peak, .lower_label = lower, .points = points,
                                         .count = find_points(sums, count, total_s, points)});
    write_left(out, sums, count, total_s, read_byte_s);
    tr_text_append(out, "</div>\n");
    tr_page_put(out, "p", "sub",
                "Both limits were measured by this run: fused multiply-adds in registers, %s%s%s, and reading its largest region of memory "
                "(%s), %s. Bytes are those of the operands, each once; what lies in a cache from the operation before may come faster than "
                "memory gives it, so a share can exceed 100 %%. Operations of which no arithmetic is counted stand in the table alone.",
                peak, lower[0] ? ", " : "", lower, tr_print_quantity(size, TR_UNIT_BYTES, number_of(profile, "read_bytes")), read);
}

static void write_time(struct tr_text *out, const struct tr_run_files *f)
{
    const struct tr_node *profile = profile_root(f);
    const struct tr_node *ops = profile == NULL ? NULL : tr_doc_find(profile, "ops");
    if (ops == NULL || ops->kind != TR_NODE_ARRAY)
        return;
    static struct op_sum sums[OPS_MAX];
    static char notes[BARS_MAX][NOTE_BYTES];
    struct tr_bar bars[BARS_MAX];
    double total_s;
    int count = sum_ops(profile, ops, sums, &total_s), bar_count = 0;
    if (count == 0 || !(total_s > 0.0))
        return;
    for (; bar_count < count && bar_count < BARS_MAX; bar_count++) {
        char time[TR_QUANTITY_BYTES];
        snprintf(notes[bar_count], NOTE_BYTES, "%s, %.1f %%", tr_print_time(time, sums[bar_count].time_s),
                 100.0 * sums[bar_count].time_s / total_s);
        bars[bar_count] = (struct tr_bar){sums[bar_count].name, sums[bar_count].time_s, notes[bar_count]};
    }
    tr_page_heading(out, "Where the time went", NULL);
    tr_text_append(out, "<div class=\"charts\">\n");
    tr_chart_bars(out, "Time by operation, evaluation left out", bars, bar_count);
    write_op_table(out, sums, count, total_s);
    tr_text_append(out, "</div>\n");
}

/* ---- between ranks ------------------------------------------------------------------------------------------------ */

static void write_collective(struct tr_text *out, const struct tr_node *c)
{
    char time[TR_QUANTITY_BYTES], sent[TR_QUANTITY_BYTES];
    const double sent_bytes = number_of(c, "sent_bytes"), time_s = number_of(c, "time_s");
    tr_text_append(out, "<tr><td>");
    tr_text_append_html(out, string_of(c, "collective"));
    tr_text_append(out, "</td><td>");
    tr_text_append_html(out, string_of(c, "phase"));
    tr_text_printf(out, "</td><td class=\"n\">%.0f</td><td class=\"n\">%s</td><td class=\"n\">%s</td></tr>\n", number_of(c, "calls"),
                   time_s > 0.0 ? tr_print_time(time, time_s) : "", sent_bytes > 0.0 ? tr_print_quantity(sent, TR_UNIT_BYTES, sent_bytes) : "");
}

static void write_pipeline(struct tr_text *out, const struct tr_node *pipe)
{
    if (pipe == NULL)
        return;
    tr_page_put(out, "p", "sub",
                "A pipeline of %.0f stages, each with %.0f of the chunks of layers; %.0f microbatches a step, up to %.0f of them in flight on "
                "rank 0. It waited %.1f %% of its steps for other stages; it would be %.1f %% if all chunks took the same time.",
                number_of(pipe, "stages"), number_of(pipe, "chunks"), number_of(pipe, "microbatches"), number_of(pipe, "in_flight"),
                100.0 * number_of(pipe, "bubble"), 100.0 * number_of(pipe, "bubble_planned"));
}

/* A profile of before these were noted does not have them. */
static void write_exposed(struct tr_text *out, const struct tr_node *profile)
{
    char busy[TR_QUANTITY_BYTES], exposed[TR_QUANTITY_BYTES];
    if (tr_doc_find(profile, "collectives_s") == NULL)
        return;
    tr_page_put(out, "p", "sub", "In steps they took %s in all, of which %s beside no other work.",
                tr_print_time(busy, number_of(profile, "collectives_s")), tr_print_time(exposed, number_of(profile, "exposed_s")));
}

/* What a step of a rank is made of. */
enum { RANK_WORKS, RANK_HELD_UP, RANK_STAGES, RANK_REST, RANK_PARTS };
static const char *const rank_parts[RANK_PARTS] = {"operations", "held up by collectives", "held up by other stages", "data, log"};

static void parts_of_rank(const struct tr_node *rank, double part[RANK_PARTS], char note[NOTE_BYTES])
{
    char sent[TR_QUANTITY_BYTES];
    const double steps = number_of(rank, "steps"), step_s = number_of(rank, "steps_s") / steps, wait_s = number_of(rank, "wait_s") / steps;
    part[RANK_WORKS] = fmax(0.0, number_of(rank, "work_s") / steps);
    part[RANK_STAGES] = fmax(0.0, number_of(rank, "stage_s") / steps);
    part[RANK_HELD_UP] = fmax(0.0, wait_s - part[RANK_STAGES]);
    part[RANK_REST] = fmax(0.0, step_s - wait_s - part[RANK_WORKS]);
    for (int i = 0; i < RANK_PARTS; i++)
        part[i] = isfinite(part[i]) ? part[i] : 0.0;
    const double all_s = part[RANK_WORKS] + part[RANK_STAGES] + part[RANK_HELD_UP] + part[RANK_REST];
    snprintf(note, NOTE_BYTES, "works %.1f %%, sends %s", all_s > 0.0 ? 100.0 * part[RANK_WORKS] / all_s : 0.0,
             tr_print_quantity(sent, TR_UNIT_BYTES, fmax(0.0, number_of(rank, "sent_bytes") / steps)));
}

static const char *print_time(char buf[32], double value) { return tr_print_time(buf, value); }

static void write_each_rank(struct tr_text *out, const struct tr_node *each)
{
    static struct {
        double part[RANK_PARTS];
        char label[32], note[NOTE_BYTES];
    } rank[RANKS_DRAWN];
    struct tr_stack_row rows[RANKS_DRAWN];
    int count = 0;
    if (each == NULL || each->kind != TR_NODE_ARRAY)
        return;
    for (; count < each->count && count < RANKS_DRAWN; count++) {
        parts_of_rank(&each->children[count], rank[count].part, rank[count].note);
        snprintf(rank[count].label, sizeof rank[count].label, "rank %d", count);
        rows[count] = (struct tr_stack_row){rank[count].label, rank[count].part, rank[count].note};
    }
    tr_text_append(out, "<div class=\"charts\">\n");
    tr_chart_stacks(out, &(struct tr_stacks){.title = "A step of each rank, and bytes that it sends in it", .names = rank_parts,
                                             .part_count = RANK_PARTS, .rows = rows, .row_count = count, .print = print_time});
    tr_text_append(out, "</div>\n");
    if (each->count > count)
        tr_page_put(out, "p", "sub", "The first %d of %lld ranks.", count, (long long)each->count);
}

static void write_ranks(struct tr_text *out, const struct tr_run_files *f)
{
    const struct tr_node *profile = profile_root(f);
    const struct tr_node *list = profile == NULL ? NULL : tr_doc_find(profile, "collectives");
    if (list == NULL || list->kind != TR_NODE_ARRAY || list->count == 0)
        return;
    static const char *const names[] = {"collective", "phase", "calls", "time", "sent"};
    tr_page_heading(out, "Between ranks", NULL);
    write_each_rank(out, tr_doc_find(profile, "each_rank"));
    tr_page_table(out, "Collectives of rank 0: the time in which it did nothing else, waiting for others included", names,
                  sizeof names / sizeof *names, 2);
    for (int64_t i = 0; i < list->count; i++)
        write_collective(out, &list->children[i]);
    tr_page_end_table(out);
    write_exposed(out, profile);
    write_pipeline(out, tr_doc_find(profile, "pipeline"));
}

static void write_memory(struct tr_text *out, const struct tr_run_files *f)
{
    const struct tr_node *profile = profile_root(f);
    const struct tr_node *memory = profile == NULL ? NULL : tr_doc_find(profile, "memory");
    const struct tr_node *kinds = memory == NULL ? NULL : tr_doc_find(memory, "by_kind");
    if (kinds == NULL || kinds->kind != TR_NODE_OBJECT)
        return;
    struct tr_bar bars[KINDS_MAX];
    static char notes[KINDS_MAX][NOTE_BYTES];
    char planned[TR_QUANTITY_BYTES], peak[TR_QUANTITY_BYTES];
    int count = 0;
    double total = number_of(memory, "planned_bytes");
    for (int64_t i = 0; i < kinds->count && count < KINDS_MAX; i++) {
        double bytes = number_of(kinds, kinds->children[i].key);
        if (!(bytes > 0.0))
            continue;
        char quantity[TR_QUANTITY_BYTES];
        snprintf(notes[count], NOTE_BYTES, "%s, %.1f %%", tr_print_quantity(quantity, TR_UNIT_BYTES, bytes),
                 100.0 * bytes / total);
        bars[count] = (struct tr_bar){kinds->children[i].key, bytes, notes[count]};
        count++;
    }
    tr_page_heading(out, "Memory", NULL);
    tr_text_append(out, "<div class=\"charts\">\n");
    tr_chart_bars(out, "Planned memory by kind, at its peak", bars, count);
    tr_text_append(out, "</div>\n");
    tr_page_put(out, "p", "sub",
                "Planned by the step program: %s, mapped once before the first step. The process at its highest, program, text and "
                "libraries included: %s.",
                tr_print_quantity(planned, TR_UNIT_BYTES, total), tr_print_quantity(peak, TR_UNIT_BYTES, number_of(memory, "peak_bytes")));
}

static void write_text(struct tr_text *out, const char *heading, const struct tr_bytes *text)
{
    if (text->at == NULL || text->len == 0)
        return;
    tr_page_heading(out, heading, NULL);
    tr_page_verbatim(out, "pre", text->at);
}

static void write_identity(struct tr_text *out, const struct tr_run_files *f)
{
    const struct tr_node *profile = profile_root(f);
    if (profile == NULL)
        return;
    char peak[TR_QUANTITY_BYTES], flop[TR_QUANTITY_BYTES];
    const double threads = number_of(profile, "threads");
    tr_page_put(out, "p", "sub",
                "%s, %.0f thread%s, measured peak %s. A token costs %s of model arithmetic (6 x parameters that multiply + causal "
                "attention); MFU = tokens a second x that / peak. Arithmetic: %s.",
                string_of(profile, "isa"), threads, threads == 1.0 ? "" : "s", tr_print_flop_s(peak, number_of(profile, "peak_flop_s")),
                tr_print_quantity(flop, TR_UNIT_FLOP, number_of(profile, "flop_per_token")), string_of(profile, "arithmetic"));
}

static const char *last_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL && slash[1] != '\0' ? slash + 1 : path;
}

static void write_page(struct tr_text *out, const char *run_folder, const struct tr_run_files *f)
{
    struct tr_text title = {0};
    tr_text_printf(&title, "trine: %s", last_name(run_folder));
    tr_page_begin(out, tr_text_str(&title), NULL);
    tr_text_free(&title);
    tr_page_text(out, "h1", NULL, last_name(run_folder));
    tr_page_text(out, "p", "sub", "A training run of trine.");
    write_tiles(out, f);
    write_curves(out, f);
    write_whose(out, f);
    write_time(out, f);
    write_roofline(out, f);
    write_ranks(out, f);
    write_memory(out, f);
    write_identity(out, f);
    write_text(out, "Samples", &f->samples);
    write_text(out, "Config", &f->config);
    tr_page_end(out);
}

enum tr_status tr_report_write(const char *run_folder, struct tr_err *err)
{
    char path[TR_PATH_BYTES];
    struct tr_run_files files;
    enum tr_status status = tr_path_join(path, run_folder, "report.html", err);
    if (status == TR_OK)
        status = tr_run_files_read(&files, run_folder, err);
    if (status != TR_OK)
        return status;
    struct tr_text page = {0};
    write_page(&page, run_folder, &files);
    tr_run_files_free(&files);
    status = tr_text_failed(&page, err) ? TR_FAILED : tr_file_write(path, tr_text_str(&page), page.len, err);
    tr_text_free(&page);
    return status;
}
