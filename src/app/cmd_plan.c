/* trine plan: what a training run takes, before anyone spends a chip-hour. */
#include "app/app.h"
#include "app/predict.h"

#include "base/os.h"
#include "plan/here/plan_here.h"
#include "plan/print/print.h"
#include "plan/report/report.h"
#include "plan/run/plan_file.h"

#include <stdio.h>
#include <string.h>

struct plan_args {
    const char *model, *system, *stack, *layout, *precision, *region, *date, *catalog, *out, *chips, *report, *trace;
    const char *global_batch, *law;
    int64_t tokens, seq_len, reserve;
    int pay;
    double target_loss, deadline_s, budget_usd;
    bool background, no_mtp, json;
};

#define AT(field) .offset = offsetof(struct plan_args, field)
#define CHIPS_HELP "how many; 256..4096: the best of 256, 512, 1024 ... and of whole nodes near it"

static const struct tr_option options[] = {
    {.name = "model", .kind = TR_OPTION_STRING, AT(model), .required = true, .value = "NAME",
     .help = "a model of the catalog, a preset, or a config.json", .section = "What is trained"},
    {.name = "tokens", .kind = TR_OPTION_COUNT, AT(tokens), .min = 1, .max = TR_PLAN_TOKENS_MAX, .value = "N",
     .help = "tokens of the whole run, such as 300B", .section = "What is trained"},
    {.name = "target-loss", .kind = TR_OPTION_DOUBLE, AT(target_loss), .min = TR_PLAN_LOSS_MIN, .max = TR_PLAN_LOSS_MAX, .value = "NATS",
     .help = "in place of tokens: as many as that loss takes by the scaling law", .section = "What is trained"},
    {.name = "law", .kind = TR_OPTION_STRING, AT(law), .value = "NAME",
     .help = "the scaling law: besiroglu-2024 (the default), hoffmann-2022, or the catalog's", .section = "What is trained"},
    {.name = "no-mtp", .kind = TR_OPTION_FLAG, AT(no_mtp),
     .help = "without the modules for further tokens (MTP) that the model's config has", .section = "What is trained"},
    {.name = "seq-len", .kind = TR_OPTION_COUNT, AT(seq_len), .min = 1, .max = TR_PLAN_SEQ_MAX, .value = "N",
     .help = "tokens of a sequence; unless said the model's positions, at most 8192", .section = "What is trained"},
    {.name = "global-batch", .kind = TR_OPTION_STRING, AT(global_batch), .value = "N",
     .help = "sequences a step; 256..4096: the best of 256, 512 ...; unless said 3 Mi tokens, as GPT-3 175B",
     .section = "What is trained"},
    {.name = "system", .kind = TR_OPTION_STRING, AT(system), .required = true, .value = "NAME",
     .help = "a system of the catalog, such as dgx-h100, or a file that `trine calibrate` wrote", .section = "Where"},
    {.name = "chips", .kind = TR_OPTION_STRING, AT(chips), .value = "N",
     .help = CHIPS_HELP " (needed; a file is 1)", .section = "Where"},
    {.name = "region", .kind = TR_OPTION_STRING, AT(region), .value = "NAME",
     .help = "where it stands, for energy and carbon, such as us or gcp-europe-north1", .section = "Where"},
    {.name = "catalog", .kind = TR_OPTION_PATH, AT(catalog), .value = "PATH",
     .help = "a file or folder of chips, systems, models ... on top of the program's own", .section = "Where"},
    {.name = "layout", .kind = TR_OPTION_STRING, AT(layout), .fallback = "auto", .value = "LAYOUT",
     .help = "auto: the best of all; auto,tp=8,sp: of those; tp=8,pp=16,vpp=6,mb=1,zero=1,sp,recompute=selective: that one "
             "(docs/plan.md)", .section = "How"},
    {.name = "precision", .kind = TR_OPTION_STRING, AT(precision), .value = "FORMAT",
     .help = "of matrix products: bf16 (where the chip has it), fp16, fp8, fp8_block, mxfp8, nvfp4", .section = "How"},
    {.name = "stack", .kind = TR_OPTION_STRING, AT(stack), .value = "NAME",
     .help = "the software: megatron-core (on TPUs xla), fsdp, megatron-2021 ...", .section = "How"},
    {.name = "reserve", .kind = TR_OPTION_BYTES, AT(reserve), .fallback = "0B", .min = 0, .max = 1e15, .value = "BYTES",
     .help = "of a chip's memory, kept free", .section = "How"},
    {.name = "background-saves", .kind = TR_OPTION_FLAG, AT(background),
     .help = "checkpoints are written while the job goes on; it stops for a copy to the hosts only", .section = "How"},
    {.name = "pay", .kind = TR_OPTION_ENUM, AT(pay), .choices = tr_commitment_names, .fallback = "on_demand",
     .help = "how the chips are paid; spot ones are taken away", .section = "Wishes"},
    {.name = "prices-of", .kind = TR_OPTION_STRING, AT(date), .value = "DATE",
     .help = "prices as they were: 2025, 2025-06; the newest unless said", .section = "Wishes"},
    {.name = "deadline", .kind = TR_OPTION_TIME, AT(deadline_s), .min = TR_PLAN_DEADLINE_MIN_S,
     .max = TR_PLAN_DEADLINE_MAX_S, .value = "TIME", .help = "the answer is no when the run takes longer", .section = "Wishes"},
    {.name = "budget", .kind = TR_OPTION_QUANTITY, AT(budget_usd), .unit = TR_UNIT_USD, .min = TR_PLAN_BUDGET_MIN_USD,
     .max = TR_PLAN_BUDGET_MAX_USD, .value = "USD", .help = "the answer is no when the run costs more", .section = "Wishes"},
    {.name = "out", .letter = 'o', .kind = TR_OPTION_PATH, AT(out), .value = "FILE",
     .help = "write the plan there, for `trine explain`", .section = "Output"},
    {.name = "report", .kind = TR_OPTION_PATH, AT(report), .value = "FILE",
     .help = "write the plan as one HTML page there", .section = "Output"},
    {.name = "trace", .kind = TR_OPTION_PATH, AT(trace), .value = "FILE",
     .help = "write one step there as a trace for chrome://tracing or ui.perfetto.dev", .section = "Output"},
    {.name = "json", .kind = TR_OPTION_FLAG, AT(json), .help = "print one JSON object", .section = "Output"},
};

static const struct tr_command command = {
    .name = "plan",
    .summary = "what a training run takes: time, memory, dollars, energy, limits",
    .description =
        "Prices every legal layout of a model on a system (or the one that is given) and says what the best takes: the "
        "step by terms, with its 80 % interval; memory of the heaviest stage against what a chip has; days, chip-hours, "
        "dollars, kWh, carbon, failures, checkpoints; what limits it and what would help.\n"
        "Exit status 1: nothing fits, or a wish is missed; the line `no: ...` says why and what would do. What the numbers "
        "are made of, and how wrong they are: docs/plan.md.\n"
        "With a file of `trine calibrate` as the system it is a run of `trine train` on that machine: its step "
        "program is priced by the rates of trine's own kernels, its memory is that of the run, and what is not given is what "
        "`trine train` takes: one rank unless --layout says dp=2, or auto. It has --model, --tokens or --target-loss with --law, --seq-len, --global-batch, "
        "--layout, --precision, --deadline, --out and --json.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .examples = "trine plan --model gpt3-175b --system dgx-h100 --chips 1024 --tokens 300B\n"
                "trine plan --model llama3-70b --system dgx-h100 --chips 128..4096 --tokens 15T --deadline 60d\n"
                "trine plan --model llama3-8b --system dgx-h100 --chips 256 --target-loss 2.05 --global-batch 256..2048\n"
                "trine plan --model gpt3-175b --system dgx-h100 --chips 1024 --tokens 300B \\\n"
                "    --layout tp=8,pp=16,vpp=6,mb=1,zero=1,sp,recompute=selective -o plan.yaml\n"
                "trine explain plan.yaml step\n"
                "trine plan --model gpt2 --system profile.yaml --tokens 10M --seq-len 1024\n",
};

/* Refuses what is longer than any name is. */
static enum tr_status take(const char *name, const char *text, char *to, size_t bytes, struct tr_err *err)
{
    if (text && strlen(text) >= bytes)
        return tr_fail(err, TR_BAD_INPUT, "--%s: \"%.40s...\" is longer than %zu characters", name, text, bytes - 1);
    snprintf(to, bytes, "%s", text ? text : "");
    return TR_OK;
}

/* "1024", "256..4096"; NULL: nothing was said, and nothing changes */
static enum tr_status read_range(const char *option, const char *text, int64_t *low, int64_t *high, struct tr_err *err)
{
    char first[32];
    if (!text)
        return TR_OK;
    const char *dots = strstr(text, "..");
    size_t length = dots ? (size_t)(dots - text) : strlen(text);
    enum tr_status status = TR_BAD_INPUT;
    snprintf(first, sizeof first, "%.*s", (int)(length < sizeof first ? length : sizeof first - 1), text);
    if (length < sizeof first)
        status = tr_parse_whole(first, TR_UNIT_COUNT, low, err);
    if (status == TR_OK && dots)
        status = tr_parse_whole(dots + 2, TR_UNIT_COUNT, high, err);
    if (status != TR_OK)
        return tr_fail(err, TR_BAD_INPUT, "--%s: \"%.40s\": expected a number such as 1024, or a range such as 256..4096",
                       option, text);
    if (*low < 1 || (dots && *high < *low))
        return tr_fail(err, TR_BAD_INPUT, "--%s: \"%.40s\": expected 1 or more, and in a range the smaller number first", option, text);
    return TR_OK;
}

static enum tr_status make_request(const struct plan_args *args, struct tr_plan_request *r, struct tr_err *err)
{
    *r = tr_plan_request_usual();
    const struct {
        const char *name, *text;
        char *to;
        size_t bytes;
    } texts[] = {{"model", args->model, r->model, sizeof r->model},
                 {"system", args->system, r->system, sizeof r->system},
                 {"stack", args->stack, r->stack, sizeof r->stack},
                 {"layout", args->layout, r->layout, sizeof r->layout},
                 {"law", args->law, r->law, sizeof r->law},
                 {"region", args->region, r->region, sizeof r->region},
                 {"prices-of", args->date, r->date, sizeof r->date},
                 {"precision", args->precision, r->precision, sizeof r->precision}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        enum tr_status status = take(texts[i].name, texts[i].text, texts[i].to, texts[i].bytes, err);
        if (status != TR_OK)
            return status;
    }
    r->tokens = (double)args->tokens;
    r->target_loss = args->target_loss;
    r->seq_len = args->seq_len;
    r->commitment = args->pay;
    r->deadline_s = args->deadline_s;
    r->budget_usd = args->budget_usd;
    r->background = args->background;
    r->no_mtp = args->no_mtp;
    r->reserve_bytes = args->reserve;
    enum tr_status status = read_range("global-batch", args->global_batch, &r->global_batch, &r->global_batch_max, err);
    return status == TR_OK ? read_range("chips", args->chips, &r->chips, &r->chips_max, err) : status;
}

static enum tr_status write_file(const char *path, struct tr_text *text, struct tr_err *err)
{
    enum tr_status status = tr_text_failed(text, err) ? TR_FAILED : tr_file_write(path, text->at, text->len, err);
    tr_text_free(text);
    return status;
}

/* Files first, so that an answer which is read is one whose files are there. */
static enum tr_status write_files(const struct plan_args *args, const struct tr_plan *made, struct tr_err *err)
{
    struct tr_text text = {0};
    enum tr_status status = TR_OK;
    if (args->out) {
        tr_plan_file_print(made, &text);
        status = write_file(args->out, &text, err);
    }
    if (status == TR_OK && args->report) {
        status = tr_plan_report(made, &text, err);
        if (status == TR_OK)
            status = write_file(args->report, &text, err);
    }
    if (status == TR_OK && args->trace) {
        status = tr_plan_trace(made, &text, err);
        if (status == TR_OK)
            status = write_file(args->trace, &text, err);
    }
    tr_text_free(&text);
    return status;
}

static enum tr_status answer(const struct plan_args *args, const struct tr_plan *made, struct tr_err *err)
{
    struct tr_text text = {0};
    enum tr_status status = write_files(args, made, err);
    if (status != TR_OK)
        return status;
    if (args->json)
        tr_plan_json(made, &text);
    else
        tr_plan_text(made, &text);
    return tr_app_print(&text, err);
}

/* ---- on a machine that was calibrated ---------------------------------------------------------------------------- */

/* What there is on such a machine instead of an option. */
static const char *instead_of(const char *option)
{
    static const struct {
        const char *option, *instead;
    } all[] = {{"report", "`trine report RUN --profile FILE` holds a run against what was predicted of it"},
               {"trace", "`trine explain RUN --trace OUT.json` draws the predicted step below that of a run"}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(option, all[i].option) == 0)
            return all[i].instead;
    return "there trine trains with its own kernels, and nobody is paid";
}

/* What has no meaning there is not passed over in silence. */
static enum tr_status check_given(const struct tr_given *given, struct tr_err *err)
{
    static const char *const taken[] = {"model", "tokens", "target-loss", "law", "seq-len", "global-batch", "system", "chips", "layout",
                                        "precision", "deadline", "out", "json"};
    for (int i = 0; i < command.option_count; i++) {
        bool known = !given->option[i];
        for (size_t k = 0; k < sizeof taken / sizeof *taken && !known; k++)
            known = strcmp(options[i].name, taken[k]) == 0;
        if (!known)
            return tr_fail(err, TR_BAD_INPUT, "--%s is for systems of the catalog, and this is a machine that was calibrated: %s", options[i].name,
                           instead_of(options[i].name));
    }
    return TR_OK;
}

static bool is_given(const struct tr_given *given, const char *option)
{
    for (int i = 0; i < command.option_count; i++)
        if (strcmp(options[i].name, option) == 0)
            return given->option[i];
    return false;
}

static enum tr_status make_here_request(const struct plan_args *args, const struct tr_given *given, struct tr_plan_request *r,
                                        struct tr_err *err)
{
    struct plan_args here = *args;
    here.chips = args->chips ? args->chips : "1";
    here.layout = is_given(given, "layout") ? args->layout : ""; /* as `trine train`: one rank unless said */
    return make_request(&here, r, err);
}

static enum tr_status answer_here(const struct plan_args *args, struct tr_app_prediction *profile,
                                  const struct tr_here_plan *made, struct tr_err *err)
{
    struct tr_text text = {0};
    enum tr_status status = TR_OK;
    tr_app_note_foreign(profile, made->threads);
    if (args->out) { /* first, as of any plan */
        tr_here_plan_file(made, &text);
        status = write_file(args->out, &text, err);
    }
    if (status != TR_OK)
        return status;
    if (args->json)
        tr_here_plan_json(made, tr_text_str(&profile->foreign), &text);
    else
        tr_here_plan_text(made, &text);
    return tr_app_print(&text, err);
}

static enum tr_status plan_here(const struct plan_args *args, const struct tr_given *given, struct tr_err *err)
{
    struct tr_app_prediction profile = {.path = NULL};
    struct tr_plan_request request;
    struct tr_here_plan made;
    enum tr_status status = check_given(given, err), printed = TR_OK;
    if (status == TR_OK)
        status = make_here_request(args, given, &request, err);
    if (status == TR_OK)
        status = tr_app_predict_open(&profile, args->system, err);
    if (status == TR_OK)
        status = tr_here_plan(profile.catalog, &request, &made, err);
    if (status == TR_OK || status == TR_NO)
        printed = answer_here(args, &profile, &made, err);
    tr_app_predict_close(&profile);
    return printed == TR_OK ? status : printed;
}

/* ---- on a system of the catalog ---------------------------------------------------------------------------------- */

static enum tr_status plan(const struct plan_args *args, struct tr_err *err)
{
    struct tr_catalog *catalog = NULL;
    struct tr_plan_request request;
    struct tr_plan *made = NULL;
    enum tr_status status = make_request(args, &request, err), printed = TR_OK;
    if (status == TR_OK)
        status = tr_plan_catalog(args->catalog, &catalog, err);
    if (status == TR_OK)
        status = tr_plan_make(catalog, &request, &made, err);
    if (made)
        printed = answer(args, made, err);
    tr_plan_free(made);
    tr_catalog_free(catalog);
    return printed == TR_OK ? status : printed;
}

static enum tr_status run(void *parsed, const struct tr_given *given, struct tr_err *err)
{
    const struct plan_args *args = parsed;
    if (tr_plan_is_profile(args->system))
        return plan_here(args, given, err);
    if (!args->chips)
        return tr_fail(err, TR_BAD_INPUT, "--chips is missing: " CHIPS_HELP);
    return plan(args, err);
}

const struct tr_app_command tr_cmd_plan = {&command, sizeof(struct plan_args), run};
