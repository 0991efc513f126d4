#include "base/option.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct args {
    int64_t steps, depth, memory;
    double rate, time, link;
    const char *out, *text, *file, *second;
    bool quiet, color;
    int schedule;
};

static const char *const schedules[] = {"cosine", "wsd", "constant", NULL};

#define AT(field) .offset = offsetof(struct args, field)
static const struct tr_option options[] = {
    {.name = "steps", .letter = 'n', .kind = TR_OPTION_COUNT, AT(steps), .fallback = "1k", .min = 1, .max = 1e9,
     .value = "N", .help = "how many optimiser steps to take"},
    {.name = "depth", .kind = TR_OPTION_INT, AT(depth), .min = -5, .max = 100, .help = "how many layers"},
    {.name = "memory", .kind = TR_OPTION_BYTES, AT(memory), .fallback = "8GiB", .help = "how much memory to use"},
    {.name = "rate", .kind = TR_OPTION_DOUBLE, AT(rate), .fallback = "3e-4", .min = 0, .max = INFINITY,
     .help = "the peak of the learning rate, which a warm-up reaches and a schedule lowers again; a long sentence",
     .section = "Optimiser"},
    {.name = "schedule", .kind = TR_OPTION_ENUM, AT(schedule), .fallback = "cosine", .choices = schedules,
     .help = "how the rate falls", .section = "Optimiser"},
    {.name = "time", .kind = TR_OPTION_TIME, AT(time), .help = "stop after this time"},
    {.name = "link", .kind = TR_OPTION_QUANTITY, AT(link), .unit = TR_UNIT_BYTES_S, .help = "how fast the link is"},
    {.name = "out", .letter = 'o', .kind = TR_OPTION_PATH, AT(out), .fallback = "runs", .help = "where to write"},
    {.name = "quiet", .letter = 'q', .kind = TR_OPTION_FLAG, AT(quiet), .help = "no progress"},
    {.name = "color", .letter = 'c', .kind = TR_OPTION_FLAG, AT(color), .fallback = "true",
     .help = "colours | tags <b>"},
};
static const struct tr_positional positionals[] = {
    {.name = "TEXT", .help = "a file to read", AT(text)},
    {.name = "MORE", .help = "further files", .optional = true, .many = true},
};
static const struct tr_command train = {
    .name = "train",
    .summary = "train a model on text",
    .description = "Reads text and writes a run folder.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .positionals = positionals,
    .positional_count = 2,
    .takes_overrides = true,
    .examples = "    trine train book.txt   # the shortest way\n",
};
static const struct tr_option strict_options[] = {
    {.name = "file", .kind = TR_OPTION_STRING, AT(file), .required = true, .help = "what to show"},
};
static const struct tr_command show = {.name = "show", .summary = "show a thing", .options = strict_options,
                                       .option_count = 1};

static enum tr_status parse(const struct tr_command *command, const char *line, struct args *args,
                            struct tr_given *given, struct tr_err *err)
{
    static char words[1024];
    static char *argv[64];
    int argc = 0;
    snprintf(words, sizeof words, "%s", line);
    for (char *word = strtok(words, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    return tr_option_parse(command, argc, argv, args, sizeof *args, given, err);
}

static void what_is_not_given_has_its_default(void **state)
{
    (void)state;
    struct args args;
    struct tr_given given;
    struct tr_err err;
    assert_int_equal(parse(&train, "book", &args, &given, &err), TR_OK);
    assert_int_equal(args.steps, 1000);
    assert_int_equal(args.depth, 0);
    assert_int_equal(args.memory, (int64_t)8 << 30);
    assert_true(args.rate == 3e-4);
    assert_int_equal(args.schedule, 0);
    assert_string_equal(args.out, "runs");
    assert_string_equal(args.text, "book");
    assert_true(args.color && !args.quiet && !given.help);
    assert_int_equal(given.rest_count, 0);
    tr_given_free(&given);
}

static void every_way_of_writing_an_option_is_read(void **state)
{
    (void)state;
    struct args args;
    struct tr_given given;
    struct tr_err err;
    assert_int_equal(parse(&train, "--steps=2k a --depth -3 --memory 4kB -o dir -qc --no-color --schedule wsd b "
                                   "--time=2h --link 400Gb/s --rate=1e-3 -n7 -- --odd -",
                           &args, &given, &err),
                     TR_OK);
    assert_int_equal(args.steps, 7); /* the last one counts */
    assert_int_equal(args.depth, -3);
    assert_int_equal(args.memory, 4000);
    assert_true(args.rate == 1e-3 && args.time == 7200 && args.link == 50e9);
    assert_string_equal(args.out, "dir");
    assert_true(args.quiet && !args.color);
    assert_int_equal(args.schedule, 1);
    assert_string_equal(args.text, "a");
    assert_int_equal(given.rest_count, 3);
    assert_string_equal(given.rest[0], "b");
    assert_string_equal(given.rest[1], "--odd");
    assert_string_equal(given.rest[2], "-");
    tr_given_free(&given);
}

static void overrides_are_kept_in_order(void **state)
{
    (void)state;
    struct args args;
    struct tr_given given;
    struct tr_err err;
    assert_int_equal(parse(&train, "t --train.steps=5 --model.name x=y --train.steps=6", &args, &given, &err), TR_OK);
    assert_int_equal(given.override_count, 3);
    assert_string_equal(given.overrides[0].key, "train.steps");
    assert_string_equal(given.overrides[0].value, "5");
    assert_string_equal(given.overrides[1].key, "model.name");
    assert_string_equal(given.overrides[1].value, "x=y");
    assert_string_equal(given.overrides[2].value, "6");
    tr_given_free(&given);
    /* where a command takes none, it is an unknown option */
    assert_int_equal(parse(&show, "--train.steps=5", &args, &given, &err), TR_BAD_INPUT);
}

static void mistakes_are_named_with_what_would_be_right(void **state)
{
    (void)state;
    static const struct {
        const char *line, *sentence;
    } bad[] = {
        {"t --stepz=5", "unknown option --stepz; did you mean --steps?"},
        {"t --hlep", "unknown option --hlep; did you mean --help?"},
        {"t --completely-different", "unknown option --completely-different; `train --help` lists them all"},
        {"t -x", "unknown option -x; `train --help` lists them all"},
        {"t --steps=0", "--steps: expected a value from 1 to 1 B, got \"0\""},
        {"t --steps=abc", "--steps: \"abc\": expected a count such as 124M, 1.5B or 10k"},
        {"t --steps", "--steps: a value is missing behind it"},
        {"t --out --quiet", "--out: a value is missing behind it"},
        {"t -n", "--steps: a value is missing behind it"},
        {"t --depth=101", "--depth: expected a value from -5 to 100, got \"101\""},
        {"t --depth=1.5", "--depth: expected a whole number, got \"1.5\""},
        {"t --depth=", "--depth: expected a whole number, got \"\""},
        {"t --depth=99999999999999999999", "--depth: expected a whole number, got \"99999999999999999999\""},
        {"t --rate=-1", "--rate: expected at least 0, got \"-1\""},
        {"t --rate=nan", "--rate: expected a number, got \"nan\""},
        {"t --rate=0x10", "--rate: expected a number, got \"0x10\""},
        {"t --schedule=cosin", "--schedule: expected cosine, wsd or constant, got \"cosin\"; did you mean cosine?"},
        {"t --memory=4Gb", "--memory: \"4Gb\": expected a number of bytes such as 80GiB or 4kB"},
        {"t --quiet=yes", "--quiet: is on or off and takes no value, got \"yes\""},
        {"t --no-steps", "unknown option --no-steps; `train --help` lists them all"},
        {"t --a.b", "--a.b: a value is missing behind it"},
        {"", "TEXT is missing: a file to read"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct args args;
        struct tr_given given;
        struct tr_err err;
        assert_int_equal(parse(&train, bad[i].line, &args, &given, &err), TR_BAD_INPUT);
        assert_string_equal(err.text, bad[i].sentence);
        assert_null(given.rest); /* nothing to free */
    }
    struct args args;
    struct tr_given given;
    struct tr_err err;
    assert_int_equal(parse(&show, "", &args, &given, &err), TR_BAD_INPUT);
    assert_string_equal(err.text, "--file is missing: what to show");
    assert_int_equal(parse(&show, "--file=a b", &args, &given, &err), TR_BAD_INPUT);
    assert_string_equal(err.text, "\"b\" is one argument too many for `show`");
}

static void more_overrides_than_the_limit_are_refused(void **state)
{
    (void)state;
    static char first[] = "t", word[] = "--a.b=1";
    char *argv[TR_OVERRIDE_MAX + 2];
    for (int i = 0; i < TR_OVERRIDE_MAX + 2; i++)
        argv[i] = i ? word : first;
    struct args args;
    struct tr_given given;
    struct tr_err err;
    assert_int_equal(tr_option_parse(&train, TR_OVERRIDE_MAX + 1, argv, &args, sizeof args, &given, &err), TR_OK);
    tr_given_free(&given);
    assert_int_equal(tr_option_parse(&train, TR_OVERRIDE_MAX + 2, argv, &args, sizeof args, &given, &err),
                     TR_BAD_INPUT);
}

static void help_wins_over_mistakes(void **state)
{
    (void)state;
    struct args args;
    struct tr_given given;
    struct tr_err err;
    assert_int_equal(parse(&train, "--bogus --help", &args, &given, &err), TR_OK);
    assert_true(given.help);
    tr_given_free(&given);
    assert_int_equal(parse(&train, "-h", &args, &given, &err), TR_OK);
    assert_true(given.help);
    assert_int_equal(parse(&train, "t -- --help", &args, &given, &err), TR_OK);
    assert_false(given.help);
    tr_given_free(&given);
}

static void help_shows_sections_values_and_defaults_within_the_columns(void **state)
{
    (void)state;
    struct tr_text text = {0};
    tr_option_help(&train, 80, &text);
    assert_string_equal(
        tr_text_str(&text),
        "usage: trine train [OPTIONS] TEXT [MORE...] [--section.key=value...]\n"
        "\n"
        "train a model on text\n"
        "\n"
        "Reads text and writes a run folder.\n"
        "\n"
        "Arguments:\n"
        "  TEXT                        a file to read\n"
        "  MORE                        further files\n"
        "\n"
        "Options:\n"
        "  -n, --steps=N               how many optimiser steps to take (default: 1k)\n"
        "      --depth=N               how many layers\n"
        "      --memory=BYTES          how much memory to use (default: 8GiB)\n"
        "      --time=TIME             stop after this time\n"
        "      --link=VALUE            how fast the link is\n"
        "  -o, --out=FILE              where to write (default: runs)\n"
        "  -q, --quiet                 no progress\n"
        "  -c, --color                 colours | tags <b> (on by default; --no-color\n"
        "                              turns it off)\n"
        "\n"
        "Optimiser:\n"
        "      --rate=X                the peak of the learning rate, which a warm-up\n"
        "                              reaches and a schedule lowers again; a long\n"
        "                              sentence (default: 3e-4)\n"
        "      --schedule=WORD         how the rate falls: cosine, wsd, constant\n"
        "                              (default: cosine)\n"
        "\n"
        "Settings:\n"
        "      --section.key=value     any key of the config file, over what the file\n"
        "                              says\n"
        "\n"
        "Examples:\n"
        "    trine train book.txt   # the shortest way\n");
    tr_text_free(&text);
}

static void markdown_lists_every_option_and_escapes_its_cells(void **state)
{
    (void)state;
    struct tr_text text = {0};
    tr_option_markdown(&train, &text);
    for (int i = 0; i < train.option_count; i++) {
        char entry[64];
        snprintf(entry, sizeof entry, "| `--%s", options[i].name);
        assert_non_null(strstr(tr_text_str(&text), entry));
    }
    assert_non_null(strstr(tr_text_str(&text), "## trine train\n"));
    assert_non_null(strstr(tr_text_str(&text),
                           "| `--steps=N`, `-n` | how many optimiser steps to take (default: 1k) |"));
    assert_non_null(strstr(tr_text_str(&text), "colours \\| tags \\<b>"));
    tr_text_free(&text);
}

/* What bash offers for the words given, the last one unfinished. */
static void check_completion(const char *script, const char *words, const char *expected)
{
    char command[512], got[512] = "";
    snprintf(command, sizeof command,
             "bash -c 'source %s; COMP_WORDS=(%s); COMP_CWORD=$((${#COMP_WORDS[@]}-1)); _trine 2>/dev/null; "
             "echo ${COMPREPLY[@]}'", script, words);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t len = fread(got, 1, sizeof got - 1, pipe);
    assert_int_equal(pclose(pipe), 0);
    got[len ? len - 1 : 0] = 0;
    assert_string_equal(got, expected);
}

static void bash_completes_commands_options_and_choices(void **state)
{
    (void)state;
    if (system("bash -c true >/dev/null 2>&1") != 0)
        skip();
    const struct tr_command *const commands[] = {&train, &show};
    struct tr_text text = {0};
    tr_option_completion("trine", commands, 2, &text);
    char path[] = "/tmp/trine-complete-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text.at, text.len), (ssize_t)text.len);
    close(fd);
    tr_text_free(&text);
    check_completion(path, "trine tr", "train");
    check_completion(path, "trine train --st", "--steps=");
    check_completion(path, "trine train --s", "--steps= --schedule=");
    check_completion(path, "trine show --", "--file= --help");
    check_completion(path, "trine train --schedule = c", "cosine constant");
    check_completion(path, "trine train --schedule =", "cosine wsd constant");
    unlink(path);
}

static void an_unknown_command_names_the_nearest(void **state)
{
    (void)state;
    const struct tr_command *const commands[] = {&train, &show};
    const struct tr_command *found = NULL;
    struct tr_err err;
    assert_int_equal(tr_command_find(commands, 2, "show", &found, &err), TR_OK);
    assert_ptr_equal(found, &show);
    assert_int_equal(tr_command_find(commands, 2, "trian", &found, &err), TR_BAD_INPUT);
    assert_string_equal(err.text, "unknown command \"trian\"; did you mean \"train\"?");
    assert_int_equal(tr_command_find(commands, 2, "bogus", &found, &err), TR_BAD_INPUT);
    assert_string_equal(err.text, "unknown command \"bogus\"; --help lists them all");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_given_has_its_default),
        cmocka_unit_test(every_way_of_writing_an_option_is_read),
        cmocka_unit_test(overrides_are_kept_in_order),
        cmocka_unit_test(mistakes_are_named_with_what_would_be_right),
        cmocka_unit_test(more_overrides_than_the_limit_are_refused),
        cmocka_unit_test(help_wins_over_mistakes),
        cmocka_unit_test(help_shows_sections_values_and_defaults_within_the_columns),
        cmocka_unit_test(markdown_lists_every_option_and_escapes_its_cells),
        cmocka_unit_test(bash_completes_commands_options_and_choices),
        cmocka_unit_test(an_unknown_command_names_the_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
