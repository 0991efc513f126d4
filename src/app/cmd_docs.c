/* trine docs, trine completion: what the option tables say, for readers and for shells. */
#include "app/app.h"

#include "lab/train/run_config.h"
#include "plan/show/show.h"

#include <string.h>

enum { COMMANDS_MAX = 64 };

struct completion_args {
    const char *shell;
};

static const struct tr_positional completion_positionals[] = {
    {.name = "SHELL", .help = "bash", .offset = offsetof(struct completion_args, shell)},
};

static const struct tr_command completion = {
    .name = "completion",
    .summary = "print a script that completes commands and options in a shell",
    .positionals = completion_positionals,
    .positional_count = 1,
    .examples = "source <(trine completion bash)   # in this shell\n",
};

static enum tr_status run_completion(void *parsed, const struct tr_given *given, struct tr_err *err)
{
    struct completion_args *args = parsed;
    (void)given;
    if (strcmp(args->shell, "bash") != 0)
        return tr_fail(err, TR_BAD_INPUT, "completion for \"%.40s\" is not known; there is one for bash", args->shell);
    const struct tr_app_command *const *commands;
    const struct tr_command *list[COMMANDS_MAX];
    int count = tr_app_commands(&commands);
    TR_ASSERT(count <= COMMANDS_MAX);
    for (int i = 0; i < count; i++)
        list[i] = commands[i]->command;
    struct tr_text text = {0};
    tr_option_completion("trine", list, count, &text);
    return tr_app_print(&text, err);
}

const struct tr_app_command tr_cmd_completion = {&completion, sizeof(struct completion_args), run_completion};

struct docs_args {
    const char *page;
};

static const struct tr_positional docs_positionals[] = {
    {.name = "PAGE", .help = "commands (all commands, options and config keys; the default), or catalog (the keys of catalog "
                             "files)",
     .offset = offsetof(struct docs_args, page), .optional = true},
};

static const struct tr_command docs = {
    .name = "docs",
    .summary = "print docs/commands.md: all commands, options and config keys",
    .positionals = docs_positionals,
    .positional_count = 1,
    .examples = "trine docs > docs/commands.md   # after an option has changed; a test compares\n"
                "trine docs catalog              # what stands in docs/catalog.md below \"Keys\"\n",
};

static void write_docs(struct tr_text *out)
{
    const struct tr_app_command *const *commands;
    int count = tr_app_commands(&commands);
    tr_text_append(out, "# Commands\n\nPrinted by `trine docs` from the tables that parse the command line.\n\n```\n");
    tr_app_usage(out);
    tr_text_append(out, "```\n");
    for (int i = 0; i < count; i++) {
        tr_text_char(out, '\n');
        tr_option_markdown(commands[i]->command, out);
    }
    tr_text_append(out, "\n## The config of a run\n\n"
                        "A YAML file (`trine train --config FILE`), and `--section.key=value` on top of it. An unknown key "
                        "is an error.\nEach run saves its effective config as `config.yaml` in its folder.\n\n");
    tr_run_config_markdown(out);
}

static enum tr_status run_docs(void *parsed, const struct tr_given *given, struct tr_err *err)
{
    struct docs_args *args = parsed;
    (void)given;
    struct tr_text text = {0};
    if (!args->page || strcmp(args->page, "commands") == 0)
        write_docs(&text);
    else if (strcmp(args->page, "catalog") == 0)
        tr_catalog_keys_markdown(&text);
    else
        return tr_fail(err, TR_BAD_INPUT, "no page \"%.40s\": commands or catalog", args->page);
    return tr_app_print(&text, err);
}

const struct tr_app_command tr_cmd_docs = {&docs, sizeof(struct docs_args), run_docs};
