#include "plan/calibrate/learn.h"

#include "base/os.h"
#include "plan/calibrate/learn_ranks.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MAX = 64 << 20, BY_BYTES = TR_REFINED_BY_MAX + 24 };

/* Which runs an entry has learned from, in the end. */
struct names {
    char by[BY_BYTES], date[TR_DATE_BYTES];
    struct tr_refined now; /* these */
};

/* One entry of the profile while it learns. */
struct entry {
    struct tr_kernel_rates was, is;
    struct tr_run_seen seen[TR_REFINED_RUNS_MAX];
    int runs;
    struct names names;
};

/* One record of ranks while it learns. */
struct record {
    struct tr_exchange_rates was, is;
    struct tr_kernel_rates rates[TR_REFINED_RUNS_MAX]; /* of the run's threads */
    struct tr_ranks_seen seen[TR_REFINED_RUNS_MAX];
    struct tr_run_profile ran[TR_REFINED_RUNS_MAX];
    const char *folder[TR_REFINED_RUNS_MAX];
    double step_error_was; /* half width */
    int runs, turns, untraced;
    struct names names;
};

struct learner {
    const char *path;
    struct tr_catalog *catalog;
    struct entry entry[TR_LEARNED_MAX];
    struct record record[TR_LEARNED_MAX];
    int entries, records;
    struct tr_text *left_out;
    struct tr_text taken; /* the folders of runs that are learned from, a blank before each, as in a string of JSON */
    struct tr_run_explained explained; /* scratch */
};

/* ---- may it be learned from? -------------------------------------------------------------------------------------- */

static enum tr_status check_machine(const char *run, const struct tr_run_profile *ran, const struct tr_kernel_rates *rates, struct tr_err *err)
{
    if (ran->attempt == 0 || !ran->processor[0] || !ran->program[0] || ran->cores == 0)
        return tr_fail(err, TR_BAD_INPUT, "%s: its profile.json does not say which machine and version of trine it is of, so nothing can be "
                       "learned from it; an older trine wrote it", run);
    if (strcmp(ran->processor, rates->processor) != 0 || ran->cores != rates->cores)
        return tr_fail(err, TR_BAD_INPUT, "%s: ran on %d cores of %s, and the profile is of %d of %s: only runs of its own machine can refine it",
                       run, ran->cores, ran->processor, rates->cores, rates->processor);
    if (ran->hosts > 1)
        return tr_fail(err, TR_BAD_INPUT, "%s: its ranks were on %d hosts, and a profile is of one machine", run, ran->hosts);
    if (strcmp(tr_isa_name(ran->isa), rates->isa) != 0)
        return tr_fail(err, TR_BAD_INPUT, "%s: its kernels were those of %s, the profile's are of %s", run, tr_isa_name(ran->isa), rates->isa);
    if (strcmp(ran->program, rates->program) != 0)
        return tr_fail(err, TR_BAD_INPUT, "%s: it is of trine %s, the profile of %s: calibrate again, or run again", run, ran->program,
                       rates->program);
    return TR_OK;
}

static enum tr_status check_run(const char *run, const struct tr_run_profile *ran, const struct names *names, struct tr_err *err)
{
    if (tr_refined_knows(&names->now, ran->attempt))
        return tr_fail(err, TR_BAD_INPUT, "%s: the profile has learned from this run already (attempt %lld), or it is given twice", run,
                       (long long)ran->attempt);
    if (tr_refined_runs(&names->now) == TR_REFINED_RUNS_MAX)
        return tr_fail(err, TR_BAD_INPUT, "%s: the profile has learned from %d runs like it, as many as it keeps: calibrate again", run,
                       TR_REFINED_RUNS_MAX);
    return TR_OK;
}

static void say_crowded(const struct tr_run_profile *ran, struct tr_text *why)
{
    const double crowded = tr_run_profile_crowded(ran);
    if (crowded > TR_LEARN_CROWDED_MAX)
        tr_text_printf(why, "%.3g %% of the time of its steps other programs had cores that it wanted", 100 * crowded);
}

/* What such a run took would be learned as what the kinds of operations take. */
static void say_distance(const struct tr_run_profile *ran, int unseen, double then_s, struct tr_text *why)
{
    if (unseen)
        tr_text_printf(why, "%sits cores were %s (a line of a cache took %.0f ns from one to another, and %.0f in the calibration), of which the "
                       "profile says nothing: `trine calibrate --force` when they are so adds it", why->len ? ", and " : "",
                       unseen > 0 ? "further apart" : "nearer each other", 1e9 * ran->hand_s, 1e9 * then_s);
}

static void say_times(const struct tr_run_explained *x, struct tr_text *why)
{
    const double ratio = x->warm_s / x->predicted_s;
    if (x->warm_s <= 0)
        tr_text_printf(why, "has computed %lld step%s, and the first one is cold: there is nothing to learn from", (long long)x->ran.steps,
                       x->ran.steps == 1 ? "" : "s");
    else if (!(ratio < TR_REFINE_RATIO_MAX) || !(ratio > 1 / TR_REFINE_RATIO_MAX))
        tr_text_printf(why, "a step took %.3g times what was predicted: something else was at work, or it is no run of this machine; at most %g times "
                       "is learned from", ratio, TR_REFINE_RATIO_MAX);
}

void tr_learn_why_not(const struct tr_run_explained *run, struct tr_text *why)
{
    say_crowded(&run->ran, why);
    say_distance(&run->ran, run->unseen, run->hand_then_s, why);
    if (!why->len)
        say_times(run, why);
}

/* Once it is explained. */
static enum tr_status check_times(const char *run, const struct tr_run_explained *x, struct tr_err *err)
{
    struct tr_text why = {0};
    say_times(x, &why);
    enum tr_status status = why.len ? tr_fail(err, TR_BAD_INPUT, "%s: %s", run, tr_text_str(&why)) : TR_OK;
    tr_text_free(&why);
    return status;
}

/* ---- what a run says ---------------------------------------------------------------------------------------------- */

/* A kind has one type in nearly all programs; where it has both, they share what was measured as predicted. */
static void see_row(const struct tr_run_row *row, double steps, struct tr_run_seen *seen)
{
    const double share[TR_KERNEL_TYPES] = {1 - row->bf16, row->bf16};
    if (!isfinite(row->error)) {
        seen->rest_said_s += row->predicted_s;
        return;
    }
    for (int type = 0; type < TR_KERNEL_TYPES; type++) {
        seen->said_s[row->kind][type] += share[type] * row->predicted_s;
        seen->took_s[row->kind][type] += share[type] * row->warm_s;
        seen->all_s[row->kind][type] += share[type] * row->warm_s * (steps - 1);
    }
}

static void see(const struct tr_run_explained *x, struct tr_run_seen *seen)
{
    *seen = (struct tr_run_seen){.step_took_s = x->warm_s, .between_took_s = x->warm_s, .between_said_s = x->between_predicted_s};
    for (int i = 0; i < x->rows; i++) {
        see_row(&x->row[i], (double)x->ran.steps, seen);
        seen->between_took_s -= x->row[i].warm_s;
    }
}

static void open_names(struct names *names, const struct tr_refined *was)
{
    snprintf(names->by, sizeof names->by, "%s", was->by ? was->by : "");
    tr_date(tr_wall_s(), names->date);
    names->date[10] = 0; /* the day */
    names->now = (struct tr_refined){names->date, names->by};
}

static void add_name(struct names *names, int64_t attempt)
{
    size_t len = strlen(names->by);
    snprintf(names->by + len, sizeof names->by - len, "%s%lld", len ? " " : "", (long long)attempt);
}

/* For one more entry or record. */
static enum tr_status check_room(const struct learner *l, struct tr_err *err)
{
    if (l->entries + l->records < TR_LEARNED_MAX)
        return TR_OK;
    return tr_fail(err, TR_BAD_INPUT, "runs of more than %d kinds, by threads and ranks", TR_LEARNED_MAX);
}

static enum tr_status entry_for(struct learner *l, int threads, struct entry **out, struct tr_err *err)
{
    for (int i = 0; i < l->entries; i++)
        if (l->entry[i].was.threads == threads) {
            *out = &l->entry[i];
            return TR_OK;
        }
    struct entry *e = &l->entry[l->entries];
    enum tr_status status = check_room(l, err);
    if (status == TR_OK)
        status = tr_kernel_rates_find(l->catalog, threads, &e->was, err);
    if (status != TR_OK)
        return status;
    e->is = e->was;
    open_names(&e->names, &e->was.refined);
    l->entries++;
    *out = e;
    return TR_OK;
}

static enum tr_status take_alone(struct learner *l, const char *run, struct tr_err *err)
{
    struct tr_run_explained *x = &l->explained;
    struct entry *e = NULL;
    enum tr_status status = entry_for(l, x->ran.threads, &e, err);
    if (status != TR_OK) {
        tr_err_prefix(err, "%s", run);
        return status;
    }
    if ((status = check_run(run, &x->ran, &e->names, err)) != TR_OK || (status = tr_run_explain(run, l->catalog, 0, x, err)) != TR_OK ||
        (status = check_times(run, x, err)) != TR_OK)
        return status;
    see(x, &e->seen[e->runs++]);
    add_name(&e->names, x->ran.attempt);
    return TR_OK;
}

/* Of so many ranks, and no others. */
static enum tr_status find_record(const struct learner *l, const struct tr_run_profile *ran, struct tr_exchange_rates *out, struct tr_err *err)
{
    enum tr_status status = tr_exchange_find(l->catalog, ran->transport, ran->ranks, out, err);
    if (status == TR_NO || (status == TR_OK && out->ranks != ran->ranks))
        return tr_fail(err, TR_BAD_INPUT, "%s says nothing of %d ranks that exchange bytes by %s, so there is nothing that the run could refine%s",
                       l->path, ran->ranks, ran->transport,
                       strcmp(ran->transport, "mpi") == 0 ? ": `mpirun -n N trine calibrate --ranks` adds so many" : "");
    return status;
}

static enum tr_status record_for(struct learner *l, const struct tr_run_profile *ran, struct record **out, struct tr_err *err)
{
    for (int i = 0; i < l->records; i++)
        if (l->record[i].was.ranks == ran->ranks && strcmp(l->record[i].was.transport, ran->transport) == 0) {
            *out = &l->record[i];
            return TR_OK;
        }
    struct record *r = &l->record[l->records];
    enum tr_status status = check_room(l, err);
    if (status == TR_OK)
        status = find_record(l, ran, &r->was, err);
    if (status != TR_OK)
        return status;
    r->is = r->was;
    open_names(&r->names, &r->was.refined);
    l->records++;
    *out = r;
    return TR_OK;
}

/* Ranks whose cores are apart have another memory between them, and messages take longer. */
static enum tr_status check_distance(const struct tr_run_profile *ran, const struct tr_exchange_rates *was, struct tr_err *err)
{
    struct tr_exchange_rates now = *was;
    if (tr_exchange_set_apart(&now, ran->hand_s))
        return tr_fail(err, TR_BAD_INPUT, "its cores were apart (a line of a cache took %.0f ns from one to another, and %.0f when the record of %d ranks "
                       "was measured): it says nothing of that", 1e9 * ran->hand_s, 1e9 * was->hand_s, ran->ranks);
    return TR_OK;
}

static enum tr_status take_ranks(struct learner *l, const char *run, struct tr_err *err)
{
    struct tr_run_explained *x = &l->explained;
    struct tr_kernel_rates rates;
    struct record *r = NULL;
    bool traced = false;
    enum tr_status status = tr_kernel_rates_for(l->catalog, x->ran.threads, &rates, err);
    if (status == TR_OK) {
        tr_kernel_set_apart(&rates, x->ran.hand_s);
        status = record_for(l, &x->ran, &r, err);
    }
    if (status == TR_OK)
        status = check_distance(&x->ran, &r->was, err);
    if (status != TR_OK) {
        tr_err_prefix(err, "%s", run);
        return status;
    }
    if ((status = check_run(run, &x->ran, &r->names, err)) != TR_OK || (status = tr_run_explain(run, l->catalog, 0, x, err)) != TR_OK ||
        (status = check_times(run, x, err)) != TR_OK ||
        (status = tr_ranks_see(run, x, &rates, &r->was, &r->seen[r->runs], &traced, err)) != TR_OK)
        return status;
    bool turns = tr_ranks_take_turns(&rates, x->ran.ranks);
    r->rates[r->runs] = rates;
    r->ran[r->runs] = x->ran;
    r->folder[r->runs++] = run;
    r->turns += turns;
    r->untraced += !turns && !traced;
    r->step_error_was = fmax(r->step_error_was, tr_exchange_step_error(&r->was, rates.step_error));
    add_name(&r->names, x->ran.attempt);
    return TR_OK;
}

/* Whether other programs had a part in its times, or its cores stood as in no calibration: then that is said. */
static bool leave_out(struct learner *l, const char *run)
{
    const struct tr_run_profile *ran = &l->explained.ran;
    struct tr_kernel_rates rates;
    struct tr_err none;
    struct tr_text why = {0};
    say_crowded(ran, &why);
    if (tr_kernel_rates_for(l->catalog, ran->threads, &rates, &none) == TR_OK)
        say_distance(ran, tr_kernel_unseen(&rates.machine, ran->hand_s), rates.machine.hand_s, &why);
    bool left_out = why.len > 0;
    if (left_out)
        tr_text_printf(l->left_out, "%s: left out: %s\n", run, tr_text_str(&why));
    tr_text_free(&why);
    return left_out;
}

/* Whose machine it is comes first: all entries of a profile are of one. */
static enum tr_status take_run(struct learner *l, const char *run, struct tr_err *err)
{
    struct tr_kernel_rates any;
    enum tr_status status = tr_run_profile_read(run, 0, &l->explained.ran, err);
    if (status == TR_OK)
        status = tr_kernel_rates_find(l->catalog, 0, &any, err);
    if (status == TR_OK)
        status = check_machine(run, &l->explained.ran, &any, err);
    if (status != TR_OK || leave_out(l, run))
        return status;
    status = l->explained.ran.ranks > 1 ? take_ranks(l, run, err) : take_alone(l, run, err);
    tr_text_char(&l->taken, ' ');
    tr_text_append_json(&l->taken, run, strlen(run));
    return status;
}

/* ---- the file ----------------------------------------------------------------------------------------------------- */

static const char source_start[] = "  runs: {title: \"trine calibrate --from";

/* `text` with the first `was` become `is`; false: it is not there. */
static bool replace(struct tr_text *text, const char *was, size_t was_bytes, const char *is)
{
    struct tr_text out = {0};
    const char *at = strstr(tr_text_str(text), was);
    if (!at)
        return false;
    tr_text_append_bytes(&out, tr_text_str(text), (size_t)(at - tr_text_str(text)));
    tr_text_append(&out, is);
    tr_text_append(&out, at + was_bytes);
    tr_text_free(text);
    *text = out;
    return true;
}

/* The source that refined numbers name: a new one, or that of the last time, with these runs and their date. */
static bool put_source(struct tr_text *text, const char *runs, const char *date)
{
    static const char first[] = "sources:\n";
    struct tr_text line = {0};
    const char *there = strstr(tr_text_str(text), source_start), *end = there ? strstr(there, "\", date: ") : NULL;
    if (there && !end)
        return false;
    if (there)
        tr_text_append_bytes(&line, there, (size_t)(end - there));
    else
        tr_text_printf(&line, "%s%s", first, source_start);
    tr_text_printf(&line, "%s\", date: %s, grade: measured}\n", runs, date);
    bool found = there ? replace(text, source_start, strcspn(there, "\n") + (there[strcspn(there, "\n")] == '\n'), tr_text_str(&line))
                       : replace(text, first, strlen(first), tr_text_str(&line));
    tr_text_free(&line);
    return found;
}

/* One entry of a section, as it was, becomes what it is. */
static enum tr_status put_entry(const struct learner *l, const char *section, const char *id, struct tr_text *was, struct tr_text *is,
                                struct tr_text *text, struct tr_err *err)
{
    enum tr_status status = tr_text_failed(was, err) || tr_text_failed(is, err) ? TR_FAILED : TR_OK;
    if (status == TR_OK && !replace(text, tr_text_str(was), was->len, tr_text_str(is)))
        status = tr_fail(err, TR_BAD_INPUT, "%s: %s.%s is not as `trine calibrate` writes it, so it is left alone: calibrate again", l->path,
                         section, id);
    tr_text_free(was);
    tr_text_free(is);
    return status;
}

static enum tr_status put_rates(const struct learner *l, const struct entry *e, struct tr_text *text, struct tr_err *err)
{
    struct tr_text was = {0}, is = {0};
    tr_kernel_rates_yaml(&e->was, &was);
    tr_kernel_rates_yaml(&e->is, &is);
    return put_entry(l, "kernels", e->was.id, &was, &is, text, err);
}

static enum tr_status put_record(const struct learner *l, const struct record *r, struct tr_text *text, struct tr_err *err)
{
    struct tr_text was = {0}, is = {0};
    tr_exchange_yaml(&r->was, &was);
    tr_exchange_yaml(&r->is, &is);
    return put_entry(l, "exchanges", r->was.id, &was, &is, text, err);
}

/* What is written can be read. */
static enum tr_status check_text(const struct learner *l, const struct tr_text *text, struct tr_err *err)
{
    struct tr_catalog *catalog = NULL;
    struct tr_kernel_rates rates;
    struct tr_exchange_rates record;
    enum tr_status status = tr_catalog_open_empty(&catalog, err);
    if (status == TR_OK)
        status = tr_catalog_add_text(catalog, l->path, tr_text_str(text), text->len, err);
    for (int i = 0; i < l->entries && status == TR_OK; i++)
        status = tr_kernel_rates_find(catalog, l->entry[i].was.threads, &rates, err);
    for (int i = 0; i < l->records && status == TR_OK; i++)
        status = tr_exchange_find(catalog, l->record[i].was.transport, l->record[i].was.ranks, &record, err);
    tr_catalog_free(catalog);
    return status;
}

static enum tr_status write_file(const struct learner *l, struct tr_err *err)
{
    struct tr_bytes bytes;
    struct tr_text text = {0};
    enum tr_status status = tr_file_read(l->path, FILE_MAX, &bytes, err);
    if (status != TR_OK)
        return status;
    tr_text_append_bytes(&text, bytes.at, bytes.len);
    tr_bytes_free(&bytes);
    for (int i = 0; i < l->entries && status == TR_OK; i++)
        status = put_rates(l, &l->entry[i], &text, err);
    for (int i = 0; i < l->records && status == TR_OK; i++)
        status = put_record(l, &l->record[i], &text, err);
    const char *date = l->entries ? l->entry[0].names.date : l->record[0].names.date;
    if (status == TR_OK && !put_source(&text, tr_text_str(&l->taken), date))
        status = tr_fail(err, TR_BAD_INPUT, "%s: its sources are not as `trine calibrate` writes them, so it is left alone: calibrate again", l->path);
    if (status == TR_OK)
        status = tr_text_failed(&text, err) ? TR_FAILED : check_text(l, &text, err);
    if (status == TR_OK)
        status = tr_file_write(l->path, tr_text_str(&text), text.len, err);
    tr_text_free(&text);
    return status;
}

/* ---- all of it ---------------------------------------------------------------------------------------------------- */

/* How far numbers moved: the least and the most. */
static void note_move(double was, double is, double *fastest, double *slowest)
{
    double times = is / was;
    *fastest = *fastest > 0 ? fmin(*fastest, times) : times;
    *slowest = fmax(*slowest, times);
}

static void refine(struct entry *e, struct tr_learned *out)
{
    struct tr_kernel_rates *is = &e->is;
    const struct tr_kernel_rates *was = &e->was;
    tr_kernel_refine(e->seen, e->runs, is); /* which knows by itself how many runs came before */
    is->refined = e->names.now;
    *out = (struct tr_learned){.threads = was->threads, .ranks = 1, .runs = e->runs, .runs_before = tr_refined_runs(&was->refined),
                               .step_error_was = was->step_error, .step_error = is->step_error};
    for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++)
        for (int type = 0; type < TR_KERNEL_TYPES; type++)
            for (int i = 0; i < TR_KERNEL_TERMS_MAX; i++)
                if (is->price[kind][type].runs > was->price[kind][type].runs && was->price[kind][type].unit_s[i] > 0)
                    note_move(was->price[kind][type].unit_s[i], is->price[kind][type].unit_s[i], &out->fastest, &out->slowest);
}

/* What the others alone would have said of each run's step. */
static enum tr_status say_by_others(struct record *r, struct tr_err *err)
{
    enum tr_status status = TR_OK;
    for (int i = 0; i < r->runs && r->runs > 1 && status == TR_OK; i++) {
        struct tr_exchange_rates others = r->was;
        tr_exchange_refine(r->seen, r->runs, i, &others);
        status = tr_ranks_said(r->folder[i], &r->ran[i], &r->rates[i], &others, &r->seen[i].step_said_s, err);
    }
    return status;
}

static enum tr_status refine_record(struct record *r, struct tr_learned *out, struct tr_err *err)
{
    struct tr_exchange_rates *is = &r->is;
    const struct tr_exchange_rates *was = &r->was;
    int before = tr_refined_runs(&was->refined);
    enum tr_status status = say_by_others(r, err);
    if (status != TR_OK)
        return status;
    tr_exchange_refine(r->seen, r->runs, -1, is);
    is->step_error = tr_exchange_refined_error(r->seen, r->runs, r->step_error_was, before);
    is->refined = r->names.now;
    *out = (struct tr_learned){.threads = r->rates[0].threads, .ranks = was->ranks, .runs = r->runs, .runs_before = before, .turns = r->turns,
                               .untraced = r->untraced, .step_error_was = r->step_error_was, .step_error = is->step_error};
    snprintf(out->transport, sizeof out->transport, "%s", was->transport);
    for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++)
        if (is->work_runs[kind] > was->work_runs[kind])
            note_move(tr_exchange_shared(was, (enum tr_op_kind)kind), tr_exchange_shared(is, (enum tr_op_kind)kind), &out->fastest, &out->slowest);
    for (int kind = 0; kind < TR_COLL_KIND_COUNT; kind++)
        for (int size = 0; size < TR_EXCHANGE_SIZES; size++)
            if (is->time_runs[kind][size] > was->time_runs[kind][size])
                note_move(was->time_s[kind][size], is->time_s[kind][size], &out->moves_fastest, &out->moves_slowest);
    return TR_OK;
}

/* Also what these runs do not ask for: a file that is wrong somewhere is not written anew. */
static enum tr_status check_records(const struct learner *l, struct tr_err *err)
{
    struct tr_exchange_rates any;
    enum tr_status status = tr_exchange_find(l->catalog, "threads", 2, &any, err);
    return status == TR_NO ? TR_OK : status;
}

static enum tr_status learn(struct learner *l, char *const *run, int count, struct tr_learned *out, int *entries, struct tr_err *err)
{
    struct tr_learned learned[TR_LEARNED_MAX];
    enum tr_status status = tr_catalog_open_empty(&l->catalog, err);
    if (status == TR_OK)
        status = tr_catalog_add(l->catalog, l->path, err);
    if (status == TR_OK)
        status = check_records(l, err);
    for (int i = 0; i < count && status == TR_OK; i++)
        status = take_run(l, run[i], err);
    if (status == TR_OK && l->entries + l->records == 0)
        status = TR_NO;
    for (int i = 0; i < l->entries && status == TR_OK; i++)
        refine(&l->entry[i], &learned[i]);
    for (int i = 0; i < l->records && status == TR_OK; i++)
        status = refine_record(&l->record[i], &learned[l->entries + i], err);
    if (status == TR_OK)
        status = write_file(l, err);
    if (status != TR_OK)
        return status;
    *entries = l->entries + l->records;
    memcpy(out, learned, (size_t)*entries * sizeof *out);
    return TR_OK;
}

enum tr_status tr_learn(const char *profile, char *const *run, int count, struct tr_learned out[TR_LEARNED_MAX], int *entries,
                        struct tr_text *left_out, struct tr_err *err)
{
    struct learner *l = calloc(1, sizeof *l);
    TR_ASSERT(count >= 1);
    if (!l)
        return tr_fail(err, TR_FAILED, "out of memory for %zu bytes", sizeof *l);
    l->path = profile;
    l->left_out = left_out;
    enum tr_status status = learn(l, run, count, out, entries, err);
    tr_catalog_free(l->catalog);
    tr_text_free(&l->taken);
    free(l);
    return status;
}
