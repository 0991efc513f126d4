#include "plan/calibrate/calibrate.h"
#include "plan/calibrate/learn.h"
#include "plan/story/inside.h"

#include <math.h>
#include <string.h>

static enum tr_status read_run(struct story *s, const char *folder, struct tr_err *err)
{
    char path[TR_PATH_BYTES];
    enum tr_status status = tr_run_files_read(&s->files, folder, err);
    if (status == TR_OK)
        status = tr_run_profile_read(folder, TR_RANK_SLOWEST, &s->ran, err);
    if (status == TR_OK)
        status = tr_doc_double(tr_doc_root(s->files.profile), "parameters", TR_REQUIRED, 1, 1e18, &s->parameters, err);
    if (status == TR_OK)
        status = tr_doc_double(tr_doc_root(s->files.profile), "flop_per_token", TR_REQUIRED, 0, 1e30,
                               &s->flop_per_token, err);
    s->attempt_steps = (double)s->ran.steps;
    if (status == TR_OK)
        status = tr_doc_double(tr_doc_root(s->files.profile), "steps", TR_OPTIONAL, 0, 1e18, &s->attempt_steps, err);
    if (status == TR_OK)
        status = tr_path_join(path, folder, "config.yaml", err);
    if (status == TR_OK)
        status = tr_run_config_read(&s->config, path, NULL, 0, err);
    const struct tr_run_files *f = &s->files;
    if (status == TR_OK && (f->step_count == 0 || story_steps(s) == 0 || s->ran.steps == 0 || !(s->ran.steps_s > 0)))
        status = tr_fail(err, TR_BAD_INPUT, "%s: its newest attempt has computed no step yet", folder);
    if (status == TR_OK && !(f->tokens > 0 && f->tokens < 1e30 && f->steps_planned > 0 && f->steps_planned < 1e15))
        status = tr_fail(err, TR_BAD_INPUT,
                         "%s/metrics.jsonl: its last step has no \"tokens\" and \"steps\" that can be", folder);
    return status;
}

/* A run that was stopped before its first checkpoint has no hash; one whose checkpoint is damaged has no story. */
static enum tr_status read_hash(struct story *s, const char *folder, struct tr_err *err)
{
    char path[TR_PATH_BYTES], name[32];
    snprintf(name, sizeof name, "step-%08lld", (long long)story_steps(s));
    enum tr_status status = tr_path_join(path, folder, name, err);
    return status != TR_OK || !tr_folder_exists(path) ? status : tr_hash_path(path, &s->hash, err);
}

static void see_differences(struct story *s)
{
    const struct tr_whose whose = tr_whose_of_run(&s->ran);
    tr_calibrate_differs(&s->most, &whose, &s->differs);
}

static enum tr_status read_prediction(struct story *s, struct tr_err *err)
{
    const struct tr_catalog *profile = s->request->profile;
    enum tr_status status = tr_kernel_rates_for(profile, s->ran.threads, &s->rates, err);
    if (status == TR_OK)
        status = tr_kernel_rates_find(profile, 0, &s->most, err);
    if (status == TR_OK)
        status = tr_chip_find(profile, s->rates.chip, &s->chip, err);
    if (status != TR_OK) {
        tr_err_prefix(err, "%s", s->request->profile_path);
        return status;
    }
    see_differences(s);
    status = tr_run_explain(s->request->run_folder, profile, TR_RANK_SLOWEST, &s->run, err);
    if (status == TR_OK && !(s->run.predicted_s > 0))
        status = tr_fail(err, TR_BAD_INPUT, "%s: its kernels have no rates, so it predicts nothing",
                         s->request->profile_path);
    s->predicted = status == TR_OK;
    return status;
}

static enum tr_status read_learned(struct story *s, struct tr_err *err)
{
    const struct tr_catalog *refined = s->request->refined;
    if (!s->predicted)
        return tr_fail(err, TR_BAD_INPUT, "%s: what a profile has learned is held against what it was, and there is no profile from before",
                       s->request->refined_path);
    enum tr_status status = tr_run_explain(s->request->run_folder, refined, TR_RANK_SLOWEST, &s->after, err);
    if (status == TR_OK && !s->after.learned_from)
        tr_learn_why_not(&s->after, &s->not_learned);
    if (status == TR_OK && !s->after.learned_from && !s->not_learned.len)
        status = tr_fail(err, TR_BAD_INPUT, "%s: has not learned from %s: `trine calibrate --from` does that", s->request->refined_path,
                         s->request->run_folder);
    s->learned = status == TR_OK;
    return status;
}

/* Made again, a plan must say what its file says: a story's numbers are those that were read when it was made. */
static enum tr_status read_plan(struct story *s, const char *path, struct tr_err *err)
{
    struct story_plan *p = &s->plan[s->plan_count++];
    char then[TR_QUANTITY_BYTES], now[TR_QUANTITY_BYTES];
    enum tr_status status = tr_plan_file_read(path, &p->file, err);
    if (status == TR_OK && !(p->file.step_s > 0))
        status = tr_fail(err, TR_BAD_INPUT,
                         "%s: has no answer.step_s; it may have been cut short: `trine plan -o` writes "
                         "it anew",
                         path);
    if (status == TR_OK)
        status = tr_plan_make(s->request->catalog, &p->file.request, &p->plan, err);
    if (!p->plan)
        return status;
    if (fabs(p->plan->step.time_s / p->file.step_s - 1) > 1e-6)
        return tr_fail(err, TR_BAD_INPUT,
                       "%s says %s a step, this program and catalog %s: `trine plan -o` makes it anew", path,
                       tr_print_time(then, p->file.step_s), tr_print_time(now, p->plan->step.time_s));
    return TR_OK;
}

enum tr_status story_read(const struct tr_story_request *request, struct story *s, struct tr_err *err)
{
    s->request = request;
    if (request->plan_count > TR_STORY_PLANS_MAX)
        return tr_fail(err, TR_BAD_INPUT, "%d plans: a page has room for %d", request->plan_count, TR_STORY_PLANS_MAX);
    enum tr_status status = read_run(s, request->run_folder, err);
    if (status == TR_OK)
        status = read_hash(s, request->run_folder, err);
    if (status == TR_OK && request->profile)
        status = read_prediction(s, err);
    if (status == TR_OK && request->refined)
        status = read_learned(s, err);
    for (int i = 0; i < request->plan_count && status == TR_OK; i++)
        status = read_plan(s, request->plan_path[i], err);
    return status;
}

void story_free(struct story *s)
{
    tr_run_files_free(&s->files);
    tr_text_free(&s->differs);
    tr_text_free(&s->not_learned);
    for (int i = 0; i < s->plan_count; i++)
        tr_plan_free(s->plan[i].plan);
}
