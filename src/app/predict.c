#include "app/predict.h"

#include "app/app.h"
#include "base/os.h"
#include "base/quantity.h"
#include "plan/calibrate/calibrate.h"
#include "plan/here/choose.h"

#include <stdio.h>

enum tr_status tr_app_predict_open(struct tr_app_prediction *to, const char *path, struct tr_err *err)
{
    static const char usual[] = "profile.yaml";
    to->path = path ? path : tr_file_exists(usual) ? usual : NULL;
    if (!to->path)
        return TR_OK;
    enum tr_status status = tr_catalog_open_empty(&to->catalog, err);
    return status == TR_OK ? tr_catalog_add(to->catalog, to->path, err) : status;
}

void tr_app_predict_close(struct tr_app_prediction *prediction)
{
    tr_catalog_free(prediction->catalog);
    tr_text_free(&prediction->foreign);
}

/* `why`: what differs; it is emptied. */
static bool set_foreign(struct tr_app_prediction *to, struct tr_text *why)
{
    tr_text_clear(&to->foreign);
    if (why->len)
        tr_text_printf(&to->foreign, "%s is of another machine or trine%s", to->path, tr_text_str(why));
    tr_text_free(why);
    return to->foreign.len > 0;
}

/* Whether such rates are of another machine than this, whose ranks may use `cores` together. */
static bool is_foreign(struct tr_app_prediction *to, const struct tr_kernel_rates *rates, int cores)
{
    struct tr_text why = {0};
    tr_calibrate_foreign(rates, cores, tr_app_program(), &why);
    return set_foreign(to, &why);
}

void tr_app_note_foreign(struct tr_app_prediction *prediction, int threads)
{
    struct tr_kernel_rates rates;
    struct tr_err ignored;
    if (tr_kernel_rates_for(prediction->catalog, threads, &rates, &ignored) == TR_OK && is_foreign(prediction, &rates, tr_cores_usable()))
        fprintf(stderr, "note: %s\n", tr_text_str(&prediction->foreign));
}

void tr_app_note_foreign_run(struct tr_app_prediction *prediction, const char *folder)
{
    struct tr_run_profile ran;
    struct tr_kernel_rates rates;
    struct tr_text why = {0};
    struct tr_err ignored;
    if (!prediction->path || tr_run_profile_read(folder, 0, &ran, &ignored) != TR_OK ||
        tr_kernel_rates_for(prediction->catalog, ran.threads, &rates, &ignored) != TR_OK)
        return;
    const struct tr_whose whose = tr_whose_of_run(&ran);
    tr_calibrate_differs(&rates, &whose, &why);
    if (set_foreign(prediction, &why))
        fprintf(stderr, "note: %s\n", tr_text_str(&prediction->foreign));
}

static void put_count(struct tr_text *out, const char *before, int64_t count, const char *what)
{
    tr_text_printf(out, "%s%lld %s%s", before, (long long)count, what, count == 1 ? "" : "s");
}

/* `of`: "" or " of all ranks"; `refined`: by how many runs the profile was. */
static void put(const struct tr_app_prediction *to, const struct tr_kernel_rates *rates, const struct tr_train_ahead *ahead, const char *of,
                const char *refined, struct tr_text *out)
{
    const struct tr_train_predicted *said = &to->said;
    char unmeasured[TR_UNMEASURED_WORDS_BYTES];
    char step[TR_QUANTITY_BYTES], steps[TR_QUANTITY_BYTES], all[TR_QUANTITY_BYTES];
    tr_text_printf(out, "predicted %s a step%s +- %.0f %%, the ", tr_print_time(step, said->step_s), of, 100 * said->error);
    if (ahead->steps < ahead->config->steps) /* resumed */
        tr_text_printf(out, "last %lld of %lld", (long long)ahead->steps, (long long)ahead->config->steps);
    else
        tr_text_printf(out, "%lld", (long long)ahead->steps);
    tr_text_printf(out, " steps in %s", tr_print_time(steps, (double)ahead->steps * said->step_s));
    put_count(out, ", with ", ahead->evaluations, "evaluation");
    if (ahead->samples > 0)
        put_count(out, ", ", ahead->samples, "sample");
    put_count(out, " and ", ahead->saves, "checkpoint");
    tr_text_printf(out, " in %s +- %.0f %% (%s%s%s", tr_print_time(all, said->run_s), 100 * said->run_error, to->path, refined,
                   tr_kernel_unmeasured_words(rates, unmeasured));
    if (rates->machine.scale > 0 && rates->machine.scale < 1)
        tr_text_printf(out, ", measured in %.3g of the usual time", rates->machine.scale);
    tr_text_char(out, ')');
}

static void predict_alone(struct tr_app_prediction *to, const struct tr_kernel_rates *rates, const struct tr_train_ahead *ahead,
                          struct tr_text *out)
{
    char refined[TR_REFINED_WORDS_BYTES];
    struct tr_here_time time;
    tr_here_step(rates, ahead->program, &time);
    to->said = (struct tr_train_predicted){.step_s = time.step_s, .error = time.error};
    tr_here_end(rates, ahead, tr_here_passes_alone(rates, ahead->program, ahead->eval_micros), &to->said);
    put(to, rates, ahead, "", tr_refined_words(&rates->refined, refined), out);
}

/* All ranks' programs follow from this one's. Data parallel ranks share the windows of an evaluation. */
static enum tr_status price_ranks(const struct tr_app_prediction *to, const struct tr_train_ahead *ahead, struct tr_ranks_price *out,
                                  struct tr_err *err)
{
    struct tr_run_programs programs;
    enum tr_isa isa = TR_ISA_REF;
    enum tr_status status = ahead->hosts > 1 ? tr_fail(err, TR_BAD_INPUT, "a profile is of one host, and ranks are on %d", ahead->hosts)
                                             : tr_isa_choose(&isa, err);
    struct tr_machine machine = {tr_kernel_set(isa), ahead->threads};
    if (status == TR_OK)
        status = tr_run_programs_make(&ahead->program->model, &ahead->program->step, machine, &programs, err);
    if (status != TR_OK)
        return status;
    int64_t dp = tr_degrees_of(&ahead->program->step.place.degrees, TR_GROUP_DATA);
    status = tr_here_price_ranks(to->catalog, to->transport, ahead->fit.hand_s, &programs, (ahead->eval_micros + dp - 1) / dp, out, err);
    tr_run_programs_free(&programs);
    return status;
}

static void predict_ranks(struct tr_app_prediction *to, const struct tr_kernel_rates *rates, const struct tr_train_ahead *ahead,
                          struct tr_text *out)
{
    struct tr_ranks_price price;
    if (price_ranks(to, ahead, &price, &to->unsaid) != TR_OK)
        return;
    to->said = (struct tr_train_predicted){.step_s = price.step_s, .error = price.error};
    tr_here_end(rates, ahead, price.passes_s, &to->said);
    put(to, rates, ahead, " of all ranks", price.refined, out);
}

double tr_app_price(void *context, const struct tr_program *program, int threads, double hand_s)
{
    const struct tr_app_prediction *from = context;
    struct tr_kernel_rates rates;
    struct tr_text foreign = {0};
    struct tr_here_time time = {0};
    struct tr_err ignored;
    if (tr_kernel_rates_for(from->catalog, threads, &rates, &ignored) != TR_OK)
        return 0;
    tr_kernel_set_apart(&rates, hand_s);
    tr_calibrate_foreign(&rates, tr_cores_usable(), tr_app_program(), &foreign);
    if (!foreign.len)
        tr_here_step(&rates, program, &time);
    tr_text_free(&foreign);
    return time.step_s;
}

static void predict(struct tr_app_prediction *to, const struct tr_train_ahead *ahead, struct tr_text *say)
{
    struct tr_kernel_rates rates;
    if (tr_kernel_rates_for(to->catalog, ahead->threads, &rates, &to->unsaid) != TR_OK) {
        tr_err_prefix(&to->unsaid, "%s", to->path);
        return;
    }
    tr_kernel_set_apart(&rates, ahead->fit.hand_s);
    if (is_foreign(to, &rates, ahead->cores))
        (void)tr_fail(&to->unsaid, TR_BAD_INPUT, "%s", tr_text_str(&to->foreign));
    else if (tr_degrees_ranks(&ahead->program->step.place.degrees) > 1)
        predict_ranks(to, &rates, ahead, say);
    else
        predict_alone(to, &rates, ahead, say);
}

void tr_app_predict(void *context, const struct tr_train_ahead *ahead, struct tr_train_predicted *out, struct tr_text *say)
{
    struct tr_app_prediction *to = context;
    if (ahead->steps > 0) /* else the run is done, and was only started again */
        predict(to, ahead, say);
    if (to->unsaid.text[0])
        tr_text_printf(say, "no prediction: %s", to->unsaid.text);
    *out = to->said;
}
