#include "lib/faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

int fault_tries(int quick, int full) { return getenv("TRINE_FAULT_TABLE") ? full : quick; }

static void append(const char *number, const char *fault, const char *how, int64_t tried, int64_t right, const char *sees)
{
    const char *path = getenv("TRINE_FAULT_TABLE");
    if (!path)
        return;
    FILE *file = fopen(path, "a");
    assert_non_null(file);
    fprintf(file, "| %s | %s | %s | %lld | %lld | %s |\n", number, fault, how, (long long)tried, (long long)right, sees);
    assert_int_equal(fclose(file), 0);
}

void fault_row(const char *number, const char *fault, const char *how, int64_t tried, int64_t right, const char *sees)
{
    print_message("%s %s: tried %lld times, right %lld times: %s\n", number, fault, (long long)tried, (long long)right, sees);
    append(number, fault, how, tried, right, sees);
}

void fault_not_tried(const char *number, const char *fault, const char *why)
{
    char how[256];
    print_message("skipped: %s\n", why);
    snprintf(how, sizeof how, "not tried: %s", why);
    append(number, fault, how, 0, 0, "-");
}
