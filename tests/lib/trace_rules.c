#include "lib/trace_rules.h"

#include "base/doc.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS_MAX = 16, DEPTH_MAX = 8 };
#define ROUNDING_US 1e-4 /* times are written to a thousandth */

struct event {
    int process, row;
    double begin_us, end_us;
};

struct end {
    double id, at_us;
    bool arrives;
};

static double number(const struct tr_node *node, const char *key, double least)
{
    struct tr_err err;
    double value;
    if (tr_doc_double(node, key, TR_REQUIRED, least, INFINITY, &value, &err) != TR_OK)
        fail_msg("%s", err.text);
    return value;
}

static const char *string(const struct tr_node *node, const char *key)
{
    struct tr_err err;
    const char *value;
    if (tr_doc_string(node, key, TR_REQUIRED, &value, &err) != TR_OK)
        fail_msg("%s", err.text);
    return value;
}

/* Row by row in the order of time, what encloses before what is enclosed. */
static int by_row_and_time(const void *a, const void *b)
{
    const struct event *x = a, *y = b;
    if (x->process != y->process)
        return x->process < y->process ? -1 : 1;
    if (x->row != y->row)
        return x->row < y->row ? -1 : 1;
    if (x->begin_us != y->begin_us)
        return x->begin_us < y->begin_us ? -1 : 1;
    return (x->end_us < y->end_us) - (x->end_us > y->end_us);
}

static void check_rows(const struct event *event, int64_t count)
{
    double open_until[DEPTH_MAX];
    int open = 0;
    for (int64_t i = 0; i < count; i++) {
        const struct event *e = &event[i];
        if (i == 0 || e->process != e[-1].process || e->row != e[-1].row)
            open = 0;
        while (open > 0 && open_until[open - 1] <= e->begin_us + ROUNDING_US)
            open--;
        if (open > 0 && e->end_us > open_until[open - 1] + ROUNDING_US)
            fail_msg("process %d, row %d: an event from %.3f to %.3f ends after the one that it lies in, %.3f", e->process, e->row, e->begin_us,
                     e->end_us, open_until[open - 1]);
        assert_true(open < DEPTH_MAX);
        open_until[open++] = e->end_us;
    }
}

static void check_names(const struct event *event, int64_t count, const int *named, int processes)
{
    for (int process = 0; process < processes; process++)
        assert_int_equal(named[process * ROWS_MAX], 1); /* row 0 stands for the process */
    for (int64_t i = 0; i < count; i++)
        if (named[event[i].process * ROWS_MAX + event[i].row] != 1)
            fail_msg("row %d of process %d has %d names", event[i].row, event[i].process, named[event[i].process * ROWS_MAX + event[i].row]);
}

static int by_id(const void *a, const void *b)
{
    const struct end *x = a, *y = b;
    return x->id != y->id ? (x->id < y->id ? -1 : 1) : (int)x->arrives - (int)y->arrives;
}

static void check_arrows(const struct end *end, int64_t count)
{
    assert_true(count % 2 == 0);
    for (int64_t i = 0; i < count; i += 2)
        if (end[i].id != end[i + 1].id || end[i].arrives || !end[i + 1].arrives || end[i].at_us > end[i + 1].at_us)
            fail_msg("message %.0f does not go from one event to a later one", end[i].id);
}

void tr_assert_trace(const char *path, int processes)
{
    struct tr_err err;
    struct tr_doc *doc;
    const struct tr_node *events = NULL;
    if (tr_doc_read(path, TR_DOC_JSON, &doc, &err) != TR_OK || tr_doc_array(tr_doc_root(doc), "traceEvents", TR_REQUIRED, 1, INT32_MAX, &events, &err) != TR_OK)
        fail_msg("%s", err.text);
    struct event *event = calloc((size_t)events->count, sizeof *event);
    int *named = calloc((size_t)processes * ROWS_MAX, sizeof *named);
    struct end *end = calloc((size_t)events->count, sizeof *end);
    int64_t count = 0, ends = 0;
    assert_true(event && named && end);
    for (int64_t i = 0; i < events->count; i++) {
        const struct tr_node *node = &events->children[i];
        const char *name = string(node, "name"), *ph = string(node, "ph");
        struct event e = {(int)number(node, "pid", 0), (int)number(node, "tid", 0), 0, 0};
        assert_in_range(e.process, 0, processes - 1);
        assert_in_range(e.row, 0, ROWS_MAX - 1);
        if (strcmp(ph, "M") == 0) {
            named[e.process * ROWS_MAX + e.row] += strcmp(name, e.row == 0 ? "process_name" : "thread_name") == 0;
            continue;
        }
        if (ph[0] == 's' || ph[0] == 'f') {
            end[ends++] = (struct end){number(node, "id", 0), number(node, "ts", 0), ph[0] == 'f'};
            continue;
        }
        assert_string_equal(ph, "X");
        assert_true(name[0] != 0 && string(node, "cat")[0] != 0 && e.row > 0);
        e.begin_us = number(node, "ts", 0);
        e.end_us = e.begin_us + number(node, "dur", 0);
        event[count++] = e;
    }
    check_names(event, count, named, processes);
    qsort(event, (size_t)count, sizeof *event, by_row_and_time);
    check_rows(event, count);
    qsort(end, (size_t)ends, sizeof *end, by_id);
    check_arrows(end, ends);
    free(end);
    free(event);
    free(named);
    tr_doc_free(doc);
}
