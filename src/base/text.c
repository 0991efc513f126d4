#include "base/text.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *tr_text_str(const struct tr_text *text)
{
    return text->at ? text->at : "";
}

bool tr_text_failed(const struct tr_text *text, struct tr_err *err)
{
    if (text->failed)
        tr_fail(err, TR_FAILED, "out of memory: a text could not grow beyond %zu bytes (the limit is %zu)", text->len,
                TR_TEXT_MAX_BYTES);
    return text->failed;
}

/* Room for `more` bytes and the closing 0. */
static bool grow(struct tr_text *text, size_t more)
{
    if (text->failed)
        return false;
    if (more < text->cap - text->len)
        return true;
    text->failed = true;
    if (more >= TR_TEXT_MAX_BYTES - text->len)
        return false;
    size_t cap = text->cap ? text->cap : 64;
    while (cap <= text->len + more)
        cap *= 2;
    char *at = realloc(text->at, cap);
    if (!at)
        return false;
    text->at = at;
    text->cap = cap;
    text->failed = false;
    return true;
}

void tr_text_append_bytes(struct tr_text *text, const void *data, size_t bytes)
{
    if (bytes == 0 || !grow(text, bytes))
        return;
    memcpy(text->at + text->len, data, bytes);
    text->len += bytes;
    text->at[text->len] = 0;
}

void tr_text_append(struct tr_text *text, const char *string)
{
    tr_text_append_bytes(text, string, strlen(string));
}

void tr_text_char(struct tr_text *text, char c)
{
    tr_text_append_bytes(text, &c, 1);
}

void tr_text_fill(struct tr_text *text, char c, size_t count)
{
    if (count == 0 || !grow(text, count))
        return;
    memset(text->at + text->len, c, count);
    text->len += count;
    text->at[text->len] = 0;
}

void tr_text_vprintf(struct tr_text *text, const char *fmt, va_list args)
{
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, args);
    TR_ASSERT(len >= 0);
    if (len > 0 && grow(text, (size_t)len)) {
        vsnprintf(text->at + text->len, (size_t)len + 1, fmt, again);
        text->len += (size_t)len;
    }
    va_end(again);
}

void tr_text_printf(struct tr_text *text, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    tr_text_vprintf(text, fmt, args);
    va_end(args);
}

void tr_text_clear(struct tr_text *text)
{
    text->len = 0;
    text->failed = false;
    if (text->at)
        text->at[0] = 0;
}

void tr_text_free(struct tr_text *text)
{
    free(text->at);
    *text = (struct tr_text){0};
}

/* --- UTF-8 --- */

int tr_utf8_length(const char *data, size_t bytes)
{
    const unsigned char *c = (const unsigned char *)data;
    if (bytes == 0)
        return 0;
    if (c[0] < 0x80)
        return 1;
    /* The second byte's range refuses overlong forms, surrogates and what lies beyond U+10FFFF. */
    int length;
    unsigned low = 0x80, high = 0xbf;
    if (c[0] >= 0xc2 && c[0] <= 0xdf) {
        length = 2;
    } else if (c[0] >= 0xe0 && c[0] <= 0xef) {
        length = 3;
        low = c[0] == 0xe0 ? 0xa0 : 0x80;
        high = c[0] == 0xed ? 0x9f : 0xbf;
    } else if (c[0] >= 0xf0 && c[0] <= 0xf4) {
        length = 4;
        low = c[0] == 0xf0 ? 0x90 : 0x80;
        high = c[0] == 0xf4 ? 0x8f : 0xbf;
    } else {
        return 0;
    }
    if (bytes < (size_t)length || c[1] < low || c[1] > high)
        return 0;
    for (int i = 2; i < length; i++)
        if ((c[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

size_t tr_utf8_prefix(const char *data, size_t bytes)
{
    const uint64_t high = UINT64_C(0x8080808080808080);
    size_t at = 0;
    for (int length = 1; at < bytes && length > 0; at += (size_t)length) {
        uint64_t eight;
        while (bytes - at >= sizeof eight && (memcpy(&eight, data + at, sizeof eight), (eight & high) == 0))
            at += sizeof eight;
        length = tr_utf8_length(data + at, bytes - at);
    }
    return at;
}

int tr_text_columns(const char *string)
{
    int columns = 0;
    for (const char *c = string; *c; c++)
        columns += (*c & 0xc0) != 0x80;
    return columns;
}

/* Escapes: the caller gives what one character becomes, NULL for itself. Bytes that are not UTF-8 become U+FFFD. */
static void append_escaped(struct tr_text *text, const char *data, size_t bytes,
                           const char *(*escape)(unsigned char c, char buf[8]))
{
    char buf[8];
    size_t plain = 0; /* start of what needs no change */
    for (size_t i = 0; i < bytes;) {
        int length = tr_utf8_length(data + i, bytes - i);
        const char *instead = length == 0 ? "\xef\xbf\xbd" : length == 1 ? escape((unsigned char)data[i], buf) : NULL;
        size_t step = length ? (size_t)length : 1;
        if (instead) {
            tr_text_append_bytes(text, data + plain, i - plain);
            tr_text_append(text, instead);
            plain = i + step;
        }
        i += step;
    }
    tr_text_append_bytes(text, data + plain, bytes - plain);
}

static const char *escape_json(unsigned char c, char buf[8])
{
    switch (c) {
    case '"': return "\\\"";
    case '\\': return "\\\\";
    case '\n': return "\\n";
    case '\r': return "\\r";
    case '\t': return "\\t";
    }
    if (c >= 0x20 && c != 0x7f)
        return NULL;
    snprintf(buf, 8, "\\u%04x", c);
    return buf;
}

static const char *escape_html(unsigned char c, char buf[8])
{
    (void)buf;
    switch (c) {
    case '&': return "&amp;";
    case '<': return "&lt;";
    case '>': return "&gt;";
    case '"': return "&quot;";
    case '\'': return "&#39;";
    }
    return NULL;
}

void tr_text_append_json(struct tr_text *text, const char *data, size_t bytes)
{
    append_escaped(text, data, bytes, escape_json);
}

void tr_text_append_html(struct tr_text *text, const char *string)
{
    append_escaped(text, string, strlen(string), escape_html);
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* Whether a number of its own, or a ±, ends at the blank `at`: the 8 of "tp8" is none, so that layouts may be broken. */
static bool ends_number(const char *from, const char *at)
{
    const char *first = at;
    if (at - from >= 2 && (memcmp(at - 2, "±", 2) == 0 || memcmp(at - 2, "+-", 2) == 0))
        return true;
    while (first > from && (is_digit(first[-1]) || first[-1] == '.' || first[-1] == ','))
        first--;
    return first < at && is_digit(at[-1]) &&
           (first == from || strchr(" \n(+-$/", first[-1]) || (unsigned char)first[-1] >= 0x80);
}

/* Whether "05 min" follows "2 h" at the blank `at`, or "31 s" follows "39 min". */
static bool parts_time(const char *from, const char *at)
{
    return is_digit(at[1]) && ((at - from >= 3 && memcmp(at - 2, " h", 2) == 0 && is_digit(at[-3])) ||
                               (at - from >= 5 && memcmp(at - 4, " min", 4) == 0 && is_digit(at[-5])));
}

void tr_text_append_words(struct tr_text *text, const char *string)
{
    const char *plain = string; /* start of what needs no change */
    for (const char *at = string; *at; at++) {
        const bool sign = at[0] == '+' && at[1] == '-';
        if (!sign && !(*at == ' ' && (ends_number(string, at) || parts_time(string, at))))
            continue;
        append_escaped(text, plain, (size_t)(at - plain), escape_html);
        tr_text_append(text, sign ? "±" : "\u00a0");
        at += sign;
        plain = at + 1;
    }
    append_escaped(text, plain, strlen(plain), escape_html);
}

void tr_text_append_wrapped(struct tr_text *text, const char *string, int column, int indent, int columns)
{
    bool line_start = true;
    while (*string) {
        if (*string == '\n') {
            tr_text_char(text, '\n');
            if (string[1] && string[1] != '\n')
                tr_text_fill(text, ' ', (size_t)indent);
            column = indent;
            line_start = true;
            string++;
            continue;
        }
        size_t blanks = strspn(string, " ");
        size_t word = strcspn(string + blanks, " \n");
        if (word == 0) { /* blanks at the end of a line */
            string += blanks;
            continue;
        }
        int width = 0;
        for (size_t i = 0; i < word; i++)
            width += (string[blanks + i] & 0xc0) != 0x80;
        if (!line_start && column + (int)blanks + width > columns) {
            tr_text_char(text, '\n');
            tr_text_fill(text, ' ', (size_t)indent);
            column = indent;
        } else if (!line_start || blanks) { /* blanks that begin a line are the writer's own indentation */
            tr_text_fill(text, ' ', blanks);
            column += (int)blanks;
        }
        tr_text_append_bytes(text, string + blanks, word);
        column += width;
        line_start = false;
        string += blanks + word;
    }
}

/* --- the nearest name --- */

enum { NEAREST_MAX = 64 }; /* no option or key of ours is longer */

static int fold(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A' + 'a';
    return c == '_' ? '-' : c;
}

/* Smallest number of inserts, deletes, replacements and swaps of neighbours that turn a into b. */
static int edit_distance(const char *a, int a_len, const char *b, int b_len)
{
    int rows[3][NEAREST_MAX + 1]; /* two rows back, one row back, this row; turned round at each step */
    int *two = rows[0], *one = rows[1], *now = rows[2];
    for (int j = 0; j <= b_len; j++)
        one[j] = j;
    for (int i = 1; i <= a_len; i++) {
        now[0] = i;
        for (int j = 1; j <= b_len; j++) {
            bool same = fold(a[i - 1]) == fold(b[j - 1]);
            int best = one[j - 1] + !same;
            if (one[j] + 1 < best)
                best = one[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) && fold(a[i - 2]) == fold(b[j - 1]) &&
                two[j - 2] + 1 < best)
                best = two[j - 2] + 1;
            now[j] = best;
        }
        int *spare = two;
        two = one;
        one = now;
        now = spare;
    }
    return one[b_len];
}

int tr_nearest(const char *word, const char *const *names, int count)
{
    size_t len = strnlen(word, NEAREST_MAX + 1);
    if (len == 0 || len > NEAREST_MAX)
        return -1;
    int limit = len < 3 ? 1 : (int)len / 3;
    int best = -1, best_distance = limit + 1, begins = -1, begin_count = 0;
    for (int i = 0; i < count; i++) {
        size_t name_len = strlen(names[i]);
        if (name_len > NEAREST_MAX)
            continue;
        if (len < name_len && strncmp(word, names[i], len) == 0) {
            begins = i;
            begin_count++;
        }
        int distance = edit_distance(word, (int)len, names[i], (int)name_len);
        /* A replacement of everything is not nearness: "lr" is not "xy". */
        if (distance < best_distance && distance < (int)len) {
            best_distance = distance;
            best = i;
        }
    }
    if (best_distance <= 1 || begin_count != 1)
        return best;
    return begins;
}
