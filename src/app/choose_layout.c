#include "app/choose_layout.h"

#include "app/app.h"
#include "base/quantity.h"
#include "plan/calibrate/calibrate.h"
#include "plan/here/choose.h"
#include "silicon/chip/peak.h"

#include <stdlib.h>
#include <string.h>

bool tr_app_layout_is_auto(const char *words) { return words && strcmp(words, "auto") == 0; }

/* The run as the trainer makes it of the config, without regard to memory. */
struct seen {
    struct tr_model_config model;
    struct tr_run_config config;
    struct tr_fit fit;
};

static void see(void *context, const struct tr_train_ahead *ahead, struct tr_train_predicted *out, struct tr_text *say)
{
    struct seen *seen = context;
    (void)out;
    (void)say;
    *seen = (struct seen){.model = *ahead->fit.model, .config = *ahead->config, .fit = ahead->fit};
    seen->fit.model = &seen->model;
}

/* Whether it fits is asked of each layout, and not of one rank alone. */
static enum tr_status dry_run(const struct tr_run_config *config, struct seen *seen, struct tr_err *err)
{
    const struct tr_train_options how = {.dry_run = true, .planned = see, .planned_context = seen, .memory_bytes = INT64_MAX / 2,
                                         .peak_flop_s = 1};
    struct tr_train_result *result = calloc(1, sizeof *result);
    if (!result)
        return tr_fail(err, TR_FAILED, "out of memory for %zu bytes", sizeof *result);
    enum tr_status status = tr_train(config, &how, result, err);
    tr_text_free(&result->last_sample);
    free(result);
    return status;
}

static enum tr_status find_rates(const struct tr_app_prediction *prediction, struct tr_kernel_rates *rates, struct tr_err *err)
{
    if (!prediction->path)
        return tr_fail(err, TR_BAD_INPUT, "--layout auto: there is no profile of this machine to choose by: `trine calibrate` makes one");
    return tr_kernel_rates_find(prediction->catalog, 0, rates, err);
}

enum tr_status tr_app_layout_can_be_auto(const char *path, struct tr_err *err)
{
    struct tr_app_prediction prediction = {.path = NULL};
    struct tr_kernel_rates rates;
    enum tr_status status = tr_app_predict_open(&prediction, path, err);
    if (status == TR_OK)
        status = find_rates(&prediction, &rates, err);
    tr_app_predict_close(&prediction);
    return status;
}

static enum tr_status check_profile(const struct tr_app_prediction *prediction, int cores, struct tr_err *err)
{
    struct tr_kernel_rates rates;
    struct tr_text foreign = {0};
    enum tr_status status = find_rates(prediction, &rates, err);
    if (status != TR_OK)
        return status;
    tr_calibrate_foreign(&rates, cores, tr_app_program(), &foreign);
    if (foreign.len)
        status = tr_fail(err, TR_BAD_INPUT, "--layout auto: %s is of another machine or trine%s", prediction->path, tr_text_str(&foreign));
    tr_text_free(&foreign);
    return status;
}

static void tell(FILE *log, const struct tr_layouts_found *found)
{
    enum { SHOWN = 3 };
    char time[TR_QUANTITY_BYTES];
    const struct tr_choice *choice = found->choice;
    if (!log)
        return;
    fprintf(log, "layout %s: %s a step +- %.0f %%, as predicted", tr_choice_words(choice), tr_print_time(time, choice->step_s), 100 * choice->error);
    for (int i = 1; i < found->count && i < SHOWN; i++)
        fprintf(log, "%s %s %s", i == 1 ? "; next" : ",", tr_choice_words(&choice[i]), tr_print_time(time, choice[i].step_s));
    fprintf(log, "\n");
    if (found->unpriced)
        fprintf(log, "layout: %d more, such as %s, could not be priced: %s\n", found->unpriced, tr_choice_words(&found->unpriced_last),
                found->why_unpriced.text);
}

static enum tr_status choose_of(const struct tr_app_ranks *ranks, int cores, const struct tr_app_prediction *prediction, const struct seen *seen,
                                struct tr_train_options *how, struct tr_err *err)
{
    struct tr_layouts_found found;
    const struct tr_choose_request request = {.profile = prediction->catalog, .fit = seen->fit, .config = &seen->config,
                                              .transport = prediction->transport, .hand_s = tr_chip_measure_hand_s(),
                                              .ranks = ranks->world ? ranks->launched.ranks : 0, .cores = cores,
                                              .memory_bytes = how->memory_bytes};
    enum tr_status status = tr_here_choose(&request, &found, err);
    if (status != TR_OK) {
        tr_err_prefix(err, "--layout auto");
        return status;
    }
    how->layout = found.choice[0].layout;
    tell(how->log, &found);
    return TR_OK;
}

static enum tr_status choose(const struct tr_app_ranks *ranks, int cores, const struct tr_app_prediction *prediction,
                             const struct tr_run_config *config, struct tr_train_options *how, struct tr_err *err)
{
    struct seen *seen = calloc(1, sizeof *seen);
    enum tr_status status = seen ? check_profile(prediction, cores, err) : tr_fail(err, TR_FAILED, "out of memory for %zu bytes", sizeof *seen);
    if (status == TR_OK)
        status = dry_run(config, seen, err);
    if (status == TR_OK)
        status = choose_of(ranks, cores, prediction, seen, how, err);
    free(seen);
    return status;
}

/* Nothing is known of what lies between hosts. */
static enum tr_status check_hosts(const struct tr_app_ranks *ranks, struct tr_err *err)
{
    int hosts = 1;
    for (int i = 1; ranks->world && i < tr_comm_count(ranks->world); i++)
        hosts += tr_comm_host(ranks->world, i) == i;
    return hosts == 1 ? TR_OK : tr_fail(err, TR_BAD_INPUT, "--layout auto: a profile is of one machine, and these ranks are on %d hosts: say the "
                                        "layout, as dp=N", hosts);
}

enum tr_status tr_app_choose_layout(struct tr_app_ranks *ranks, const struct tr_app_prediction *prediction,
                                    const struct tr_run_config *config, struct tr_train_options *how, struct tr_err *err)
{
    int cores;
    enum tr_status status = tr_app_ranks_cores(ranks, &cores, err);
    if (status == TR_OK)
        status = check_hosts(ranks, err);
    if (status == TR_OK)
        status = tr_app_ranks_alike(ranks, ranks->leads ? choose(ranks, cores, prediction, config, how, err) : TR_OK, err);
    if (status == TR_OK && ranks->world)
        status = tr_broadcast(ranks->world, 0, &how->layout, sizeof how->layout, err);
    return status;
}
