/* The commands of the program. Each cmd_NAME.c defines one struct tr_app_command; main.c lists them.
 *
 * A command gets its arguments as its table of options says (main.c parses them, and answers --help). It prints its
 * answer on standard output, everything else on standard error, and returns its exit status; when that is not TR_OK and
 * err->text is not empty, main prints the sentence.
 *
 *     static enum tr_status run(void *parsed, const struct tr_given *given, struct tr_err *err)
 *     {
 *         struct name_args *args = parsed;
 *         ...
 *     }
 *     const struct tr_app_command tr_cmd_name = {&command, sizeof(struct name_args), run};
 */
#ifndef TR_APP_APP_H
#define TR_APP_APP_H

#include "base/err.h"
#include "base/option.h"
#include "base/text.h"

#include <stdatomic.h>
#include <stdbool.h>

struct tr_app_command {
    const struct tr_command *command;
    size_t args_bytes; /* of the struct that the table's offsets mean */
    enum tr_status (*run)(void *parsed, const struct tr_given *given, struct tr_err *err);
};

extern const struct tr_app_command tr_cmd_train, tr_cmd_eval, tr_cmd_generate, tr_cmd_export, tr_cmd_tokenize,
    tr_cmd_hash, tr_cmd_report, tr_cmd_show, tr_cmd_plan, tr_cmd_explain, tr_cmd_validate, tr_cmd_calibrate, tr_cmd_launch, tr_cmd_submit,
    tr_cmd_status, tr_cmd_completion, tr_cmd_docs;

/* Prints the text on standard output, flushed, and frees it. TR_FAILED when it could not be made or written. */
TR_MUST_CHECK enum tr_status tr_app_print(struct tr_text *text, struct tr_err *err);

/* Whose times are in profiles and runs: "0.1.0, kernels 1a2b3c4d". */
const char *tr_app_program(void);

/* From here on SIGINT, SIGTERM and SIGUSR1 are noted in tr_app_signal (0: none yet) and nothing else: for commands that end
 * their work in order when they see it. Atomic: the kernel hands a signal to any thread, those of OpenMP too. */
extern atomic_int tr_app_signal;
TR_MUST_CHECK enum tr_status tr_app_catch_signals(struct tr_err *err);

/* The values of --dtype: "auto", then number types; enum tr_dtype + 1 is their index. */
extern const char *const tr_app_dtypes[];

/* All commands, and the page that lists them: for docs and completion. */
int tr_app_commands(const struct tr_app_command *const **out);
void tr_app_usage(struct tr_text *out);

#endif
