/* Text that grows.
 *
 *     struct tr_text out = {0};
 *     tr_text_printf(&out, "%d steps", 5);
 *     if (tr_text_failed(&out, err)) ...       (once, at the end)
 *     fputs(tr_text_str(&out), stdout);
 *     tr_text_free(&out);
 *
 * A zeroed struct is an empty text. There is always a 0 behind the last byte of tr_text_str(). Appending cannot be
 * checked call by call without drowning the reader, so a failure (out of memory, more than TR_TEXT_MAX_BYTES) sticks:
 * later appends do nothing and tr_text_failed() tells at the end. The text before the failure stays whole. */
#ifndef TR_BASE_TEXT_H
#define TR_BASE_TEXT_H

#include "base/err.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#define TR_TEXT_MAX_BYTES ((size_t)1 << 30)

struct tr_text {
    char *at;   /* owned; NULL while nothing was appended: read through tr_text_str */
    size_t len; /* bytes without the closing 0 */
    size_t cap;
    bool failed;
};

/* Never NULL. Valid until the next append. */
const char *tr_text_str(const struct tr_text *text);

/* True, with the reason in *err, when any append was lost; the caller returns TR_FAILED. */
TR_MUST_CHECK bool tr_text_failed(const struct tr_text *text, struct tr_err *err);

void tr_text_append(struct tr_text *text, const char *string);
void tr_text_append_bytes(struct tr_text *text, const void *data, size_t bytes);
void tr_text_char(struct tr_text *text, char c);
void tr_text_fill(struct tr_text *text, char c, size_t count);
void tr_text_printf(struct tr_text *text, const char *fmt, ...) TR_PRINTF(2, 3);
void tr_text_vprintf(struct tr_text *text, const char *fmt, va_list args) TR_PRINTF(2, 0);

/* The inside of a JSON string, without its quotes. Control characters, quote and backslash are escaped; bytes that are
 * not UTF-8 become U+FFFD, so that the result is always valid JSON. */
void tr_text_append_json(struct tr_text *text, const char *data, size_t bytes);

/* Safe between tags and inside quoted attributes; bytes that are not UTF-8 become U+FFFD. */
void tr_text_append_html(struct tr_text *text, const char *string);
/* The same of what people read: +- becomes ±, and no line ends between a number (or ±) and the word behind it, "6.4 s ± 16 %",
 * nor inside of a time, "2 h 05 min". */
void tr_text_append_words(struct tr_text *text, const char *string);

/* Paragraphs of words wrapped to `columns`, every line after the first indented by `indent`; ends without a newline.
 * `column` is where the first line already stands. Newlines in `string` are kept. */
void tr_text_append_wrapped(struct tr_text *text, const char *string, int column, int indent, int columns);

/* Empties, keeps the memory, forgets a failure. */
void tr_text_clear(struct tr_text *text);
void tr_text_free(struct tr_text *text);

/* Length in bytes (1 to 4) of the valid UTF-8 character that starts at `data`, 0 when there is none. */
int tr_utf8_length(const char *data, size_t bytes);

/* How many of the first bytes are whole, valid UTF-8 characters: `bytes` when all of it is UTF-8. */
size_t tr_utf8_prefix(const char *data, size_t bytes);

/* How many columns a UTF-8 string takes on a terminal, one a character (no wide characters in our reports). */
int tr_text_columns(const char *string);

/* The index of the name that `word` probably meant, -1 when none is near: for "unknown key X; did you mean Y?".
 * Near: an edit distance (insert, delete, replace, swap of neighbours; case, '-' and '_' count nothing) of at most a
 * third of the word's length, at least 1; or the word is a beginning of exactly one name. */
int tr_nearest(const char *word, const char *const *names, int count);

#endif
