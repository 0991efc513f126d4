#include "base/json.h"
#include "base/quantity.h"
#include "base/table.h"
#include "plan/here/choose.h"
#include "plan/here/explain_run.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Rows that are less of the step than this are summed up as one. */
#define SMALL_SHARE .003

static double share_of(double now, double then) { return now > 0 && then > 0 ? now / then : 1; }

/* Of cores and memory the one that made the run slower (or faster) than a machine as calibrated, and its share of that rate. */
static const char *part_behind(const struct tr_run_explained *run, bool slower, double *factor)
{
    double cores = share_of(run->peak_now_flop_s, run->peak_then_flop_s);
    double memory = run->read_memory ? share_of(run->memory_now_byte_s, run->memory_then_byte_s) : 1;
    bool is_memory = slower ? memory < cores : memory > cores;
    *factor = is_memory ? memory : cores;
    return is_memory ? "memory" : "the cores";
}

bool tr_run_looks_tell(const struct tr_run_explained *run)
{
    double off_s = fabs(run->measured_s - run->now_s);
    return off_s <= fabs(run->measured_s - run->predicted_s) || off_s <= run->error * run->now_s;
}

void tr_run_why(const struct tr_run_explained *run, const struct tr_run_row *row, char why[TR_RUN_WHY_BYTES])
{
    double off = row->measured_s - row->predicted_s, crowded = tr_run_profile_crowded(&run->ran), factor;
    double machine = tr_run_looks_tell(run) ? row->now_s - row->predicted_s : row->moved_s;
    if (!isfinite(row->error))
        snprintf(why, TR_RUN_WHY_BYTES, "not calibrated: priced by its bytes, as a join");
    else if (fabs(off) <= row->error * row->predicted_s)
        snprintf(why, TR_RUN_WHY_BYTES, "within +- %.0f %%", 100 * row->error);
    else if (off * machine > 0 && fabs(machine) > .5 * fabs(off)) {
        const char *part = part_behind(run, machine > 0, &factor);
        if (row->moved_s * machine > 0 && fabs(row->moved_s) > .5 * fabs(machine))
            snprintf(why, TR_RUN_WHY_BYTES, "cores were apart in %.0f %% of its time: %+.0f %%", 100 * run->apart_share, 100 * machine / row->predicted_s);
        else
            snprintf(why, TR_RUN_WHY_BYTES, "%s had %.0f %% of the calibrated rate: %+.0f %%", part, 100 * factor,
                 100 * machine / row->predicted_s);
    } else if (off > 0 && crowded * row->measured_s > .5 * off)
        snprintf(why, TR_RUN_WHY_BYTES, "other programs had cores that it wanted in %.0f %% of its time", 100 * crowded);
    else if (row->start > .3)
        snprintf(why, TR_RUN_WHY_BYTES, "small calls: %.0f %% of what was predicted is threads that begin and wait", 100 * row->start);
    else
        snprintf(why, TR_RUN_WHY_BYTES, "not explained by peak, memory or starts (+- %.0f %% expected)", 100 * row->error);
}

/* How much longer than predicted the rank worked that was furthest behind, beside the one that is shown. */
static double late_s(const struct tr_run_explained *run, int *rank)
{
    double most_s = 0;
    *rank = 0;
    for (int i = 0; i < run->ran.each_count; i++) {
        const struct tr_run_rank_row *r = &run->rank[i], *shown = &run->rank[run->ran.rank];
        double behind_s = (r->work_s - r->predicted_work_s) - (shown->work_s - shown->predicted_work_s);
        if (behind_s > most_s) {
            most_s = behind_s;
            *rank = i;
        }
    }
    return most_s;
}

/* How many times as long as predicted the others work, the slowest of them. */
static double slowest_other(const struct tr_run_explained *run)
{
    double most = 1;
    for (int i = 0; i < run->ran.each_count; i++)
        if (i != run->ran.rank && run->rank[i].predicted_work_s > 0)
            most = fmax(most, run->rank[i].work_s / run->rank[i].predicted_work_s);
    return most;
}

/* Where a collective began that a row without calls only waits for; NULL: it has calls, or nothing of its kind sends. */
static const struct tr_run_coll_row *beginning_of(const struct tr_run_explained *run, const struct tr_run_coll_row *row)
{
    const struct tr_run_coll_row *most = NULL;
    for (int i = 0; row->calls == 0 && i < run->colls; i++) {
        const struct tr_run_coll_row *other = &run->coll[i];
        if (other->kind == row->kind && other->phase != row->phase && other->bytes > (most ? most->bytes : 0))
            most = other;
    }
    return most;
}

/* Of what began in another phase, and is waited for here. */
static void wait_why(const struct tr_run_explained *run, const struct tr_run_coll_row *begun, double more_s, char why[TR_RUN_WHY_BYTES])
{
    char text[TR_QUANTITY_BYTES], bytes[TR_QUANTITY_BYTES];
    snprintf(why, TR_RUN_WHY_BYTES, "began in %s, where its %s are: %s %s more than %s", tr_phase_name(begun->phase),
             tr_print_bytes(bytes, (int64_t)begun->bytes), run->exchanges ? "moving them took" : "they are not priced;", tr_print_time(text, more_s),
             run->exchanges ? "when calibrated, or steps of ranks vary" : "the waits of the step programs");
}

void tr_run_coll_why(const struct tr_run_explained *run, const struct tr_run_coll_row *row, char why[TR_RUN_WHY_BYTES])
{
    const struct tr_run_coll_row *begun = beginning_of(run, row);
    char text[TR_QUANTITY_BYTES], rate[TR_QUANTITY_BYTES];
    double more_s = row->measured_s - row->predicted_s;
    int rank;
    double late = late_s(run, &rank), times = slowest_other(run);
    if (more_s <= 0)
        snprintf(why, TR_RUN_WHY_BYTES, "others were there sooner than predicted");
    else if (row->predicted_s * (times - 1) > .5 * more_s)
        snprintf(why, TR_RUN_WHY_BYTES, "what it waits for takes longer: other ranks work %.0f %% longer than predicted", 100 * (times - 1));
    else if (late > .5 * more_s)
        snprintf(why, TR_RUN_WHY_BYTES, "rank %d works %s a step longer than predicted, beside rank %d, and is waited for", rank,
                 tr_print_time(text, late), run->ran.rank);
    else if (row->bytes > 0)
        snprintf(why, TR_RUN_WHY_BYTES, run->exchanges ? "moving bytes took %s more than when calibrated, or steps of ranks vary (%s in all)"
                                                       : "no wait of the step programs explains %s: bytes on their way (not priced; %s if all of it were that)",
                 tr_print_time(text, more_s), tr_print_quantity(rate, TR_UNIT_BYTES_S, row->bytes / (run->exchanges ? row->measured_s : more_s)));
    else if (begun)
        wait_why(run, begun, more_s, why);
    else
        snprintf(why, TR_RUN_WHY_BYTES, "no wait of the step programs explains %s: it sends nothing here", tr_print_time(text, more_s));
}

static double percent(double measured, double predicted) { return predicted > 0 ? 100 * (measured / predicted - 1) : NAN; }

static void time_cells(struct tr_table *table, double measured_s, double predicted_s)
{
    char text[TR_QUANTITY_BYTES];
    tr_table_cell(table, "%s", tr_print_time(text, measured_s));
    tr_table_cell(table, "%s", tr_print_time(text, predicted_s));
    if (predicted_s > 0)
        tr_table_cell(table, "%+.1f %%", percent(measured_s, predicted_s));
    else
        tr_table_cell(table, "%s", "");
}

static void add_columns(struct tr_table *table, const char *first)
{
    tr_table_column(table, first, TR_LEFT);
    tr_table_column(table, "measured", TR_RIGHT);
    tr_table_column(table, "predicted", TR_RIGHT);
    tr_table_column(table, "off", TR_RIGHT);
}

struct phase_sums {
    double measured_s[TR_PHASE_COUNT], predicted_s[TR_PHASE_COUNT];
};

static struct phase_sums sum_phases(const struct tr_run_explained *run)
{
    struct phase_sums sums = {.measured_s = {0}};
    for (int i = 0; i < run->rows; i++) {
        sums.measured_s[run->row[i].phase] += run->row[i].measured_s;
        sums.predicted_s[run->row[i].phase] += run->row[i].predicted_s;
    }
    return sums;
}

static void print_phases(const struct tr_run_explained *run, struct tr_text *out)
{
    const struct phase_sums sums = sum_phases(run);
    struct tr_table table = {0};
    add_columns(&table, "stage of a step");
    for (int phase = 0; phase < TR_PHASE_COUNT; phase++)
        if (sums.predicted_s[phase] > 0) {
            tr_table_cell(&table, "%s", tr_phase_name((enum tr_phase)phase));
            time_cells(&table, sums.measured_s[phase], sums.predicted_s[phase]);
        }
    if (run->colls) {
        tr_table_cell(&table, "held up by collectives");
        time_cells(&table, run->wait_measured_s, run->wait_predicted_s);
    }
    tr_table_cell(&table, "between operations, data, log");
    time_cells(&table, run->between_measured_s, run->between_predicted_s);
    tr_table_rule(&table);
    tr_table_cell(&table, "a step");
    time_cells(&table, run->measured_s, run->predicted_s);
    tr_table_text(&table, out);
    tr_table_free(&table);
}

static void print_rate(struct tr_table *table, const struct tr_run_row *row)
{
    char rate[TR_QUANTITY_BYTES];
    if (row->flop > 0)
        tr_table_cell(table, "%s", tr_print_flop_s(rate, row->flop / row->measured_s));
    else
        tr_table_cell(table, "%s", tr_print_quantity(rate, TR_UNIT_BYTES_S, row->bytes / row->measured_s));
}

static void print_rows(const struct tr_run_explained *run, struct tr_text *out)
{
    struct tr_table table = {0};
    double small_measured_s = 0, small_predicted_s = 0;
    int small = 0;
    add_columns(&table, "operation");
    tr_table_column(&table, "calls", TR_RIGHT);
    tr_table_column(&table, "reached", TR_RIGHT);
    tr_table_column(&table, "why", TR_LEFT);
    for (int i = 0; i < run->rows; i++) {
        const struct tr_run_row *row = &run->row[i];
        char why[TR_RUN_WHY_BYTES];
        if (fmax(row->measured_s, row->predicted_s) < SMALL_SHARE * run->measured_s) {
            small_measured_s += row->measured_s, small_predicted_s += row->predicted_s, small++;
            continue;
        }
        tr_run_why(run, row, why);
        tr_table_cell(&table, "%s, %s", tr_op_operands(row->kind)->name, tr_phase_name(row->phase));
        time_cells(&table, row->measured_s, row->predicted_s);
        tr_table_cell(&table, "%.6g", row->calls);
        print_rate(&table, row);
        tr_table_cell(&table, "%s", why);
    }
    if (small) {
        tr_table_cell(&table, "%d others", small);
        time_cells(&table, small_measured_s, small_predicted_s);
        for (int i = 0; i < 3; i++)
            tr_table_cell(&table, "%s", "");
    }
    tr_table_text(&table, out);
    tr_table_free(&table);
}

/* ---- several ranks ----------------------------------------------------------------------------------------------- */

static void print_colls(const struct tr_run_explained *run, struct tr_text *out)
{
    struct tr_table table = {0};
    char bytes[TR_QUANTITY_BYTES], why[TR_RUN_WHY_BYTES], first[40];
    snprintf(first, sizeof first, "collective, of rank %d", run->ran.rank);
    add_columns(&table, first);
    tr_table_column(&table, "calls", TR_RIGHT);
    tr_table_column(&table, "sent", TR_RIGHT);
    tr_table_column(&table, "why", TR_LEFT);
    for (int i = 0; i < run->colls; i++) {
        const struct tr_run_coll_row *row = &run->coll[i];
        tr_run_coll_why(run, row, why);
        tr_table_cell(&table, "%s, %s", tr_coll_kind_name(row->kind), tr_phase_name(row->phase));
        time_cells(&table, row->measured_s, row->predicted_s);
        tr_table_cell(&table, "%.6g", row->calls);
        tr_table_cell(&table, "%s", tr_print_bytes(bytes, (int64_t)row->bytes));
        tr_table_cell(&table, "%s", why);
    }
    tr_table_text(&table, out);
    tr_table_free(&table);
}

static void rank_cells(struct tr_table *table, double measured_s, double predicted_s)
{
    char text[TR_QUANTITY_BYTES];
    tr_table_cell(table, "%s", tr_print_time(text, measured_s));
    tr_table_cell(table, "%s", tr_print_time(text, predicted_s));
}

static void print_ranks(const struct tr_run_explained *run, struct tr_text *out)
{
    struct tr_table table = {0};
    char bytes[TR_QUANTITY_BYTES];
    bool stages = run->bubble_planned > 0;
    tr_table_column(&table, "rank", TR_RIGHT);
    tr_table_column(&table, "works", TR_RIGHT);
    tr_table_column(&table, "predicted", TR_RIGHT);
    tr_table_column(&table, "is held up", TR_RIGHT);
    tr_table_column(&table, "predicted", TR_RIGHT);
    if (stages) {
        tr_table_column(&table, "by stages", TR_RIGHT);
        tr_table_column(&table, "predicted", TR_RIGHT);
    }
    tr_table_column(&table, "sends", TR_RIGHT);
    for (int i = 0; i < run->ran.each_count; i++) {
        const struct tr_run_rank_row *r = &run->rank[i];
        tr_table_cell(&table, "%d", i);
        rank_cells(&table, r->work_s, r->predicted_work_s);
        rank_cells(&table, r->wait_s, r->predicted_wait_s);
        if (stages)
            rank_cells(&table, r->stage_s, r->predicted_stage_s);
        tr_table_cell(&table, "%s", tr_print_bytes(bytes, (int64_t)r->bytes));
    }
    tr_table_text(&table, out);
    tr_table_free(&table);
}

static void print_bubble(const struct tr_run_explained *run, struct tr_text *out)
{
    const struct tr_run_rank_row *first = &run->rank[0];
    if (run->bubble_planned > 0 && run->ran.each_count > 0)
        tr_text_printf(out, "\nrank 0 waits %.1f %% of a step for other stages; predicted %.1f %%, and %.1f %% if all chunks took the same time\n",
                       100 * first->stage_s / first->step_s, 100 * first->predicted_stage_s / run->predicted_s, 100 * run->bubble_planned);
}

static void print_shared(const struct tr_run_explained *run, struct tr_text *out)
{
    if (run->ran.ranks == 1)
        return;
    tr_text_char(out, '\n');
    print_colls(run, out);
    if (run->ran.each_count > 0) {
        tr_text_char(out, '\n');
        print_ranks(run, out);
    }
    print_bubble(run, out);
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static void print_ran_by(const struct tr_run_explained *run, struct tr_text *out)
{
    const struct tr_run_profile *ran = &run->ran;
    char layout[TR_LAYOUT_WORDS_BYTES];
    tr_text_printf(out, "%s, %lld steps", run->model, (long long)ran->steps);
    if (ran->resumed_at > 0)
        tr_text_printf(out, " of the newest attempt, which went on from step %lld,", (long long)ran->resumed_at);
    if (ran->ranks > 1)
        tr_text_printf(out, " by %d ranks (%s) of", ran->ranks, tr_degrees_words(&ran->layout, layout));
    else
        tr_text_append(out, " by");
    tr_text_printf(out, " %d thread%s, %s; ", ran->threads, ran->threads == 1 ? "" : "s", tr_isa_name(ran->isa));
    if (ran->ranks > 1)
        tr_text_printf(out, "operations are rank %d's%s, ", ran->rank, run->bubble_planned > 0 ? " (--rank N: those of another)" : "");
    tr_text_append(out, "the first step, which is colder, is in all figures\n");
}

/* Without a record of exchanges the profile's interval is that of one rank: what moving bytes takes is not in the prediction. */
static bool has_interval(const struct tr_run_explained *run) { return run->ran.ranks == 1 || run->exchanges; }

static bool is_inside(const struct tr_run_explained *run) { return fabs(run->measured_s / run->predicted_s - 1) <= run->error; }

static void print_whole(const struct tr_run_explained *run, struct tr_text *out)
{
    char measured[TR_QUANTITY_BYTES], predicted[TR_QUANTITY_BYTES];
    double off = percent(run->measured_s, run->predicted_s);
    tr_print_time(measured, run->measured_s);
    tr_print_time(predicted, run->predicted_s);
    if (has_interval(run))
        tr_text_printf(out, "a step took %s, predicted %s +- %.0f %%: %+.1f %%, %s the interval\n", measured, predicted, 100 * run->error, off,
                       is_inside(run) ? "inside" : "outside of");
    else
        tr_text_printf(out, "a step took %s, predicted %s: %+.1f %%; predicted are operations (+- %.0f %%) and waits for other ranks, not what moving "
                       "bytes takes\n", measured, predicted, off, 100 * run->error);
}

/* `what` names it; `read`: " of 12 MiB", or "". */
static void print_rate_then(struct tr_text *out, const char *what, enum tr_unit unit, const char *read, double first, double last, double then)
{
    char text[TR_QUANTITY_BYTES];
    if (first <= 0 || then <= 0)
        return;
    tr_text_printf(out, "  %-8s %s%s when the run began", what, tr_print_quantity(text, unit, first), read);
    if (last > 0)
        tr_text_printf(out, ", %s when it ended", tr_print_quantity(text, unit, last));
    tr_text_printf(out, ", %s when calibrated (%.0f %%)\n", tr_print_quantity(text, unit, then), 100 * (last > 0 ? (first + last) / 2 : first) / then);
}

static void print_reading(const struct tr_run_explained *run, struct tr_text *out)
{
    const struct tr_looks *looks = &run->ran.looks;
    char bytes[TR_QUANTITY_BYTES], read[TR_QUANTITY_BYTES + 8];
    snprintf(read, sizeof read, " of %s", tr_print_bytes(bytes, looks->read_bytes));
    print_rate_then(out, run->read_memory ? "memory" : "caches", TR_UNIT_BYTES_S, read, looks->first_read_byte_s, looks->last.read_byte_s,
                    run->memory_then_byte_s);
}

static const char *nanoseconds(double time_s, char text[TR_QUANTITY_BYTES])
{
    snprintf(text, TR_QUANTITY_BYTES, time_s > 0 ? "%.0f ns" : "an unknown time", 1e9 * time_s);
    return text;
}

/* Of several threads, where it was not as when it was calibrated. */
static void print_hand(const struct tr_run_explained *run, struct tr_text *out)
{
    char text[TR_QUANTITY_BYTES];
    double now = run->ran.hand_s, last = run->ran.looks.last.hand_s, then = run->hand_then_s;
    if (run->ran.threads == 1 || then <= 0 || (!run->apart && !(run->apart_share > 0) && fmax(now, last) <= 2 * then))
        return;
    tr_text_printf(out, "  hand     a line of a cache took %s from core to core when the run began, ", nanoseconds(now, text));
    if (last > 0)
        tr_text_printf(out, "%s when it ended, ", nanoseconds(last, text));
    tr_text_printf(out, "%s when calibrated: %s", nanoseconds(then, text), run->apart ? "prices are those of cores that far apart"
                                                                : run->apart_share > 0 ? "prices are those of cores that are near"
                                                                                       : "the profile has no prices of cores that far apart");
    if (run->moved > 0)
        tr_text_printf(out, "; they were apart in %.0f %% of its time", 100 * run->apart_share);
    tr_text_char(out, '\n');
}

const char *tr_run_memory_words(const struct tr_run_explained *run, char words[TR_RUN_MEMORY_WORDS_BYTES])
{
    const struct tr_run_profile *ran = &run->ran;
    char program[TR_QUANTITY_BYTES], needed[TR_QUANTITY_BYTES], peak[TR_QUANTITY_BYTES], of[32] = "", all[48] = "";
    bool threads = ran->ranks > 1 && strcmp(ran->transport, "threads") == 0;
    if (ran->ranks > 1)
        snprintf(of, sizeof of, " of rank %d", ran->rank);
    if (ran->ranks > 1)
        snprintf(all, sizeof all, threads ? " of all %d ranks" : " of rank 0", ran->ranks);
    tr_print_bytes(program, run->planned_bytes);
    tr_print_bytes(peak, ran->peak_bytes);
    if (ran->needed_bytes > 0)
        snprintf(words, TR_RUN_MEMORY_WORDS_BYTES, "%s by the step program%s; %s were reckoned for the process%s, which had %s at its peak", program, of,
                 tr_print_bytes(needed, ran->needed_bytes), all, peak);
    else
        snprintf(words, TR_RUN_MEMORY_WORDS_BYTES, "%s by the step program%s; the process%s had %s at its peak", program, of, all, peak);
    return words;
}

void tr_run_explain_text(const struct tr_run_explained *run, struct tr_text *out)
{
    char memory[TR_RUN_MEMORY_WORDS_BYTES], now[TR_QUANTITY_BYTES];
    const double crowded = tr_run_profile_crowded(&run->ran);
    print_ran_by(run, out);
    print_whole(run, out);
    if (run->refined[0])
        tr_text_printf(out, "  prices   calibrated%s; errors are of both\n", run->refined);
    if (run->refined_ranks[0])
        tr_text_printf(out, "  ranks    what they take together was calibrated%s\n", run->refined_ranks);
    if (run->learned_from)
        tr_text_append(out, "  this run is among those: what is called predicted was learned from it too\n");
    print_rate_then(out, "cores", TR_UNIT_FLOP_S, "", run->ran.peak_flop_s, run->ran.looks.last.peak_flop_s, run->peak_then_flop_s);
    print_reading(run, out);
    print_hand(run, out);
    if (fabs(run->now_s / run->predicted_s - 1) > .005)
        tr_text_printf(out, tr_run_looks_tell(run) ? "  for a machine like that %s would be predicted: the run is %+.1f %% off it\n"
                                                   : "  for a machine like that %s would be predicted: the run is %+.1f %% off it, so that was of moments\n",
                       tr_print_time(now, run->now_s), percent(run->measured_s, run->now_s));
    if (crowded > 0)
        tr_text_printf(out, "  crowd    %.3g %% of the time of its steps other programs had cores that it wanted\n", 100 * crowded);
    tr_text_printf(out, "  calls, FLOPs and bytes of all operations%s are those of the step program%s\n",
                   run->ran.ranks > 1 ? ", and bytes that ranks sent," : "", run->ran.ranks > 1 ? "s" : "");
    tr_text_printf(out, "  memory   %s\n\n", tr_run_memory_words(run, memory));
    print_phases(run, out);
    tr_text_char(out, '\n');
    print_rows(run, out);
    print_shared(run, out);
}

static void coll_json(const struct tr_run_explained *run, const struct tr_run_coll_row *row, struct tr_json *json)
{
    char why[TR_RUN_WHY_BYTES];
    tr_run_coll_why(run, row, why);
    tr_json_object(json, NULL);
    tr_json_string(json, "collective", tr_coll_kind_name(row->kind));
    tr_json_string(json, "phase", tr_phase_name(row->phase));
    tr_json_double(json, "calls", row->calls);
    tr_json_double(json, "sent_bytes", row->bytes);
    tr_json_double(json, "measured_s", row->measured_s);
    tr_json_double(json, "predicted_wait_s", row->predicted_s);
    tr_json_string(json, "why", why);
    tr_json_end(json);
}

static void rank_json(const struct tr_run_rank_row *row, int rank, struct tr_json *json)
{
    tr_json_object(json, NULL);
    tr_json_int(json, "rank", rank);
    tr_json_double(json, "step_s", row->step_s);
    tr_json_double(json, "work_s", row->work_s);
    tr_json_double(json, "predicted_work_s", row->predicted_work_s);
    tr_json_double(json, "wait_s", row->wait_s);
    tr_json_double(json, "predicted_wait_s", row->predicted_wait_s);
    tr_json_double(json, "stage_wait_s", row->stage_s);
    tr_json_double(json, "predicted_stage_wait_s", row->predicted_stage_s);
    tr_json_double(json, "sent_bytes", row->bytes);
    tr_json_end(json);
}

static void shared_json(const struct tr_run_explained *run, struct tr_json *json)
{
    if (run->ran.ranks == 1)
        return;
    tr_run_layout_write(&run->ran.layout, json);
    tr_json_int(json, "rank", run->ran.rank);
    tr_json_double(json, "wait_measured_s", run->wait_measured_s);
    tr_json_double(json, "wait_predicted_s", run->wait_predicted_s);
    if (run->bubble_planned > 0)
        tr_json_double(json, "bubble_planned", run->bubble_planned);
    tr_json_array(json, "collectives");
    for (int i = 0; i < run->colls; i++)
        coll_json(run, &run->coll[i], json);
    tr_json_end(json);
    tr_json_array(json, "each_rank");
    for (int i = 0; i < run->ran.each_count; i++)
        rank_json(&run->rank[i], i, json);
    tr_json_end(json);
}

static void phases_json(const struct tr_run_explained *run, struct tr_json *json)
{
    const struct phase_sums sums = sum_phases(run);
    tr_json_array(json, "phases");
    for (int phase = 0; phase < TR_PHASE_COUNT; phase++)
        if (sums.predicted_s[phase] > 0) {
            tr_json_object(json, NULL);
            tr_json_string(json, "phase", tr_phase_name((enum tr_phase)phase));
            tr_json_double(json, "measured_s", sums.measured_s[phase]);
            tr_json_double(json, "predicted_s", sums.predicted_s[phase]);
            tr_json_end(json);
        }
    tr_json_end(json);
}

static void row_json(const struct tr_run_explained *run, const struct tr_run_row *row, struct tr_json *json)
{
    char why[TR_RUN_WHY_BYTES];
    tr_run_why(run, row, why);
    tr_json_object(json, NULL);
    tr_json_string(json, "op", tr_op_operands(row->kind)->name);
    tr_json_string(json, "phase", tr_phase_name(row->phase));
    tr_json_double(json, "calls", row->calls);
    tr_json_double(json, "flop", row->flop);
    tr_json_double(json, "bytes", row->bytes);
    tr_json_double(json, "measured_s", row->measured_s);
    tr_json_double(json, "predicted_s", row->predicted_s);
    tr_json_double(json, "predicted_now_s", row->now_s);
    if (isfinite(row->error))
        tr_json_double(json, "error", row->error);
    tr_json_string(json, "why", why);
    tr_json_end(json);
}

void tr_run_explain_json(const struct tr_run_explained *run, const char *foreign, struct tr_text *out)
{
    struct tr_json json = tr_json_start(out, TR_JSON_PRETTY);
    tr_json_object(&json, NULL);
    tr_json_string(&json, "model", run->model);
    tr_json_int(&json, "steps", run->ran.steps);
    tr_json_int(&json, "ranks", run->ran.ranks);
    tr_json_int(&json, "threads", run->ran.threads);
    tr_json_double(&json, "crowded", tr_run_profile_crowded(&run->ran));
    tr_json_double(&json, "measured_s", run->measured_s);
    tr_json_double(&json, "predicted_s", run->predicted_s);
    tr_json_double(&json, "predicted_now_s", run->now_s);
    tr_json_bool(&json, "looks_tell", tr_run_looks_tell(run));
    tr_json_double(&json, "error", run->error);
    if (has_interval(run))
        tr_json_bool(&json, "inside_interval", is_inside(run));
    tr_json_int(&json, "profile_runs", run->profile_runs);
    tr_json_bool(&json, "profile_has_this_run", run->learned_from);
    tr_here_foreign_json(&json, foreign);
    tr_json_double(&json, "between_measured_s", run->between_measured_s);
    tr_json_double(&json, "between_predicted_s", run->between_predicted_s);
    tr_json_double(&json, "peak_flop_s", run->ran.peak_flop_s);
    tr_json_double(&json, "peak_calibrated_flop_s", run->peak_then_flop_s);
    tr_json_double(&json, "peak_ended_flop_s", run->ran.looks.last.peak_flop_s);
    tr_json_int(&json, "read_bytes", run->ran.looks.read_bytes);
    tr_json_bool(&json, "read_memory", run->read_memory);
    tr_json_double(&json, "memory_byte_s", run->ran.looks.first_read_byte_s);
    tr_json_double(&json, "memory_ended_byte_s", run->ran.looks.last.read_byte_s);
    tr_json_double(&json, "memory_calibrated_byte_s", run->memory_then_byte_s);
    tr_json_double(&json, "hand_s", run->ran.hand_s);
    tr_json_double(&json, "hand_calibrated_s", run->hand_then_s);
    tr_json_double(&json, "hand_ended_s", run->ran.looks.last.hand_s);
    tr_json_bool(&json, "apart", run->apart);
    tr_json_double(&json, "apart_share", run->apart_share);
    tr_json_int(&json, "memory_planned_bytes", run->planned_bytes);
    if (run->ran.needed_bytes > 0)
        tr_json_int(&json, "memory_needed_bytes", run->ran.needed_bytes);
    tr_json_int(&json, "memory_peak_bytes", run->ran.peak_bytes);
    phases_json(run, &json);
    tr_json_array(&json, "operations");
    for (int i = 0; i < run->rows; i++)
        row_json(run, &run->row[i], &json);
    tr_json_end(&json);
    shared_json(run, &json);
    tr_json_end(&json);
    tr_text_char(out, '\n');
}
