#include "plan/calibrate/learn.h"

#include "base/os.h"
#include "plan/calibrate/refine.h"
#include "plan/here/explain_run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MAX = 64 << 20, BY_BYTES = TR_KERNEL_REFINED_BY_MAX + 24 };

/* One entry of the profile while it learns. */
struct entry {
    struct tr_kernel_rates was, is;
    struct tr_run_seen seen[TR_KERNEL_RUNS_MAX];
    int runs;
    char by[BY_BYTES];
    char refined[TR_DATE_BYTES];
};

struct learner {
    const char *path;
    struct tr_catalog *catalog;
    struct entry entry[TR_LEARNED_MAX];
    int entries;
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
    if (strcmp(tr_isa_name(ran->isa), rates->isa) != 0)
        return tr_fail(err, TR_BAD_INPUT, "%s: its kernels were those of %s, the profile's are of %s", run, tr_isa_name(ran->isa), rates->isa);
    if (strcmp(ran->program, rates->program) != 0)
        return tr_fail(err, TR_BAD_INPUT, "%s: it is of trine %s, the profile of %s: calibrate again, or run again", run, ran->program,
                       rates->program);
    return TR_OK;
}

static enum tr_status check_run(const char *run, const struct tr_run_profile *ran, const struct entry *e, struct tr_err *err)
{
    enum tr_status status = check_machine(run, ran, &e->was, err);
    if (status != TR_OK)
        return status;
    if (tr_kernel_knows_run(&e->is, ran->attempt))
        return tr_fail(err, TR_BAD_INPUT, "%s: the profile has learned from this run already (attempt %lld), or it is given twice", run,
                       (long long)ran->attempt);
    if (tr_kernel_runs(&e->is) == TR_KERNEL_RUNS_MAX)
        return tr_fail(err, TR_BAD_INPUT, "%s: the profile has learned from %d runs of %d threads, as many as it keeps: calibrate again", run,
                       TR_KERNEL_RUNS_MAX, ran->threads);
    return TR_OK;
}

/* Once it is explained. */
static enum tr_status check_times(const char *run, const struct tr_run_explained *x, struct tr_err *err)
{
    double ratio = x->warm_s / x->predicted_s;
    if (x->warm_s <= 0)
        return tr_fail(err, TR_BAD_INPUT, "%s: has computed %lld step%s, and the first one is cold: there is nothing to learn from", run,
                       (long long)x->ran.steps, x->ran.steps == 1 ? "" : "s");
    if (!(ratio < TR_REFINE_RATIO_MAX) || !(ratio > 1 / TR_REFINE_RATIO_MAX))
        return tr_fail(err, TR_BAD_INPUT, "%s: a step took %.3g times what was predicted: something else was at work, or it is no run of this "
                       "machine; at most %g times is learned from", run, ratio, TR_REFINE_RATIO_MAX);
    return TR_OK;
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

static enum tr_status entry_for(struct learner *l, int threads, struct entry **out, struct tr_err *err)
{
    for (int i = 0; i < l->entries; i++)
        if (l->entry[i].was.threads == threads) {
            *out = &l->entry[i];
            return TR_OK;
        }
    if (l->entries == TR_LEARNED_MAX)
        return tr_fail(err, TR_BAD_INPUT, "runs of more than %d numbers of threads", TR_LEARNED_MAX);
    struct entry *e = &l->entry[l->entries];
    enum tr_status status = tr_kernel_rates_find(l->catalog, threads, &e->was, err);
    if (status != TR_OK)
        return status;
    e->is = e->was;
    snprintf(e->by, sizeof e->by, "%s", e->was.refined_by);
    tr_date(tr_wall_s(), e->refined);
    e->refined[10] = 0; /* the day */
    e->is.refined_by = e->by;
    e->is.refined = e->refined;
    l->entries++;
    *out = e;
    return TR_OK;
}

static enum tr_status take_run(struct learner *l, const char *run, struct tr_err *err)
{
    struct tr_run_explained *x = &l->explained;
    struct entry *e = NULL;
    enum tr_status status = tr_run_profile_read(run, &x->ran, err);
    if (status != TR_OK)
        return status;
    if (x->ran.ranks > 1)
        return tr_fail(err, TR_BAD_INPUT, "%s: is of %d ranks, which are in each other's way; operations are learned from runs of one rank", run,
                       x->ran.ranks);
    if ((status = entry_for(l, x->ran.threads, &e, err)) != TR_OK) {
        tr_err_prefix(err, "%s", run);
        return status;
    }
    if ((status = check_run(run, &x->ran, e, err)) != TR_OK || (status = tr_run_explain(run, l->catalog, x, err)) != TR_OK ||
        (status = check_times(run, x, err)) != TR_OK)
        return status;
    see(x, &e->seen[e->runs++]);
    size_t len = strlen(e->by);
    snprintf(e->by + len, sizeof e->by - len, "%s%lld", len ? " " : "", (long long)x->ran.attempt);
    return TR_OK;
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

/* The source that refined numbers name: a new one, or that of the last time with its date. */
static bool put_source(struct tr_text *text, const char *date)
{
    char line[128];
    const char *there = strstr(tr_text_str(text), source_start);
    snprintf(line, sizeof line, "%s\", date: %s, grade: measured}\n", source_start, date);
    if (there)
        return replace(text, source_start, strcspn(there, "\n") + (there[strcspn(there, "\n")] == '\n'), line);
    struct tr_text section = {0};
    tr_text_printf(&section, "sources:\n%s", line);
    bool found = replace(text, "sources:\n", strlen("sources:\n"), tr_text_str(&section));
    tr_text_free(&section);
    return found;
}

static enum tr_status put_entry(const struct learner *l, const struct entry *e, struct tr_text *text, struct tr_err *err)
{
    struct tr_text was = {0}, is = {0};
    tr_kernel_rates_yaml(&e->was, &was);
    tr_kernel_rates_yaml(&e->is, &is);
    enum tr_status status = tr_text_failed(&was, err) || tr_text_failed(&is, err) ? TR_FAILED : TR_OK;
    if (status == TR_OK && !(replace(text, tr_text_str(&was), was.len, tr_text_str(&is)) && put_source(text, e->refined)))
        status = tr_fail(err, TR_BAD_INPUT, "%s: kernels.%s is not as `trine calibrate` writes it, so it is left alone: calibrate again", l->path,
                         e->was.id);
    tr_text_free(&was);
    tr_text_free(&is);
    return status;
}

/* What is written can be read. */
static enum tr_status check_text(const struct learner *l, const struct tr_text *text, struct tr_err *err)
{
    struct tr_catalog *catalog = NULL;
    struct tr_kernel_rates rates;
    enum tr_status status = tr_catalog_open_empty(&catalog, err);
    if (status == TR_OK)
        status = tr_catalog_add_text(catalog, l->path, tr_text_str(text), text->len, err);
    for (int i = 0; i < l->entries && status == TR_OK; i++)
        status = tr_kernel_rates_find(catalog, l->entry[i].was.threads, &rates, err);
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
        status = put_entry(l, &l->entry[i], &text, err);
    if (status == TR_OK)
        status = tr_text_failed(&text, err) ? TR_FAILED : check_text(l, &text, err);
    if (status == TR_OK)
        status = tr_file_write(l->path, tr_text_str(&text), text.len, err);
    tr_text_free(&text);
    return status;
}

/* ---- all of it ---------------------------------------------------------------------------------------------------- */

static void refine(struct entry *e, struct tr_learned *out)
{
    struct tr_kernel_rates *is = &e->is;
    const struct tr_kernel_rates *was = &e->was;
    is->refined_by = was->refined_by; /* so many runs came before */
    tr_kernel_refine(e->seen, e->runs, is);
    is->refined_by = e->by;
    *out = (struct tr_learned){.threads = was->threads, .runs = e->runs, .runs_before = tr_kernel_runs(was), .step_error_was = was->step_error,
                               .step_error = is->step_error, .fastest = 1, .slowest = 1};
    bool any = false;
    for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++)
        for (int type = 0; type < TR_KERNEL_TYPES; type++)
            for (int i = 0; i < TR_KERNEL_TERMS_MAX; i++)
                if (is->price[kind][type].runs > was->price[kind][type].runs && was->price[kind][type].unit_s[i] > 0) {
                    double times = is->price[kind][type].unit_s[i] / was->price[kind][type].unit_s[i];
                    out->fastest = any ? fmin(out->fastest, times) : times;
                    out->slowest = any ? fmax(out->slowest, times) : times;
                    any = true;
                }
}

static enum tr_status learn(struct learner *l, char *const *run, int count, struct tr_learned *out, int *entries, struct tr_err *err)
{
    struct tr_learned learned[TR_LEARNED_MAX];
    enum tr_status status = tr_catalog_open_empty(&l->catalog, err);
    if (status == TR_OK)
        status = tr_catalog_add(l->catalog, l->path, err);
    for (int i = 0; i < count && status == TR_OK; i++)
        status = take_run(l, run[i], err);
    for (int i = 0; i < l->entries && status == TR_OK; i++)
        refine(&l->entry[i], &learned[i]);
    if (status == TR_OK)
        status = write_file(l, err);
    if (status != TR_OK)
        return status;
    memcpy(out, learned, (size_t)l->entries * sizeof *out);
    *entries = l->entries;
    return TR_OK;
}

enum tr_status tr_learn(const char *profile, char *const *run, int count, struct tr_learned out[TR_LEARNED_MAX], int *entries,
                        struct tr_err *err)
{
    struct learner *l = calloc(1, sizeof *l);
    TR_ASSERT(count >= 1);
    if (!l)
        return tr_fail(err, TR_FAILED, "out of memory for %zu bytes", sizeof *l);
    l->path = profile;
    enum tr_status status = learn(l, run, count, out, entries, err);
    tr_catalog_free(l->catalog);
    free(l);
    return status;
}
