/* The parts of which pages are made: reports that are one HTML file, without a script and without anything from elsewhere.
 *
 *     tr_page_begin(out, "trine: depth-4", NULL);
 *     tr_page_tiles(out);
 *     tr_page_tile(out, "steps", "850 of 850");
 *     tr_page_end_tiles(out);
 *     tr_page_heading(out, "Curves", NULL);
 *     tr_chart_lines(out, ...);
 *     tr_page_end(out);
 *
 * Every text is escaped on its way in, but for `css`, which is the program's own; numbers and their units stay on one line
 * (tr_text_append_words). What is wider than its place (a table on a phone) scrolls inside of it. */
#ifndef TR_BASE_PAGE_H
#define TR_BASE_PAGE_H

#include "base/text.h"

#include <stdbool.h>

/* Up to the opening of <main>. `css`: rules beside those of charts (chart.h); NULL: none. */
void tr_page_begin(struct tr_text *out, const char *title, const char *css);
void tr_page_end(struct tr_text *out);

/* <h2>, and a line below it in a softer colour (NULL: none). */
void tr_page_heading(struct tr_text *out, const char *title, const char *sub);

/* <TAG class="CLASS">text</TAG>; class NULL: none. */
void tr_page_text(struct tr_text *out, const char *tag, const char *class, const char *text);
/* The same of words like printf's. */
void tr_page_put(struct tr_text *out, const char *tag, const char *class, const char *fmt, ...) TR_PRINTF(4, 5);
/* The same of somebody else's text, letter by letter: a file, a sample. */
void tr_page_verbatim(struct tr_text *out, const char *tag, const char *text);

/* A row of figures with what they are: as many as fit beside one another. */
void tr_page_tiles(struct tr_text *out);
void tr_page_tile(struct tr_text *out, const char *label, const char *value);
void tr_page_end_tiles(struct tr_text *out);

/* A table, a figure of its own: its heads, numbers from the column `first_number` on; then <tr>, cells, </tr> for each row.
 * `caption` may be NULL. */
void tr_page_table(struct tr_text *out, const char *caption, const char *const *names, int count, int first_number);
void tr_page_cell(struct tr_text *out, bool number, const char *text);
/* Of several words: never so narrow that each has a line of its own. */
void tr_page_long_cell(struct tr_text *out, const char *text);
void tr_page_end_table(struct tr_text *out);

#endif
