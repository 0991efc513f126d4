/* One table per command: it parses the command line, prints --help, the Markdown page and the shell completion.
 *
 *     struct train_args { int64_t steps; double lr; const char *out; bool quiet; int format; };
 *     static const struct tr_option options[] = {
 *         {.name = "steps", .kind = TR_OPTION_COUNT, .offset = offsetof(struct train_args, steps), .fallback = "1k",
 *          .min = 1, .max = 1e9, .value = "N", .help = "how many optimiser steps to take"},
 *         {.name = "quiet", .letter = 'q', .kind = TR_OPTION_FLAG, .offset = offsetof(struct train_args, quiet),
 *          .help = "no progress on standard error"},
 *     };
 *     static const struct tr_command command = {.name = "train", .summary = "train a model", .options = options,
 *         .option_count = 2, .takes_overrides = true};
 *
 *     struct train_args args;                                             (tr_option_parse zeroes and fills it)
 *     struct tr_given given;
 *     tr_option_parse(&command, argc - 2, argv + 2, &args, sizeof args, &given, err);
 *     if (given.help) { tr_option_help(&command, 100, &text); ... }
 *     ...
 *     tr_given_free(&given);
 *
 * Written as `--name=value`, `--name value`, `-n value`, `-nvalue`; flags as `--name` or `--no-name`; `--` ends
 * options. An option given twice: the last one counts. Unknown: TR_BAD_INPUT, naming the nearest. With
 * takes_overrides, a name with a point (`--train.steps=500`) is kept, in order, for the config reader
 * (tr_doc_override). */
#ifndef TR_BASE_OPTION_H
#define TR_BASE_OPTION_H

#include "base/err.h"
#include "base/quantity.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tr_option_kind {      /* the type at `offset` */
    TR_OPTION_FLAG,        /* bool */
    TR_OPTION_STRING,      /* const char *, into argv or the table; NULL when not given and no fallback */
    TR_OPTION_PATH,        /* const char *, the same; completed as a file name */
    TR_OPTION_INT,         /* int64_t */
    TR_OPTION_DOUBLE,      /* double */
    TR_OPTION_BYTES,       /* int64_t, quantity.h */
    TR_OPTION_COUNT,       /* int64_t, quantity.h */
    TR_OPTION_TIME,        /* double, seconds */
    TR_OPTION_QUANTITY,    /* double in base units of `.unit` */
    TR_OPTION_ENUM         /* int, index into `.choices` */
};

enum { TR_OPTION_MAX = 96, TR_OVERRIDE_MAX = 256, TR_COMMAND_MAX = 64 };

struct tr_option {
    const char *name; /* without dashes */
    char letter;      /* 0: none */
    enum tr_option_kind kind;
    size_t offset;
    const char *fallback;       /* the default as a user would write it; NULL: zero, or required */
    bool required;              /* an error when absent (then no fallback) */
    double min, max;            /* of numbers, base units, inclusive; both 0: no limit */
    enum tr_unit unit;          /* of TR_OPTION_QUANTITY */
    const char *const *choices; /* of TR_OPTION_ENUM, NULL at the end */
    const char *value;          /* what help calls the value: "N", "FILE"; NULL: by kind */
    const char *help;           /* one sentence, lower case, no point at the end */
    const char *section;        /* heading in help; NULL: "Options" */
};

struct tr_positional {
    const char *name;
    const char *help;
    size_t offset; /* const char *; unused when many */
    bool optional;
    bool many; /* only the last one: all that is left goes to tr_given.rest (at least one unless optional) */
};

struct tr_command {
    const char *name;
    const char *summary;     /* one line */
    const char *description; /* paragraphs for --help and docs; NULL: none */
    const struct tr_option *options;
    int option_count;
    const struct tr_positional *positionals;
    int positional_count;
    bool takes_overrides;
    const char *examples; /* lines of "command   # what it does"; NULL: none */
};

struct tr_override {
    const char *key;   /* "train.steps", owned by tr_given */
    const char *value; /* "500", points into argv */
};

struct tr_given {
    bool help;                 /* --help or -h was there: nothing else is checked */
    bool option[TR_OPTION_MAX]; /* by index in the table: was it on the command line? */
    char **rest;               /* points into argv */
    int rest_count;
    struct tr_override *overrides;
    int override_count;
};

/* `argv[0]` is the first argument after the command's name. Fills *target (zeroed first), fallbacks included. On
 * failure there is nothing to free. Strings point into argv or the table. */
TR_MUST_CHECK enum tr_status tr_option_parse(const struct tr_command *command, int argc, char **argv, void *target,
                                             size_t target_bytes, struct tr_given *given, struct tr_err *err);
void tr_given_free(struct tr_given *given);

/* The command of that name; unknown: TR_BAD_INPUT, naming the nearest. */
TR_MUST_CHECK enum tr_status tr_command_find(const struct tr_command *const *commands, int count, const char *name,
                                             const struct tr_command **out, struct tr_err *err);

void tr_option_help(const struct tr_command *command, int columns, struct tr_text *out);
void tr_option_markdown(const struct tr_command *command, struct tr_text *out);
/* A bash script that completes `program COMMAND --opt...`. */
void tr_option_completion(const char *program, const struct tr_command *const *commands, int count,
                          struct tr_text *out);

#endif
