/* The commands of the program. Each cmd_NAME.c defines one struct tr_app_command; main.c lists them.
 *
 * A command gets the arguments after its name. It prints its answer on standard output, everything else on standard
 * error, and returns its exit status; when that is not TR_OK and err->text is not empty, main prints the sentence. */
#ifndef TR_APP_APP_H
#define TR_APP_APP_H

#include "base/err.h"
#include "base/option.h"

struct tr_app_command {
    const struct tr_command *command;
    enum tr_status (*run)(int argc, char **argv, struct tr_err *err);
};

extern const struct tr_app_command tr_cmd_train, tr_cmd_hash;

/* Parses by the command's table. When --help was asked for it is printed, *done is true and the command returns TR_OK
 * at once. */
TR_MUST_CHECK enum tr_status tr_app_parse(const struct tr_command *command, int argc, char **argv, void *target,
                                          size_t target_bytes, struct tr_given *given, bool *done,
                                          struct tr_err *err);

#endif
