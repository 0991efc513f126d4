#include "lib/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SCRATCH_NAMES = 1024 };

static char folder[256];

int tr_scratch_setup(void **state)
{
    (void)state;
    const char *tmp = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%.200s/trine-test-XXXXXX", tmp && tmp[0] ? tmp : "/tmp");
    return mkdtemp(folder) ? 0 : -1;
}

int tr_scratch_teardown(void **state)
{
    (void)state;
    struct tr_err err;
    return tr_folder_remove(folder, &err) == TR_OK ? 0 : -1;
}

const char *tr_scratch(const char *name)
{
    static char *known[SCRATCH_NAMES];
    static int count;
    char path[TR_PATH_BYTES];
    snprintf(path, sizeof path, "%.255s/%s", folder, name);
    for (int i = 0; i < count; i++)
        if (strcmp(known[i], path) == 0)
            return known[i];
    assert_true(count < SCRATCH_NAMES);
    assert_non_null(known[count] = strdup(path));
    return known[count++];
}

void tr_scratch_put(const char *name, const void *bytes, size_t count)
{
    char parent[TR_PATH_BYTES];
    struct tr_err err;
    snprintf(parent, sizeof parent, "%s", tr_scratch(name));
    *strrchr(parent, '/') = 0;
    assert_int_equal(tr_folder_make(parent, &err), TR_OK);
    assert_int_equal(tr_file_write(tr_scratch(name), bytes, count, &err), TR_OK);
}

void tr_scratch_put_text(const char *name, const char *text) { tr_scratch_put(name, text, strlen(text)); }

struct tr_bytes tr_scratch_read(const char *path)
{
    struct tr_bytes bytes = {0};
    struct tr_err err = {{0}};
    if (tr_file_read(path, (int64_t)1 << 30, &bytes, &err) != TR_OK)
        fail_msg("%s", err.text);
    return bytes;
}

void tr_assert_says(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("\"%s\" does not say \"%s\"", text, part);
}
