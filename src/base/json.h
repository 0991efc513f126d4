/* Writing JSON on a tr_text. Commas, quotes and escapes are the writer's business; the order is the caller's.
 *
 *     struct tr_json json = tr_json_start(&text, TR_JSON_LINE);
 *     tr_json_object(&json, NULL);
 *     tr_json_int(&json, "step", 5);
 *     tr_json_double(&json, "loss", 2.25);
 *     tr_json_array(&json, "shape");
 *     tr_json_int(&json, NULL, 768);
 *     tr_json_end(&json);
 *     tr_json_end(&json);                      {"step":5,"loss":2.25,"shape":[768]}
 *
 * Every value takes its key: a name inside an object, NULL inside an array and at the top. A wrong nesting is our bug
 * and asserts. Doubles are written with the fewest digits that read back as the same double; NaN and infinities, which
 * JSON does not have, as null. Running out of memory sticks to the text (tr_text_failed). Reading JSON: doc.h. */
#ifndef TR_BASE_JSON_H
#define TR_BASE_JSON_H

#include "base/text.h"

#include <stdbool.h>
#include <stdint.h>

enum { TR_JSON_DEPTH_MAX = 80 }; /* more than a document may have (doc.h) */

enum tr_json_style {
    TR_JSON_LINE,  /* no white space: one record a line (metrics.jsonl) */
    TR_JSON_PRETTY /* two spaces a level: for files that people read; arrays of plain values stay on one line */
};

struct tr_json {
    struct tr_text *text; /* not owned */
    enum tr_json_style style;
    int depth;
    struct {
        bool object, empty, inline_values;
    } level[TR_JSON_DEPTH_MAX];
};

struct tr_json tr_json_start(struct tr_text *text, enum tr_json_style style);

void tr_json_object(struct tr_json *json, const char *key);
void tr_json_array(struct tr_json *json, const char *key);
void tr_json_end(struct tr_json *json); /* closes the innermost object or array */

void tr_json_string(struct tr_json *json, const char *key, const char *value); /* NULL is written as null */
void tr_json_bytes(struct tr_json *json, const char *key, const char *value, size_t bytes); /* a string by length */
void tr_json_int(struct tr_json *json, const char *key, int64_t value);
void tr_json_double(struct tr_json *json, const char *key, double value);
void tr_json_float(struct tr_json *json, const char *key, float value); /* fewest digits that read back as this float */
void tr_json_bool(struct tr_json *json, const char *key, bool value);
void tr_json_null(struct tr_json *json, const char *key);
void tr_json_raw(struct tr_json *json, const char *key, const char *valid_json); /* a value that is JSON already */

/* The same shortest text for other writers; buf of at least 32 bytes; "nan", "inf", "-inf" for what is not finite. */
const char *tr_print_shortest(double value, char buf[32]);

#endif
