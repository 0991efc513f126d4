#include "lib/catalog.h"

#include <stdio.h>

struct tr_catalog *catalog;

int tr_catalog_setup(void **state)
{
    struct tr_err err = {""};
    (void)state;
    if (tr_catalog_open(&catalog, &err) == TR_OK)
        return 0;
    fprintf(stderr, "%s\n", err.text);
    return 1;
}

int tr_catalog_teardown(void **state)
{
    (void)state;
    tr_catalog_free(catalog);
    catalog = NULL;
    return 0;
}
