/* trine hash: one run, one hash. */
#include "app/app.h"

#include "base/json.h"
#include "lab/train/hash.h"

#include <string.h>

struct hash_args {
    const char *path;
    const char *equals;
    bool json;
};

static const struct tr_option options[] = {
    {.name = "equals", .kind = TR_OPTION_PATH, .offset = offsetof(struct hash_args, equals),
     .value = "PATH", .help = "answer whether this checkpoint or run has the same hash: exit status 0 yes, 1 no"},
    {.name = "json", .kind = TR_OPTION_FLAG, .offset = offsetof(struct hash_args, json),
     .help = "print one JSON object"},
};

static const struct tr_positional positionals[] = {
    {.name = "PATH", .help = "a checkpoint, or a run folder: its newest checkpoint",
     .offset = offsetof(struct hash_args, path)},
};

static const struct tr_command command = {
    .name = "hash",
    .summary = "print the hash of a checkpoint's weights and optimiser state",
    .description =
        "Prints the arithmetic id and the SHA-256 over all weights and optimiser state in canonical order. Two runs of "
        "one "
        "config and one arithmetic id have the same hash after the same step, whatever the number of threads, the "
        "instruction set, the compiler, the grouping of the work, or how often they were killed and resumed. The "
        "checkpoint is verified first: a damaged one is refused.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .positionals = positionals,
    .positional_count = 1,
    .examples = "trine hash runs/depth-4                                # of its newest checkpoint\n"
                "trine hash runs/a/step-00000100 --equals runs/b/step-00000100\n",
};

static void print_one(const struct tr_hash *hash, bool as_json, struct tr_text *out)
{
    if (!as_json) {
        tr_text_printf(out, "%s  %s  step %lld  %s\n", hash->hex, hash->arithmetic, (long long)hash->step,
                       hash->checkpoint);
        return;
    }
    struct tr_json json = tr_json_start(out, TR_JSON_LINE);
    tr_json_object(&json, NULL);
    tr_json_string(&json, "sha256", hash->hex);
    tr_json_string(&json, "arithmetic", hash->arithmetic);
    tr_json_int(&json, "step", hash->step);
    tr_json_string(&json, "checkpoint", hash->checkpoint);
    tr_json_end(&json);
    tr_text_char(out, '\n');
}

static enum tr_status compare(const struct hash_args *args, struct tr_err *err)
{
    struct tr_hash a, b;
    struct tr_text text = {0};
    enum tr_status status = tr_hash_path(args->path, &a, err);
    if (status == TR_OK && args->equals)
        status = tr_hash_path(args->equals, &b, err);
    if (status != TR_OK)
        return status;
    print_one(&a, args->json, &text);
    if (args->equals)
        print_one(&b, args->json, &text);
    status = tr_app_print(&text, err);
    if (status != TR_OK || !args->equals)
        return status;
    return strcmp(a.hex, b.hex) == 0 && strcmp(a.arithmetic, b.arithmetic) == 0 ? TR_OK : TR_NO;
}

static enum tr_status run(void *parsed, const struct tr_given *given, struct tr_err *err)
{
    (void)given;
    return compare(parsed, err);
}

const struct tr_app_command tr_cmd_hash = {&command, sizeof(struct hash_args), run};
