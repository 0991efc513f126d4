/* trine show: what a model or a run is, and what the catalog knows. */
#include "app/app.h"

#include "lab/show/show.h"
#include "plan/run/run.h"
#include "plan/show/show.h"

struct show_args {
    const char *what, *name, *catalog, *date;
    int64_t seq_len, batch;
    bool all, json;
};

#define AT(field) .offset = offsetof(struct show_args, field)

static const struct tr_option options[] = {
    {.name = "seq-len", .kind = TR_OPTION_INT, AT(seq_len), .fallback = "0", .value = "N", .min = 0, .max = 1e9,
     .help = "tokens of a sequence, for work and memory; 0: as many as the model has positions"},
    {.name = "batch", .kind = TR_OPTION_INT, AT(batch), .fallback = "1", .value = "N", .min = 1, .max = 1e6,
     .help = "sequences at a time, for the memory of training"},
    {.name = "all", .letter = 'a', .kind = TR_OPTION_FLAG, AT(all), .help = "list the tensors of every layer"},
    {.name = "catalog", .kind = TR_OPTION_PATH, AT(catalog), .value = "PATH", .section = "Catalog",
     .help = "a file or folder of chips, systems, prices ... on top of the program's own"},
    {.name = "date", .kind = TR_OPTION_STRING, AT(date), .value = "DATE", .section = "Catalog",
     .help = "prices as they were then: 2025, 2025-06 or 2025-06-15"},
    {.name = "json", .kind = TR_OPTION_FLAG, AT(json), .help = "print one JSON value"},
};

static const struct tr_positional positionals[] = {
    {.name = "WHAT", .help = "a run folder, a checkpoint, a .gguf file, a preset, a config.json or a folder that holds one; or "
                             "chips, networks, systems, models, stacks, prices, sites, failures, sources, chip, network, system, model, stack, "
                             "site",
     AT(what)},
    {.name = "NAME", .help = "which chip, network, system, model, stack or site; or whose prices", AT(name), .optional = true},
};

static const struct tr_command command = {
    .name = "show",
    .summary = "show what a model or a run is, or what the catalog knows",
    .description =
        "A model: shape, tensors, parameters, work per token, memory to hold and to train it. The memory of training is "
        "that of the trainer's own plan on this machine.\n"
        "A run folder: how far it is, its curves, its checkpoints.\n"
        "The catalog: lists, or one chip with every number's source, its ridge points, dollars per dense PFLOP-hour and its "
        "class under export rules (arithmetic, not legal advice); with --catalog profile.yaml, of this machine, what trine's kernels take on it too, "
        "and which of these numbers are from runs. A file or folder called like one of the words is shown as "
        "./chips. docs/catalog.md says how to describe a chip or a cluster of one's own.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .positionals = positionals,
    .positional_count = sizeof positionals / sizeof *positionals,
    .examples = "trine show gpt2 --seq-len 1024 --batch 4\n"
                "trine show llama3-8b\n"
                "trine show runs/depth-4\n"
                "trine show chips\n"
                "trine show chip h100\n"
                "trine show chip amd-epyc-2-cores --catalog profile.yaml     # after trine calibrate\n"
                "trine show model deepseek-v3\n"
                "trine show stack megatron-core\n"
                "trine show system my-cluster --catalog my-cluster.yaml\n",
};

static enum tr_status show_catalog(const struct show_args *args, struct tr_text *text, struct tr_err *err)
{
    struct tr_show_catalog_options how = {.date = args->date, .json = args->json};
    struct tr_catalog *catalog = NULL;
    enum tr_status status = tr_plan_catalog(args->catalog, &catalog, err);
    if (status == TR_OK)
        status = tr_show_catalog(catalog, args->what, args->name, &how, text, err);
    tr_catalog_free(catalog);
    return status;
}

static enum tr_status show_other(const struct show_args *args, struct tr_text *text, struct tr_err *err)
{
    struct tr_show_options how = {.seq_len = args->seq_len, .batch = args->batch, .all = args->all, .json = args->json};
    if (args->name)
        return tr_fail(err, TR_BAD_INPUT, "\"%.60s\" is one name too many: only chip, network, system, model, stack, site and "
                       "prices take a second one", args->name);
    return tr_show(args->what, &how, text, err);
}

static enum tr_status run(void *parsed, const struct tr_given *given, struct tr_err *err)
{
    struct show_args *args = parsed;
    (void)given;
    struct tr_text text = {0};
    enum tr_status status = tr_show_is_catalog(args->what) ? show_catalog(args, &text, err) : show_other(args, &text, err);
    if (status == TR_OK)
        return tr_app_print(&text, err);
    tr_text_free(&text);
    return status;
}

const struct tr_app_command tr_cmd_show = {&command, sizeof(struct show_args), run};
