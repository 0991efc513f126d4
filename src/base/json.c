#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tr_json tr_json_start(struct tr_text *text, enum tr_json_style style)
{
    return (struct tr_json){.text = text, .style = style};
}

static void new_line(struct tr_json *json)
{
    tr_text_char(json->text, '\n');
    tr_text_fill(json->text, ' ', (size_t)json->depth * 2);
}

/* What stands before a value: comma, line, key. `plain`: the value is not an object or array. */
static void before_value(struct tr_json *json, const char *key, bool plain)
{
    if (json->depth == 0) {
        TR_ASSERT(!key);
        return;
    }
    int top = json->depth - 1;
    TR_ASSERT(json->level[top].object == (key != NULL));
    if (!json->level[top].empty)
        tr_text_char(json->text, ',');
    if (json->style == TR_JSON_PRETTY) {
        /* An array that begins with a plain value stays on one line. */
        if (json->level[top].empty)
            json->level[top].inline_values = plain && !json->level[top].object;
        if (!json->level[top].inline_values)
            new_line(json);
        else if (!json->level[top].empty)
            tr_text_char(json->text, ' ');
    }
    json->level[top].empty = false;
    if (key) {
        tr_text_char(json->text, '"');
        tr_text_append_json(json->text, key, strlen(key));
        tr_text_append(json->text, json->style == TR_JSON_PRETTY ? "\": " : "\":");
    }
}

static void open_level(struct tr_json *json, const char *key, bool object)
{
    before_value(json, key, false);
    TR_ASSERT(json->depth < TR_JSON_DEPTH_MAX);
    json->level[json->depth].object = object;
    json->level[json->depth].empty = true;
    json->level[json->depth].inline_values = false;
    json->depth++;
    tr_text_char(json->text, object ? '{' : '[');
}

void tr_json_object(struct tr_json *json, const char *key)
{
    open_level(json, key, true);
}

void tr_json_array(struct tr_json *json, const char *key)
{
    open_level(json, key, false);
}

void tr_json_end(struct tr_json *json)
{
    TR_ASSERT(json->depth > 0);
    json->depth--;
    int top = json->depth;
    if (json->style == TR_JSON_PRETTY && !json->level[top].empty && !json->level[top].inline_values)
        new_line(json);
    tr_text_char(json->text, json->level[top].object ? '}' : ']');
}

void tr_json_raw(struct tr_json *json, const char *key, const char *valid_json)
{
    before_value(json, key, true);
    tr_text_append(json->text, valid_json);
}

void tr_json_bytes(struct tr_json *json, const char *key, const char *value, size_t bytes)
{
    before_value(json, key, true);
    tr_text_char(json->text, '"');
    tr_text_append_json(json->text, value, bytes);
    tr_text_char(json->text, '"');
}

void tr_json_string(struct tr_json *json, const char *key, const char *value)
{
    if (value)
        tr_json_bytes(json, key, value, strlen(value));
    else
        tr_json_null(json, key);
}

void tr_json_int(struct tr_json *json, const char *key, int64_t value)
{
    before_value(json, key, true);
    tr_text_printf(json->text, "%lld", (long long)value);
}

void tr_json_bool(struct tr_json *json, const char *key, bool value)
{
    tr_json_raw(json, key, value ? "true" : "false");
}

void tr_json_null(struct tr_json *json, const char *key)
{
    tr_json_raw(json, key, "null");
}

/* %g writes 1000 as 1e+03 when one digit is enough; people read 1000. */
static void plain_if_whole(double value, char *buf, size_t bytes)
{
    if (strstr(buf, "e+") && fabs(value) < 1e15)
        snprintf(buf, bytes, "%.0f", value);
}

const char *tr_print_shortest(double value, char buf[32])
{
    if (!isfinite(value)) {
        strcpy(buf, isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
        return buf;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(buf, 32, "%.*g", digits, value);
        if (strtod(buf, NULL) == value)
            break;
    }
    plain_if_whole(value, buf, 32);
    return buf;
}

void tr_json_double(struct tr_json *json, const char *key, double value)
{
    char buf[32];
    if (value == 0 && signbit(value))
        tr_json_raw(json, key, "-0.0"); /* "-0" would read back as the whole number 0 */
    else
        tr_json_raw(json, key, isfinite(value) ? tr_print_shortest(value, buf) : "null");
}

void tr_json_float(struct tr_json *json, const char *key, float value)
{
    char buf[32] = "null";
    for (int digits = 1; isfinite(value) && digits <= 9; digits++) {
        snprintf(buf, sizeof buf, "%.*g", digits, (double)value);
        if (strtof(buf, NULL) == value)
            break;
    }
    plain_if_whole((double)value, buf, sizeof buf);
    tr_json_raw(json, key, buf);
}
