/* How far a long job is, on standard error.
 *
 *     struct tr_progress bar;
 *     tr_progress_start(&bar, stderr, "train", "step", total);
 *     tr_progress_update(&bar, done, "loss %.4f  %s tok/s", loss, rate);
 *     tr_progress_note(&bar, "step 500: validation loss 1.93");           (a line that stays)
 *     tr_progress_end(&bar);
 *
 * On a terminal: one line, redrawn at most ten times a second:
 *     train  312/500 step  62% [============>       ]  4.10 step/s  ETA 00:46  loss 1.8123
 * Where that is too wide the rate goes first, then cells of the bar, then the line's end:
 *     train  312/500  62% [=====>   ]  ETA 00:46  loss 1.8123  28.84 k tok/s
 * Elsewhere (a log file, CI): the same facts as plain lines without a bar, after 1, 2, 5, 10, 20, 60 seconds, then once
 * a minute, and at the end. Quiet: pass NULL for the file and nothing is printed. No call allocates memory. The rate
 * is over the last 15 seconds or so. `total` 0: unknown, no share and no ETA. */
#ifndef TR_BASE_PROGRESS_H
#define TR_BASE_PROGRESS_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { TR_PROGRESS_LINE_BYTES = 512, TR_PROGRESS_EXTRA_BYTES = 200 };

struct tr_progress {
    FILE *out; /* NULL: silent */
    const char *what, *unit;
    int64_t total, done, first_done;
    bool terminal, drawn, changed; /* changed: since the last line drawn */
    int columns;
    double start_s, last_draw_s, next_line_s;
    double rate;             /* per second; 0 while unknown */
    double mark_s;           /* the rate's window */
    int64_t mark_done;
    double eta_s;            /* until it is done, where the caller knows better than by the rate; 0: it does not */
    char extra[TR_PROGRESS_EXTRA_BYTES];
};

/* `what` and `unit` are not copied. */
void tr_progress_start(struct tr_progress *bar, FILE *out, const char *what, const char *unit, int64_t total);
/* For a resumed job: what was done before counts in the share, not in the rate. Call after start. */
void tr_progress_resume(struct tr_progress *bar, int64_t done);
void tr_progress_update(struct tr_progress *bar, int64_t done, const char *fmt, ...) TR_PRINTF(3, 4);
void tr_progress_note(struct tr_progress *bar, const char *fmt, ...) TR_PRINTF(2, 3);
void tr_progress_end(struct tr_progress *bar);

/* What the above do at a given moment, for tests: true when it is time to draw; the line as it would be drawn. */
bool tr_progress_advance(struct tr_progress *bar, int64_t done, double now_s);
void tr_progress_line(const struct tr_progress *bar, double now_s, char line[TR_PROGRESS_LINE_BYTES]);

#endif
