/* The program `trine`: a table of commands, and what is said about the program as a whole. */
#include "app/app.h"
#include "app/ranks.h"

#include "base/os.h"
#include "base/text.h"
#include "silicon/kernel/kernel.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* In the order in which help lists them. */
static const struct tr_app_command *const commands[] = {
    &tr_cmd_train, &tr_cmd_launch, &tr_cmd_submit, &tr_cmd_status, &tr_cmd_eval, &tr_cmd_generate, &tr_cmd_export,
    &tr_cmd_tokenize, &tr_cmd_hash, &tr_cmd_report, &tr_cmd_show, &tr_cmd_plan, &tr_cmd_explain, &tr_cmd_calibrate, &tr_cmd_validate,
    &tr_cmd_completion, &tr_cmd_docs,
};

const char *const tr_app_dtypes[] = {"auto", "f32", "bf16", NULL};

enum { COMMAND_COUNT = sizeof commands / sizeof *commands, COLUMNS_MAX = 100 };

static int columns(void)
{
    int width = tr_is_terminal(STDOUT_FILENO) ? tr_terminal_columns(STDOUT_FILENO) : COLUMNS_MAX;
    return width < COLUMNS_MAX ? width : COLUMNS_MAX;
}

enum tr_status tr_app_print(struct tr_text *text, struct tr_err *err)
{
    enum tr_status status = TR_OK;
    if (tr_text_failed(text, err))
        status = TR_FAILED;
    else if (fwrite(tr_text_str(text), 1, text->len, stdout) != text->len || fflush(stdout) != 0)
        status = tr_fail(err, TR_FAILED, "standard output cannot be written");
    tr_text_free(text);
    return status;
}

static enum tr_status print_help(const struct tr_command *command, struct tr_err *err)
{
    struct tr_text text = {0};
    tr_option_help(command, columns(), &text);
    return tr_app_print(&text, err);
}

/* The ranks that a launcher started are told the same, and one of them says what is wrong with it. */
static enum tr_status say_once(enum tr_status status, struct tr_err *err)
{
    if (status != TR_OK)
        tr_app_ranks_apart(err);
    return status;
}

static enum tr_status parse_and_run(const struct tr_app_command *command, int argc, char **argv, struct tr_err *err)
{
    struct tr_given given;
    void *parsed = calloc(1, command->args_bytes);
    if (!parsed)
        return tr_fail(err, TR_FAILED, "out of memory before the command began");
    enum tr_status status =
        say_once(tr_option_parse(command->command, argc, argv, parsed, command->args_bytes, &given, err), err);
    if (status == TR_OK) {
        status = given.help ? print_help(command->command, err) : command->run(parsed, &given, err);
        tr_given_free(&given);
    }
    free(parsed);
    return status;
}

int tr_app_commands(const struct tr_app_command *const **out)
{
    *out = commands;
    return COMMAND_COUNT;
}

void tr_app_usage(struct tr_text *out)
{
    tr_text_append(out, "usage: trine COMMAND [options]\n\nCommands:\n");
    for (int i = 0; i < COMMAND_COUNT; i++)
        tr_text_printf(out, "  %-12s %s\n", commands[i]->command->name, commands[i]->command->summary);
    tr_text_append(out, "\n"
                        "  trine help COMMAND   what a command does and takes (also: trine COMMAND --help)\n"
                        "  trine --version      the version\n"
                        "\n"
                        "The answer is on standard output, progress on standard error. Exit status: 0 yes or done, 1 the\n"
                        "answer is no (it does not fit, it differs), 2 wrong usage or input, 3 failure (disk full, out of\n"
                        "memory, interrupted).\n");
}

static enum tr_status print_usage(struct tr_err *err)
{
    struct tr_text text = {0};
    tr_app_usage(&text);
    return tr_app_print(&text, err);
}

static enum tr_status find(const char *name, const struct tr_app_command **out, struct tr_err *err)
{
    const struct tr_command *list[COMMAND_COUNT], *found;
    for (int i = 0; i < COMMAND_COUNT; i++)
        list[i] = commands[i]->command;
    enum tr_status status = tr_command_find(list, COMMAND_COUNT, name, &found, err);
    for (int i = 0; i < COMMAND_COUNT && status == TR_OK; i++)
        if (list[i] == found)
            *out = commands[i];
    return status;
}

static enum tr_status help(int argc, char **argv, struct tr_err *err)
{
    const struct tr_app_command *command;
    if (argc == 0)
        return print_usage(err);
    enum tr_status status = find(argv[0], &command, err);
    return status == TR_OK ? print_help(command->command, err) : status;
}

const char *tr_app_program(void)
{
    static char program[32];
    snprintf(program, sizeof program, "%s, kernels %s", TRINE_VERSION, tr_kernels_id);
    return program;
}

static enum tr_status dispatch(int argc, char **argv, struct tr_err *err)
{
    const struct tr_app_command *command;
    if (argc < 2)
        return tr_fail(err, TR_BAD_INPUT, "no command given (`trine help` lists them)");
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return print_usage(err);
    if (strcmp(argv[1], "help") == 0)
        return help(argc - 2, argv + 2, err);
    if (strcmp(argv[1], "--version") == 0) {
        struct tr_text text = {0};
        tr_text_printf(&text, "trine %s\n", TRINE_VERSION);
        return tr_app_print(&text, err);
    }
    enum tr_status status = say_once(find(argv[1], &command, err), err);
    return status == TR_OK ? parse_and_run(command, argc - 2, argv + 2, err) : status;
}

int main(int argc, char **argv)
{
    struct tr_err err = {{0}};
    signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes is then what a full disk is: a write that fails, and a sentence */
    enum tr_status status = dispatch(argc, argv, &err);
    if (status != TR_OK && err.text[0])
        fprintf(stderr, "trine: %s\n", err.text);
    return status;
}
