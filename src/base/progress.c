#include "base/progress.h"

#include "base/os.h"
#include "base/quantity.h"
#include "base/text.h"

#include <stdarg.h>
#include <string.h>

static const double REDRAW_S = 0.1;
static const double WINDOW_S = 15; /* the rate follows changes within about this time */
enum { BAR_COLUMNS = 20, BAR_COLUMNS_LEAST = 4 };

void tr_progress_start(struct tr_progress *bar, FILE *out, const char *what, const char *unit, int64_t total)
{
    *bar = (struct tr_progress){.out = out, .what = what, .unit = unit, .total = total, .columns = 80};
    bar->start_s = bar->mark_s = tr_clock_s();
    bar->last_draw_s = -1e9;
    bar->next_line_s = 1;
    if (out && fileno(out) >= 0 && tr_is_terminal(fileno(out))) {
        bar->terminal = true;
        bar->columns = tr_terminal_columns(fileno(out));
    }
}

void tr_progress_resume(struct tr_progress *bar, int64_t done)
{
    bar->done = bar->first_done = bar->mark_done = done;
}

/* Over the whole time at first, then a mean that forgets: short pauses (a checkpoint) do not throw the ETA about. */
static void update_rate(struct tr_progress *bar, double now_s)
{
    double passed = now_s - bar->mark_s;
    if (passed <= 0)
        return;
    if (now_s - bar->start_s < WINDOW_S) {
        bar->rate = (double)(bar->done - bar->first_done) / (now_s - bar->start_s);
        if (passed < 1)
            return;
    } else {
        if (passed < 1)
            return;
        double recent = (double)(bar->done - bar->mark_done) / passed;
        double weight = passed < WINDOW_S ? passed / WINDOW_S : 1;
        bar->rate = bar->rate + weight * (recent - bar->rate);
    }
    bar->mark_s = now_s;
    bar->mark_done = bar->done;
}

/* The next moment after `passed_s` for a plain line: 1, 2, 5, 10, 20, 60, 120, 180 ... seconds. */
static double next_line(double passed_s)
{
    static const double first[] = {1, 2, 5, 10, 20, 60};
    for (int i = 0; i < 6; i++)
        if (passed_s < first[i])
            return first[i];
    return 60 * (double)((int64_t)(passed_s / 60) + 1);
}

bool tr_progress_advance(struct tr_progress *bar, int64_t done, double now_s)
{
    bar->done = done;
    update_rate(bar, now_s);
    if (bar->terminal) {
        if (now_s - bar->last_draw_s < REDRAW_S)
            return false;
    } else {
        if (now_s - bar->start_s < bar->next_line_s)
            return false;
        bar->next_line_s = next_line(now_s - bar->start_s);
    }
    bar->last_draw_s = now_s;
    return true;
}

/* Appends to a line of fixed size; a line too long is cut, never wrong. */
TR_PRINTF(3, 4) static size_t put(char line[TR_PROGRESS_LINE_BYTES], size_t used, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int wanted = vsnprintf(line + used, TR_PROGRESS_LINE_BYTES - used, fmt, args);
    va_end(args);
    size_t room = TR_PROGRESS_LINE_BYTES - used - 1;
    return used + (wanted < 0 ? 0 : (size_t)wanted < room ? (size_t)wanted : room);
}

static size_t put_bar(char line[TR_PROGRESS_LINE_BYTES], size_t used, double share, int cells)
{
    used = put(line, used, "%s", " [");
    int filled = (int)(share * cells);
    for (int i = 0; i < cells; i++)
        used = put(line, used, "%c", i < filled ? '=' : i == filled ? '>' : ' ');
    return put(line, used, "]");
}

static size_t put_rate(char line[TR_PROGRESS_LINE_BYTES], size_t used, double rate, const char *unit)
{
    char text[TR_QUANTITY_BYTES];
    if (rate >= 1000)
        return put(line, used, "  %s %s/s", tr_print_count(text, (int64_t)rate), unit);
    return put(line, used, "  %.*f %s/s", rate < 10 ? 2 : rate < 100 ? 1 : 0, rate, unit);
}

static int columns_of(const char *line)
{
    int columns = 0;
    for (; *line; line++)
        columns += (*line & 0xc0) != 0x80; /* a character starts */
    return columns;
}

/* Cut to so many columns, never inside a character. */
static void cut(char *line, int columns)
{
    int column = 0;
    for (char *c = line; *c; c++) {
        bool starts = (*c & 0xc0) != 0x80;
        if (starts && column == columns) {
            *c = 0;
            return;
        }
        column += starts;
    }
}

/* `brief`: without the job's own rate and its unit. `cells` 0: no bar. */
static void compose(const struct tr_progress *bar, double now_s, bool brief, int cells,
                    char line[TR_PROGRESS_LINE_BYTES])
{
    char text[TR_QUANTITY_BYTES];
    bool rate_known = bar->rate > 0;
    size_t used = put(line, 0, "%s  %lld", bar->what, (long long)bar->done);
    if (bar->total > 0) {
        double share = (double)bar->done / (double)bar->total;
        share = share < 0 ? 0 : share > 1 ? 1 : share;
        used = put(line, used, "/%lld", (long long)bar->total);
        used = put(line, used, " %s%s%3d%%", brief ? "" : bar->unit, brief ? "" : " ", (int)(share * 100));
        if (cells > 0)
            used = put_bar(line, used, share, cells);
    } else {
        used = put(line, used, " %s", bar->unit);
    }
    if (rate_known && !brief)
        used = put_rate(line, used, bar->rate, bar->unit);
    if (bar->total > 0 && bar->done < bar->total && rate_known)
        used = put(line, used, "  ETA %s", tr_print_clock(text, bar->eta_s > 0 ? bar->eta_s : (double)(bar->total - bar->done) / bar->rate));
    else
        used = put(line, used, "  %s", tr_print_clock(text, now_s - bar->start_s));
    if (bar->extra[0])
        put(line, used, "  %s", bar->extra);
}

/* What the caller says of the job (loss, tok/s) matters more than how long the bar is and how fast it moves. */
void tr_progress_line(const struct tr_progress *bar, double now_s, char line[TR_PROGRESS_LINE_BYTES])
{
    int columns = bar->columns - 1; /* the last column would wrap on some terminals */
    compose(bar, now_s, false, bar->terminal ? BAR_COLUMNS : 0, line);
    if (!bar->terminal || columns_of(line) <= columns)
        return;
    compose(bar, now_s, true, 0, line);
    int cells = columns - columns_of(line) - (int)strlen(" []");
    if (bar->total > 0 && cells >= BAR_COLUMNS_LEAST)
        compose(bar, now_s, true, cells < BAR_COLUMNS ? cells : BAR_COLUMNS, line);
    cut(line, columns);
}

/* \r to the line's start, the line, erase what is left of the old one. */
static void draw(struct tr_progress *bar, double now_s)
{
    char line[TR_PROGRESS_LINE_BYTES];
    if (bar->terminal)
        bar->columns = tr_terminal_columns(fileno(bar->out)); /* the window may have changed */
    tr_progress_line(bar, now_s, line);
    if (bar->terminal)
        fprintf(bar->out, "\r%s\x1b[K", line);
    else
        fprintf(bar->out, "%s\n", line);
    fflush(bar->out);
    bar->drawn = true;
    bar->changed = false;
}

void tr_progress_update(struct tr_progress *bar, int64_t done, const char *fmt, ...)
{
    if (!bar->out)
        return;
    double now_s = tr_clock_s();
    bool due = tr_progress_advance(bar, done, now_s);
    va_list args;
    va_start(args, fmt);
    vsnprintf(bar->extra, sizeof bar->extra, fmt, args);
    va_end(args);
    bar->changed = true;
    if (due)
        draw(bar, now_s);
}

void tr_progress_note(struct tr_progress *bar, const char *fmt, ...)
{
    if (!bar->out)
        return;
    if (bar->terminal && bar->drawn)
        fputs("\r\x1b[K", bar->out);
    va_list args;
    va_start(args, fmt);
    vfprintf(bar->out, fmt, args);
    va_end(args);
    fputc('\n', bar->out);
    if (bar->terminal && bar->drawn)
        draw(bar, tr_clock_s());
    fflush(bar->out);
}

void tr_progress_end(struct tr_progress *bar)
{
    if (!bar->out)
        return;
    if (bar->changed || !bar->drawn)
        draw(bar, tr_clock_s());
    if (bar->terminal)
        fputc('\n', bar->out);
    fflush(bar->out);
    bar->out = NULL;
}
