/* trine show: what a model or a run is. */
#include "app/app.h"

#include "lab/show/show.h"

struct show_args {
    const char *what;
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
    {.name = "json", .kind = TR_OPTION_FLAG, AT(json), .help = "print one JSON object"},
};

static const struct tr_positional positionals[] = {
    {.name = "WHAT", .help = "a run folder, a checkpoint, a .gguf file, a preset, a config.json or a folder that holds one",
     AT(what)},
};

static const struct tr_command command = {
    .name = "show",
    .summary = "show what a model or a run is",
    .description =
        "A model: shape, tensors, parameters, work per token, memory to hold and to train it. The memory of training is "
        "that of the trainer's own plan on this machine.\n"
        "A run folder: how far it is, its curves, its checkpoints.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .positionals = positionals,
    .positional_count = 1,
    .examples = "trine show gpt2 --seq-len 1024 --batch 4\n"
                "trine show llama3-8b\n"
                "trine show runs/depth-4\n",
};

static enum tr_status run(int argc, char **argv, struct tr_err *err)
{
    struct show_args args;
    struct tr_given given;
    bool done;
    enum tr_status status = tr_app_parse(&command, argc, argv, &args, sizeof args, &given, &done, err);
    if (status != TR_OK || done)
        return status;
    tr_given_free(&given);
    struct tr_show_options how = {.seq_len = args.seq_len, .batch = args.batch, .all = args.all, .json = args.json};
    struct tr_text text = {0};
    status = tr_show(args.what, &how, &text, err);
    if (status == TR_OK)
        return tr_app_print(&text, err);
    tr_text_free(&text);
    return status;
}

const struct tr_app_command tr_cmd_show = {&command, run};
