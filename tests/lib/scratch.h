/* A scratch folder for the tests of one program: made by the group's set-up, removed by its tear-down.
 *
 *     cmocka_run_group_tests_name("lab/x", tests, tr_scratch_setup, tr_scratch_teardown)
 */
#ifndef TR_TESTS_LIB_SCRATCH_H
#define TR_TESTS_LIB_SCRATCH_H

#include "base/os.h"

#include <stddef.h>

int tr_scratch_setup(void **state);
int tr_scratch_teardown(void **state);

/* SCRATCH/name; valid as long as the program runs. */
const char *tr_scratch(const char *name);

/* Writes a file below the scratch folder, its folders too. */
void tr_scratch_put(const char *name, const void *bytes, size_t count);
void tr_scratch_put_text(const char *name, const char *text);

/* The whole file; fails the test when it cannot be read. Free with tr_bytes_free. */
struct tr_bytes tr_scratch_read(const char *path);

/* Fails the test unless `text` contains `part`. */
void tr_assert_says(const char *text, const char *part);

#endif
