#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A cut sentence says that it was cut. `wanted` is what vsnprintf returned. */
static void mark_cut(char *text, size_t bytes, int wanted)
{
    if (wanted >= 0 && (size_t)wanted < bytes)
        return;
    memcpy(text + bytes - 4, "...", 4);
}

enum tr_status tr_fail(struct tr_err *err, enum tr_status status, const char *fmt, ...)
{
    /* Through a second buffer: an argument may be the old sentence itself. */
    char text[TR_ERR_BYTES];
    va_list args;
    va_start(args, fmt);
    int wanted = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    mark_cut(text, sizeof text, wanted);
    /* Values from strangers are quoted in sentences: no newline, no escape sequence reaches the terminal. */
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = ' ';
    memcpy(err->text, text, sizeof text);
    return status;
}

void tr_err_prefix(struct tr_err *err, const char *fmt, ...)
{
    char prefix[TR_ERR_BYTES];
    va_list args;
    va_start(args, fmt);
    int wanted = vsnprintf(prefix, sizeof prefix, fmt, args);
    va_end(args);
    mark_cut(prefix, sizeof prefix, wanted);
    tr_fail(err, TR_FAILED, "%s: %s", prefix, err->text);
}

void tr_assert_failed(const char *file, int line, const char *condition)
{
    fprintf(stderr, "trine: %s:%d: this must always hold: %s\ntrine: a bug in trine, please report it\n", file, line,
            condition);
    fflush(stderr);
    abort();
}
