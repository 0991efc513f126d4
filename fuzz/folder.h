/* For targets whose reader wants a folder: one in memory where there is such a place, removed at exit. Include it in one
 * file of a program. */
#ifndef TR_FUZZ_FOLDER_H
#define TR_FUZZ_FOLDER_H

#include "base/os.h"

#include <stdio.h>
#include <stdlib.h>

static char folder[64]; /* "" until folder_make */

static void folder_remove(void)
{
    struct tr_err err;
    if (tr_folder_remove(folder, &err) != TR_OK)
        fprintf(stderr, "%s\n", err.text);
}

static void folder_make(void)
{
    snprintf(folder, sizeof folder, "%s/trine-fuzz-XXXXXX", tr_folder_exists("/dev/shm") ? "/dev/shm" : "/tmp");
    TR_ASSERT(mkdtemp(folder) != NULL);
    atexit(folder_remove);
}

static void folder_put(const char *name, const void *data, size_t bytes)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    TR_ASSERT(file && fwrite(data, 1, bytes, file) == bytes && fclose(file) == 0);
}

#endif
