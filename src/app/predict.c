#include "app/predict.h"

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

void tr_app_predict_close(struct tr_app_prediction *prediction) { tr_catalog_free(prediction->catalog); }

void tr_app_note_foreign(const struct tr_app_prediction *prediction, int threads)
{
    struct tr_kernel_rates rates;
    struct tr_text why = {0};
    struct tr_err ignored;
    if (tr_kernel_rates_find(prediction->catalog, threads, &rates, &ignored) == TR_OK)
        tr_calibrate_foreign(&rates, tr_cores_usable(), TRINE_VERSION, &why);
    if (why.len)
        fprintf(stderr, "note: %s is not of this machine%s\n", prediction->path, tr_text_str(&why));
    tr_text_free(&why);
}

static void say_prediction(struct tr_app_prediction *to, const struct tr_kernel_rates *rates, const struct tr_train_ahead *ahead,
                           struct tr_text *say)
{
    char step[TR_QUANTITY_BYTES], steps[TR_QUANTITY_BYTES], all[TR_QUANTITY_BYTES], refined[TR_REFINED_WORDS_BYTES];
    struct tr_here_time time;
    tr_here_step(rates, ahead->program, &time);
    to->step_s = time.step_s;
    to->error = time.error;
    to->run_s = tr_here_run_s(rates, ahead, time.step_s);
    tr_text_printf(say, "predicted %s a step +- %.0f %%, the %lld steps in %s, with %lld evaluation%s and %lld checkpoint%s in %s (%s%s)",
                   tr_print_time(step, time.step_s), 100 * time.error, (long long)ahead->steps,
                   tr_print_clock(steps, (double)ahead->steps * time.step_s), (long long)ahead->evaluations,
                   ahead->evaluations == 1 ? "" : "s", (long long)ahead->saves, ahead->saves == 1 ? "" : "s",
                   tr_print_clock(all, to->run_s), to->path, tr_refined_words(&rates->refined, refined));
}

/* All ranks' programs follow from this one's. */
static void say_prediction_of_ranks(struct tr_app_prediction *to, const struct tr_kernel_rates *rates, const struct tr_train_ahead *ahead,
                                    struct tr_text *say)
{
    char step[TR_QUANTITY_BYTES], steps[TR_QUANTITY_BYTES], refined[TR_REFINED_WORDS_BYTES];
    struct tr_run_programs programs;
    enum tr_isa isa = TR_ISA_REF;
    struct tr_err why;
    enum tr_status status = ahead->hosts > 1 ? tr_fail(&why, TR_BAD_INPUT, "a profile is of one host, and ranks are on %d", ahead->hosts)
                                             : tr_isa_choose(&isa, &why);
    struct tr_machine machine = {tr_kernel_set(isa), ahead->threads};
    if (status == TR_OK)
        status = tr_run_programs_make(&ahead->program->model, &ahead->program->step, machine, &programs, &why);
    if (status == TR_OK) {
        status = tr_here_step_of_ranks(to->catalog, to->transport, &programs, &to->step_s, &to->error, &why);
        tr_run_programs_free(&programs);
    }
    if (status != TR_OK) {
        to->step_s = 0;
        tr_text_printf(say, "no prediction: %s", why.text);
        return;
    }
    tr_text_printf(say, "predicted %s a step of all ranks +- %.0f %%, the %lld steps in %s (%s%s)", tr_print_time(step, to->step_s),
                   100 * to->error, (long long)ahead->steps, tr_print_clock(steps, (double)ahead->steps * to->step_s), to->path,
                   tr_refined_words(&rates->refined, refined));
}

double tr_app_price(void *context, const struct tr_program *program, int threads)
{
    const struct tr_app_prediction *from = context;
    struct tr_kernel_rates rates;
    struct tr_text foreign = {0};
    struct tr_here_time time = {0};
    struct tr_err ignored;
    if (tr_kernel_rates_find(from->catalog, threads, &rates, &ignored) != TR_OK)
        return 0;
    tr_calibrate_foreign(&rates, tr_cores_usable(), TRINE_VERSION, &foreign);
    if (!foreign.len)
        tr_here_step(&rates, program, &time);
    tr_text_free(&foreign);
    return time.step_s;
}

void tr_app_predict(void *context, const struct tr_train_ahead *ahead, struct tr_text *say)
{
    struct tr_app_prediction *to = context;
    struct tr_kernel_rates rates;
    struct tr_text foreign = {0};
    struct tr_err why;
    if (tr_kernel_rates_find(to->catalog, ahead->threads, &rates, &why) != TR_OK) {
        tr_text_printf(say, "no prediction: %s: %s", to->path, why.text);
        return;
    }
    tr_calibrate_foreign(&rates, ahead->cores, TRINE_VERSION, &foreign);
    if (foreign.len)
        tr_text_printf(say, "no prediction: %s is not of this machine%s", to->path, tr_text_str(&foreign));
    else if (tr_degrees_ranks(&ahead->program->step.place.degrees) > 1)
        say_prediction_of_ranks(to, &rates, ahead, say);
    else
        say_prediction(to, &rates, ahead, say);
    tr_text_free(&foreign);
}
