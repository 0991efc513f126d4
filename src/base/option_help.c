/* What a command's table says to people and to shells. */
#include "base/option.h"

#include <string.h>

enum { HELP_INDENT = 30 };

static const char *value_name(const struct tr_option *option)
{
    if (option->value)
        return option->value;
    switch (option->kind) {
    case TR_OPTION_FLAG: return NULL;
    case TR_OPTION_STRING: return "TEXT";
    case TR_OPTION_PATH: return "FILE";
    case TR_OPTION_INT: return "N";
    case TR_OPTION_DOUBLE: return "X";
    case TR_OPTION_BYTES: return "BYTES";
    case TR_OPTION_COUNT: return "COUNT";
    case TR_OPTION_TIME: return "TIME";
    case TR_OPTION_QUANTITY: return "VALUE";
    case TR_OPTION_ENUM: return "WORD";
    }
    return "VALUE";
}

static const char *section_of(const struct tr_option *option)
{
    return option->section ? option->section : "Options";
}

/* Is this the first option of its section? Sections come in the order in which the table names them first. */
static bool opens_section(const struct tr_command *command, int index)
{
    for (int i = 0; i < index; i++)
        if (strcmp(section_of(&command->options[i]), section_of(&command->options[index])) == 0)
            return false;
    return true;
}

/* The help sentence with what the table knows besides: choices, default, whether it is needed. */
static void describe(const struct tr_option *option, struct tr_text *out)
{
    tr_text_append(out, option->help);
    if (option->kind == TR_OPTION_ENUM) {
        tr_text_append(out, ":");
        for (int i = 0; option->choices[i]; i++)
            tr_text_printf(out, "%s %s", i ? "," : "", option->choices[i]);
    }
    if (option->required)
        tr_text_append(out, " (required)");
    else if (option->fallback && option->kind != TR_OPTION_FLAG)
        tr_text_printf(out, " (default: %s)", option->fallback[0] ? option->fallback : "empty");
    else if (option->fallback && strcmp(option->fallback, "true") == 0)
        tr_text_printf(out, " (on by default; --no-%s turns it off)", option->name);
}

static void put_usage(const struct tr_command *command, struct tr_text *out)
{
    tr_text_printf(out, "trine %s", command->name);
    if (command->option_count)
        tr_text_append(out, " [OPTIONS]");
    for (int i = 0; i < command->positional_count; i++) {
        const struct tr_positional *positional = &command->positionals[i];
        tr_text_printf(out, positional->optional ? " [%s%s]" : " %s%s", positional->name,
                       positional->many ? "..." : "");
    }
    if (command->takes_overrides)
        tr_text_append(out, " [--section.key=value...]");
}

static void put_entry(struct tr_text *out, const char *head, const char *text, int columns)
{
    int width = tr_text_columns(head);
    tr_text_printf(out, "  %s", head);
    if (width + 4 > HELP_INDENT) {
        tr_text_char(out, '\n');
        tr_text_fill(out, ' ', HELP_INDENT);
    } else {
        tr_text_fill(out, ' ', (size_t)(HELP_INDENT - 2 - width));
    }
    tr_text_append_wrapped(out, text, HELP_INDENT, HELP_INDENT, columns);
    tr_text_char(out, '\n');
}

static void put_option_entry(const struct tr_option *option, int columns, struct tr_text *out)
{
    struct tr_text head = {0}, text = {0};
    if (option->letter)
        tr_text_printf(&head, "-%c, ", option->letter);
    else
        tr_text_append(&head, "    ");
    tr_text_printf(&head, "--%s", option->name);
    if (value_name(option))
        tr_text_printf(&head, "=%s", value_name(option));
    describe(option, &text);
    put_entry(out, tr_text_str(&head), tr_text_str(&text), columns);
    out->failed = out->failed || head.failed || text.failed;
    tr_text_free(&head);
    tr_text_free(&text);
}

void tr_option_help(const struct tr_command *command, int columns, struct tr_text *out)
{
    columns = columns > 100 ? 100 : columns < 50 ? 50 : columns;
    tr_text_append(out, "usage: ");
    put_usage(command, out);
    tr_text_append(out, "\n\n");
    tr_text_append_wrapped(out, command->summary, 0, 0, columns);
    tr_text_char(out, '\n');
    if (command->description) {
        tr_text_char(out, '\n');
        tr_text_append_wrapped(out, command->description, 0, 0, columns);
        tr_text_char(out, '\n');
    }
    if (command->positional_count)
        tr_text_append(out, "\nArguments:\n");
    for (int i = 0; i < command->positional_count; i++)
        put_entry(out, command->positionals[i].name, command->positionals[i].help, columns);
    for (int i = 0; i < command->option_count; i++) {
        if (!opens_section(command, i))
            continue;
        const char *section = section_of(&command->options[i]);
        tr_text_printf(out, "\n%s:\n", section);
        for (int j = i; j < command->option_count; j++)
            if (strcmp(section_of(&command->options[j]), section) == 0)
                put_option_entry(&command->options[j], columns, out);
    }
    if (command->takes_overrides) {
        tr_text_append(out, "\nSettings:\n");
        put_entry(out, "    --section.key=value", "any key of the config file, over what the file says", columns);
    }
    if (command->examples)
        tr_text_printf(out, "\nExamples:\n%s", command->examples);
    if (command->examples && command->examples[0] && command->examples[strlen(command->examples) - 1] != '\n')
        tr_text_char(out, '\n');
}

/* In a table cell a '|' would open the next one, and '<' a tag. */
static void put_markdown_cell(struct tr_text *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '|' || *text == '<' || *text == '\\')
            tr_text_char(out, '\\');
        tr_text_char(out, *text == '\n' ? ' ' : *text);
    }
}

void tr_option_markdown(const struct tr_command *command, struct tr_text *out)
{
    tr_text_printf(out, "## trine %s\n\n%s\n\n    ", command->name, command->summary);
    put_usage(command, out);
    tr_text_char(out, '\n');
    if (command->description)
        tr_text_printf(out, "\n%s\n", command->description);
    if (command->positional_count)
        tr_text_append(out, "\n| argument | meaning |\n|---|---|\n");
    for (int i = 0; i < command->positional_count; i++) {
        tr_text_printf(out, "| `%s` | ", command->positionals[i].name);
        put_markdown_cell(out, command->positionals[i].help);
        tr_text_append(out, " |\n");
    }
    for (int i = 0; i < command->option_count; i++) {
        if (!opens_section(command, i))
            continue;
        const char *section = section_of(&command->options[i]);
        tr_text_printf(out, "\n| %s | meaning |\n|---|---|\n", section);
        for (int j = i; j < command->option_count; j++) {
            const struct tr_option *option = &command->options[j];
            if (strcmp(section_of(option), section) != 0)
                continue;
            struct tr_text text = {0};
            describe(option, &text);
            tr_text_printf(out, "| `--%s%s%s`", option->name, value_name(option) ? "=" : "",
                           value_name(option) ? value_name(option) : "");
            if (option->letter)
                tr_text_printf(out, ", `-%c`", option->letter);
            tr_text_append(out, " | ");
            put_markdown_cell(out, tr_text_str(&text));
            tr_text_append(out, " |\n");
            out->failed = out->failed || text.failed;
            tr_text_free(&text);
        }
    }
    if (command->takes_overrides)
        tr_text_append(out, "\n`--section.key=value` sets any key of the config file, over what the file says.\n");
    if (command->examples)
        tr_text_printf(out, "\n```sh\n%s%s```\n", command->examples,
                       command->examples[0] && command->examples[strlen(command->examples) - 1] == '\n' ? "" : "\n");
}

/* --- bash --- */

static void put_option_words(const struct tr_command *command, struct tr_text *out)
{
    for (int i = 0; i < command->option_count; i++) {
        const struct tr_option *option = &command->options[i];
        tr_text_printf(out, " --%s%s", option->name, value_name(option) ? "=" : "");
    }
    tr_text_append(out, " --help");
}

/* What can stand behind the '=' of an option: its words, or files. */
static void put_value_cases(const struct tr_command *command, struct tr_text *out)
{
    for (int i = 0; i < command->option_count; i++) {
        const struct tr_option *option = &command->options[i];
        if (option->kind == TR_OPTION_PATH) {
            tr_text_printf(out, "        %s:--%s) COMPREPLY=($(compgen -f -- \"$word\")); return ;;\n", command->name,
                           option->name);
        } else if (option->kind == TR_OPTION_ENUM) {
            tr_text_printf(out, "        %s:--%s) COMPREPLY=($(compgen -W \"", command->name, option->name);
            for (int j = 0; option->choices[j]; j++)
                tr_text_printf(out, "%s%s", j ? " " : "", option->choices[j]);
            tr_text_append(out, "\" -- \"$word\")); return ;;\n");
        }
    }
}

void tr_option_completion(const char *program, const struct tr_command *const *commands, int count,
                          struct tr_text *out)
{
    tr_text_printf(out,
                   "# bash completion of %s: source it, or put it into /usr/share/bash-completion/completions/%s\n"
                   "_%s() {\n"
                   "    local word=\"${COMP_WORDS[COMP_CWORD]}\" before=\"${COMP_WORDS[COMP_CWORD-1]}\" option=\n"
                   "    COMPREPLY=()\n"
                   "    # bash cuts words at '=': --name = value\n"
                   "    if [[ $word == = ]]; then option=$before word=\n"
                   "    elif [[ $before == = ]]; then option=\"${COMP_WORDS[COMP_CWORD-2]}\"\n"
                   "    elif [[ $before == --* ]]; then option=$before\n"
                   "    fi\n"
                   "    if [[ $COMP_CWORD -eq 1 ]]; then\n"
                   "        COMPREPLY=($(compgen -W \"",
                   program, program, program);
    for (int i = 0; i < count; i++)
        tr_text_printf(out, "%s ", commands[i]->name);
    tr_text_append(out, "--help --version\" -- \"$word\"))\n        return\n    fi\n"
                        "    case \"${COMP_WORDS[1]}:$option\" in\n");
    for (int i = 0; i < count; i++)
        put_value_cases(commands[i], out);
    tr_text_append(out, "    esac\n    if [[ $word != -* ]]; then\n        COMPREPLY=($(compgen -f -- \"$word\"))\n"
                        "        return\n    fi\n    case \"${COMP_WORDS[1]}\" in\n");
    for (int i = 0; i < count; i++) {
        tr_text_printf(out, "        %s) COMPREPLY=($(compgen -W \"", commands[i]->name);
        put_option_words(commands[i], out);
        tr_text_append(out, "\" -- \"$word\")) ;;\n");
    }
    tr_text_printf(out,
                   "    esac\n"
                   "    [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace\n"
                   "    return 0\n"
                   "}\n"
                   "complete -o filenames -F _%s %s\n",
                   program, program);
}
