/* The catalog that the program brings, for the tests of one program: opened by the group's set-up, freed by its tear-down.
 *
 *     cmocka_run_group_tests_name("plan/x", tests, tr_catalog_setup, tr_catalog_teardown)
 */
#ifndef TR_TESTS_LIB_CATALOG_H
#define TR_TESTS_LIB_CATALOG_H

#include "silicon/catalog/catalog.h"

extern struct tr_catalog *catalog; /* NULL outside the group */

int tr_catalog_setup(void **state);
int tr_catalog_teardown(void **state);

#endif
