/* trine validate: how wrong are predictions on what others measured? */
#include "app/app.h"

#include "base/os.h"
#include "plan/run/run.h"
#include "plan/validate/validate.h"

struct validate_args {
    const char *table, *csv, *summary, *catalog;
    bool json, page;
};

#define AT(field) .offset = offsetof(struct validate_args, field)

static const struct tr_option options[] = {
    {.name = "csv", .kind = TR_OPTION_PATH, AT(csv), .value = "OUT",
     .help = "write every row there: measured, predicted, error, interval, what bounds it, why it is not covered"},
    {.name = "summary", .kind = TR_OPTION_PATH, AT(summary), .value = "OUT",
     .help = "write the table that is printed there as CSV: a source, chip and number format a line"},
    {.name = "catalog", .kind = TR_OPTION_PATH, AT(catalog), .value = "PATH",
     .help = "a file or folder of chips on top of the program's own"},
    {.name = "json", .kind = TR_OPTION_FLAG, AT(json), .help = "print one JSON object"},
    {.name = "page", .kind = TR_OPTION_FLAG, AT(page),
     .help = "print a table of Markdown instead, a training run a line: predicted, published, source"},
};

static const struct tr_positional positionals[] = {
    {.name = "TABLE", .help = "a table of measurements (.csv); its header says which", AT(table)},
};

static const struct tr_command command = {
    .name = "validate",
    .summary = "hold predictions against a table of measurements",
    .description =
        "Prices every row of TABLE and says how wrong that is, by chip, number format or operation, and source: rows, "
        "share covered, mean, median and worst error, bias, and how many rows lie within the 80 % interval that the "
        "prediction came with. Of training runs also regret: in groups of three layouts and more that were measured of one "
        "run, how much longer the layout that is predicted fastest took than the fastest. A row that cannot be priced counts as not covered, with the reason.\n"
        "The formats (op_gemm, op_attention, op_collective, train_runs) are described in docs/formats/measurements.md.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .positionals = positionals,
    .positional_count = 1,
    .examples = "trine validate op_gemm.csv\n"
                "trine validate train_runs.csv --json\n"
                "trine validate mine.csv --catalog my-chip.yaml --csv rows.csv --summary lines.csv\n",
};

/* Into a file, where one is named. */
static enum tr_status write_form(const char *path, void (*form)(const struct tr_score *, struct tr_text *),
                                 const struct tr_score *score, struct tr_err *err)
{
    struct tr_text text = {0};
    if (!path)
        return TR_OK;
    form(score, &text);
    enum tr_status status = tr_text_failed(&text, err) ? TR_FAILED : tr_file_write(path, text.at, text.len, err);
    tr_text_free(&text);
    return status;
}

static enum tr_status answer(const struct validate_args *args, const struct tr_score *score, struct tr_err *err)
{
    struct tr_text text = {0};
    enum tr_status status = write_form(args->csv, tr_score_csv, score, err);
    if (status == TR_OK)
        status = write_form(args->summary, tr_score_summary, score, err);
    if (status != TR_OK)
        return status;
    if (args->json)
        tr_score_json(score, &text);
    else if (args->page)
        tr_score_page(score, &text);
    else
        tr_score_text(score, &text);
    return tr_app_print(&text, err);
}

static enum tr_status validate(const struct validate_args *args, struct tr_err *err)
{
    struct tr_catalog *catalog = NULL;
    struct tr_samples samples = {0};
    struct tr_score score = {0};
    if (args->json && args->page)
        return tr_fail(err, TR_BAD_INPUT, "--json and --page: one of them, as an answer is printed in one form");
    enum tr_status status = tr_plan_catalog(args->catalog, &catalog, err);
    if (status == TR_OK)
        status = tr_samples_read(args->table, catalog, &samples, err);
    if (status == TR_OK && args->page && samples.kind != TR_MEASURED_TRAIN)
        status = tr_fail(err, TR_BAD_INPUT, "%s: --page is of training runs, and these are rows of %s", args->table,
                         tr_table_format(samples.kind)->name);
    if (status == TR_OK)
        status = tr_validate(&samples, &score, err);
    if (status == TR_OK)
        status = answer(args, &score, err);
    tr_score_free(&score);
    tr_samples_free(&samples);
    tr_catalog_free(catalog);
    return status;
}

static enum tr_status run(void *parsed, const struct tr_given *given, struct tr_err *err)
{
    (void)given;
    return validate(parsed, err);
}

const struct tr_app_command tr_cmd_validate = {&command, sizeof(struct validate_args), run};
