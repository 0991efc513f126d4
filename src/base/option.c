/* Reading a command line by a command's table. Help, Markdown and completion: option_help.c. */
#include "base/option.h"

#include "base/json.h" /* the shortest text of a double */

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One command line while it is read. */
struct line {
    const struct tr_command *command;
    int argc;
    char **argv;
    int at;       /* the next word */
    void *target;
    struct tr_given *given;
    int positional_count; /* filled so far */
    struct tr_err *err;
};

static void *place(void *target, const struct tr_option *option)
{
    return (char *)target + option->offset;
}

static enum tr_unit unit_of(const struct tr_option *option)
{
    switch (option->kind) {
    case TR_OPTION_BYTES: return TR_UNIT_BYTES;
    case TR_OPTION_TIME: return TR_UNIT_TIME;
    case TR_OPTION_QUANTITY: return option->unit;
    default: return TR_UNIT_COUNT;
    }
}

static const char *print_limit(const struct tr_option *option, double limit, char buf[TR_QUANTITY_BYTES])
{
    if (option->kind == TR_OPTION_INT || option->kind == TR_OPTION_DOUBLE)
        return tr_print_shortest(limit, buf);
    return tr_print_quantity(buf, unit_of(option), limit);
}

static enum tr_status check_range(const struct tr_option *option, const char *text, double value, struct tr_err *err)
{
    if (option->min == 0 && option->max == 0)
        return TR_OK;
    if (value >= option->min && value <= option->max)
        return TR_OK;
    char low[TR_QUANTITY_BYTES], high[TR_QUANTITY_BYTES];
    if (isinf(option->max))
        return tr_fail(err, TR_BAD_INPUT, "--%s: expected at least %s, got \"%.60s\"", option->name,
                       print_limit(option, option->min, low), text);
    return tr_fail(err, TR_BAD_INPUT, "--%s: expected a value from %s to %s, got \"%.60s\"", option->name,
                   print_limit(option, option->min, low), print_limit(option, option->max, high), text);
}

static enum tr_status read_int(const struct tr_option *option, const char *text, void *to, struct tr_err *err)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    bool digits = (text[0] >= '0' && text[0] <= '9') || ((text[0] == '-' || text[0] == '+') && text[1]);
    if (!digits || *end || errno)
        return tr_fail(err, TR_BAD_INPUT, "--%s: expected a whole number, got \"%.60s\"", option->name, text);
    enum tr_status status = check_range(option, text, (double)value, err);
    if (!status)
        memcpy(to, &(int64_t){value}, sizeof(int64_t));
    return status;
}

static enum tr_status read_double(const struct tr_option *option, const char *text, void *to, struct tr_err *err)
{
    char *end;
    double value = strtod(text, &end);
    /* strtod also takes blanks, "nan" and hexadecimal numbers. */
    bool plain = text[0] && strspn(text, "0123456789+-.eE") == strlen(text);
    if (!plain || *end || end == text || !isfinite(value))
        return tr_fail(err, TR_BAD_INPUT, "--%s: expected a number, got \"%.60s\"", option->name, text);
    enum tr_status status = check_range(option, text, value, err);
    if (!status)
        memcpy(to, &value, sizeof value);
    return status;
}

static enum tr_status read_quantity(const struct tr_option *option, const char *text, void *to, struct tr_err *err)
{
    int64_t whole = 0;
    double real = 0;
    bool is_whole = option->kind == TR_OPTION_BYTES || option->kind == TR_OPTION_COUNT;
    struct tr_err why;
    enum tr_status status = is_whole ? tr_parse_whole(text, unit_of(option), &whole, &why)
                                     : tr_parse_quantity(text, unit_of(option), &real, &why);
    if (status)
        return tr_fail(err, status, "--%s: %s", option->name, why.text);
    status = check_range(option, text, is_whole ? (double)whole : real, err);
    if (status)
        return status;
    if (is_whole)
        memcpy(to, &whole, sizeof whole);
    else
        memcpy(to, &real, sizeof real);
    return TR_OK;
}

static enum tr_status read_enum(const struct tr_option *option, const char *text, void *to, struct tr_err *err)
{
    int count = 0;
    while (option->choices[count])
        count++;
    for (int i = 0; i < count; i++) {
        if (strcmp(text, option->choices[i]) == 0) {
            memcpy(to, &i, sizeof i);
            return TR_OK;
        }
    }
    struct tr_text list = {0};
    for (int i = 0; i < count; i++)
        tr_text_printf(&list, "%s%s", i == 0 ? "" : i == count - 1 ? " or " : ", ", option->choices[i]);
    int nearest = tr_nearest(text, option->choices, count);
    tr_fail(err, TR_BAD_INPUT, "--%s: expected %s, got \"%.60s\"%s%s%s", option->name, tr_text_str(&list), text,
            nearest < 0 ? "" : "; did you mean ", nearest < 0 ? "" : option->choices[nearest], nearest < 0 ? "" : "?");
    tr_text_free(&list);
    return TR_BAD_INPUT;
}

static enum tr_status read_value(const struct tr_option *option, const char *text, void *target, struct tr_err *err)
{
    void *to = place(target, option);
    switch (option->kind) {
    case TR_OPTION_INT: return read_int(option, text, to, err);
    case TR_OPTION_DOUBLE: return read_double(option, text, to, err);
    case TR_OPTION_ENUM: return read_enum(option, text, to, err);
    case TR_OPTION_STRING:
    case TR_OPTION_PATH: memcpy(to, &text, sizeof text); return TR_OK;
    case TR_OPTION_FLAG: break;
    default: return read_quantity(option, text, to, err);
    }
    memcpy(to, &(bool){strcmp(text, "true") == 0}, sizeof(bool));
    return TR_OK;
}

/* --- the words --- */

static int find_option(const struct tr_command *command, const char *name, size_t len)
{
    for (int i = 0; i < command->option_count; i++)
        if (strlen(command->options[i].name) == len && strncmp(command->options[i].name, name, len) == 0)
            return i;
    return -1;
}

static enum tr_status unknown_option(const struct line *line, const char *word, size_t len)
{
    const char *names[TR_OPTION_MAX + 1];
    int count = 0;
    for (; count < line->command->option_count; count++)
        names[count] = line->command->options[count].name;
    names[count++] = "help";
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)(len < 60 ? len : 60), word);
    int nearest = tr_nearest(name, names, count);
    if (nearest >= 0)
        return tr_fail(line->err, TR_BAD_INPUT, "unknown option --%s; did you mean --%s?", name, names[nearest]);
    return tr_fail(line->err, TR_BAD_INPUT, "unknown option --%s; `%s --help` lists them all", name,
                   line->command->name);
}

static enum tr_status add_override(struct line *line, const char *word, size_t len, const char *value)
{
    struct tr_given *given = line->given;
    if (given->override_count == TR_OVERRIDE_MAX)
        return tr_fail(line->err, TR_BAD_INPUT, "more than %d settings of the form --section.key=value",
                       TR_OVERRIDE_MAX);
    if (!given->overrides)
        given->overrides = calloc(TR_OVERRIDE_MAX, sizeof *given->overrides);
    char *key = given->overrides ? strndup(word, len) : NULL;
    if (!key)
        return tr_fail(line->err, TR_FAILED, "out of memory for the command line");
    given->overrides[given->override_count++] = (struct tr_override){.key = key, .value = value};
    return TR_OK;
}

/* The value after a name: behind the '=', else the next word; but not the next option: `--out --quiet` has lost its
 * file name. A value that does begin with two dashes is written with '='. */
static const char *take_value(struct line *line, const char *attached)
{
    if (attached)
        return attached;
    if (line->at == line->argc || strncmp(line->argv[line->at], "--", 2) == 0)
        return NULL;
    return line->argv[line->at++];
}

static enum tr_status set_option(struct line *line, int index, const char *attached)
{
    const struct tr_option *option = &line->command->options[index];
    const char *value;
    if (option->kind == TR_OPTION_FLAG) {
        value = attached ? attached : "true";
        if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
            return tr_fail(line->err, TR_BAD_INPUT, "--%s: is on or off and takes no value, got \"%.60s\"",
                           option->name, value);
    } else {
        value = take_value(line, attached);
        if (!value)
            return tr_fail(line->err, TR_BAD_INPUT, "--%s: a value is missing behind it", option->name);
    }
    line->given->option[index] = true;
    return read_value(option, value, line->target, line->err);
}

static enum tr_status long_option(struct line *line, const char *word)
{
    size_t len = strcspn(word, "=");
    const char *attached = word[len] ? word + len + 1 : NULL;
    int index = find_option(line->command, word, len);
    if (index >= 0)
        return set_option(line, index, attached);
    if (len > 3 && strncmp(word, "no-", 3) == 0) {
        index = find_option(line->command, word + 3, len - 3);
        if (index >= 0 && line->command->options[index].kind == TR_OPTION_FLAG && !attached)
            return set_option(line, index, "false");
    }
    if (line->command->takes_overrides && memchr(word, '.', len)) {
        const char *value = take_value(line, attached);
        if (!value)
            return tr_fail(line->err, TR_BAD_INPUT, "--%.60s: a value is missing behind it", word);
        return add_override(line, word, len, value);
    }
    return unknown_option(line, word, len);
}

/* "-n 5", "-n5", "-qv" (flags together). */
static enum tr_status letters(struct line *line, const char *word)
{
    for (; *word; word++) {
        int index = 0;
        while (index < line->command->option_count && line->command->options[index].letter != *word)
            index++;
        if (index == line->command->option_count)
            return tr_fail(line->err, TR_BAD_INPUT, "unknown option -%c; `%s --help` lists them all", *word,
                           line->command->name);
        if (line->command->options[index].kind != TR_OPTION_FLAG)
            return set_option(line, index, word[1] ? word + 1 : NULL);
        enum tr_status status = set_option(line, index, NULL);
        if (status)
            return status;
    }
    return TR_OK;
}

static enum tr_status positional(struct line *line, char *word)
{
    const struct tr_command *command = line->command;
    if (line->positional_count == command->positional_count)
        return tr_fail(line->err, TR_BAD_INPUT, "\"%.60s\" is one argument too many for `%s`", word, command->name);
    const struct tr_positional *expected = &command->positionals[line->positional_count];
    if (expected->many) {
        line->given->rest[line->given->rest_count++] = word;
        return TR_OK;
    }
    memcpy((char *)line->target + expected->offset, &word, sizeof word);
    line->positional_count++;
    return TR_OK;
}

static enum tr_status read_words(struct line *line)
{
    bool only_positional = false;
    while (line->at < line->argc) {
        char *word = line->argv[line->at++];
        enum tr_status status;
        /* A lone "-" is a name (standard input). */
        if (only_positional || word[0] != '-' || !word[1]) {
            status = positional(line, word);
        } else if (strcmp(word, "--") == 0) {
            only_positional = true;
            continue;
        } else {
            status = word[1] == '-' ? long_option(line, word + 2) : letters(line, word + 1);
        }
        if (status)
            return status;
    }
    return TR_OK;
}

static enum tr_status check_missing(const struct line *line)
{
    const struct tr_command *command = line->command;
    for (int i = 0; i < command->option_count; i++)
        if (command->options[i].required && !line->given->option[i])
            return tr_fail(line->err, TR_BAD_INPUT, "--%s is missing: %s", command->options[i].name,
                           command->options[i].help);
    if (line->positional_count < command->positional_count) {
        const struct tr_positional *next = &command->positionals[line->positional_count];
        if (!next->optional && !(next->many && line->given->rest_count > 0))
            return tr_fail(line->err, TR_BAD_INPUT, "%s is missing: %s", next->name, next->help);
    }
    return TR_OK;
}

/* `--help` anywhere before a `--` wins: who asks for help has often not finished the rest. */
static bool asks_for_help(int argc, char **argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

static void set_fallbacks(const struct tr_command *command, void *target)
{
    for (int i = 0; i < command->option_count; i++) {
        const struct tr_option *option = &command->options[i];
        TR_ASSERT(!option->required || !option->fallback);
        if (!option->fallback)
            continue;
        struct tr_err err;
        enum tr_status status = read_value(option, option->fallback, target, &err);
        TR_ASSERT(status == TR_OK); /* the table's default must satisfy the table */
    }
}

enum tr_status tr_option_parse(const struct tr_command *command, int argc, char **argv, void *target,
                               size_t target_bytes, struct tr_given *given, struct tr_err *err)
{
    TR_ASSERT(command->option_count <= TR_OPTION_MAX && argc >= 0);
    memset(target, 0, target_bytes);
    *given = (struct tr_given){0};
    set_fallbacks(command, target);
    if (asks_for_help(argc, argv)) {
        given->help = true;
        return TR_OK;
    }
    given->rest = calloc((size_t)argc + 1, sizeof *given->rest);
    if (!given->rest)
        return tr_fail(err, TR_FAILED, "out of memory for the command line");
    struct line line = {.command = command, .argc = argc, .argv = argv, .target = target, .given = given, .err = err};
    enum tr_status status = read_words(&line);
    if (!status)
        status = check_missing(&line);
    if (status)
        tr_given_free(given);
    return status;
}

void tr_given_free(struct tr_given *given)
{
    for (int i = 0; i < given->override_count; i++)
        free((char *)given->overrides[i].key); /* ours, const only for readers */
    free(given->overrides);
    free(given->rest);
    *given = (struct tr_given){0};
}

enum tr_status tr_command_find(const struct tr_command *const *commands, int count, const char *name,
                               const struct tr_command **out, struct tr_err *err)
{
    const char *names[TR_COMMAND_MAX];
    TR_ASSERT(count <= TR_COMMAND_MAX);
    for (int i = 0; i < count; i++) {
        names[i] = commands[i]->name;
        if (strcmp(names[i], name) == 0) {
            *out = commands[i];
            return TR_OK;
        }
    }
    int nearest = tr_nearest(name, names, count);
    if (nearest >= 0)
        return tr_fail(err, TR_BAD_INPUT, "unknown command \"%.60s\"; did you mean \"%s\"?", name, names[nearest]);
    return tr_fail(err, TR_BAD_INPUT, "unknown command \"%.60s\"; --help lists them all", name);
}
