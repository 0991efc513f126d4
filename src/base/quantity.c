#include "base/quantity.h"

#include "base/json.h"
#include "base/num.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One row per way to write a unit: the base unit's value is number * up / down. The spelling is an optional prefix of
 * `prefixes` and one of the words. */
enum prefixes {
    NO_PREFIX,
    DECIMAL,  /* k M G T P E Z */
    BINARY,   /* also Ki Mi Gi Ti Pi Ei */
    NUMBER    /* k K M B G T: how people count parameters and tokens */
};

struct word {
    const char *text;
    enum prefixes prefixes;
    double up, down; /* both exact; one of them is 1 */
};

struct unit {
    const char *hint;
    bool bare;          /* a number without a unit is accepted */
    bool dollar;        /* "$" may stand in front */
    struct word words[8];
};

static const struct unit UNITS[TR_UNIT_COUNT_OF] = {
    [TR_UNIT_BYTES] = {"a number of bytes such as 80GiB or 4kB", true, false, {{"B", BINARY, 1, 1}}},
    [TR_UNIT_BYTES_S] = {"a rate such as 3.35TB/s (bytes) or 400Gb/s (bits)",
                         false,
                         false,
                         {{"B/s", BINARY, 1, 1},
                          {"b/s", BINARY, 1, 8},
                          {"bit/s", BINARY, 1, 8},
                          {"bps", BINARY, 1, 8}}},
    [TR_UNIT_TIME] = {"a time such as 30d, 2h, 15min, 90s or 250ms",
                      false,
                      false,
                      {{"d", NO_PREFIX, 86400, 1},
                       {"h", NO_PREFIX, 3600, 1},
                       {"m", NO_PREFIX, 60, 1},
                       {"min", NO_PREFIX, 60, 1},
                       {"s", NO_PREFIX, 1, 1},
                       {"ms", NO_PREFIX, 1, 1e3},
                       {"us", NO_PREFIX, 1, 1e6},
                       {"ns", NO_PREFIX, 1, 1e9}}},
    [TR_UNIT_COUNT] = {"a count such as 124M, 1.5B or 10k", true, false, {{"", NUMBER, 1, 1}}},
    [TR_UNIT_FLOP] = {"a number of operations such as 3.1e23FLOP or 5PFLOP",
                      false,
                      false,
                      {{"FLOP", DECIMAL, 1, 1}, {"flop", DECIMAL, 1, 1}}},
    [TR_UNIT_FLOP_S] = {"a rate such as 989TFLOP/s",
                        false,
                        false,
                        {{"FLOP/s", DECIMAL, 1, 1},
                         {"FLOPS", DECIMAL, 1, 1},
                         {"flop/s", DECIMAL, 1, 1},
                         {"OP/s", DECIMAL, 1, 1}}},
    [TR_UNIT_USD] = {"an amount such as $2.50, 1.2M$ or 300k",
                     true,
                     true,
                     {{"$", NUMBER, 1, 1}, {"USD", NUMBER, 1, 1}, {"", NUMBER, 1, 1}}},
    [TR_UNIT_USD_H] = {"a price such as $2.50/h", false, true, {{"$/h", NUMBER, 1, 1}, {"USD/h", NUMBER, 1, 1}}},
    [TR_UNIT_POWER] = {"a power such as 700W or 30MW", false, false, {{"W", DECIMAL, 1, 1}, {"mW", NO_PREFIX, 1, 1e3}}},
    [TR_UNIT_ENERGY] = {"an energy such as 3.6MJ or 1.2kWh",
                        false,
                        false,
                        {{"J", DECIMAL, 1, 1}, {"mJ", NO_PREFIX, 1, 1e3}, {"Wh", DECIMAL, 3600, 1}}},
    [TR_UNIT_HZ] = {"a frequency such as 1.98GHz", false, false, {{"Hz", DECIMAL, 1, 1}}},
    [TR_UNIT_RATIO] = {"a share such as 45% or 0.45", true, false, {{"%", NO_PREFIX, 1, 100}}},
    [TR_UNIT_AREA] = {"an area such as 814mm2", false, false, {{"mm2", NO_PREFIX, 1, 1}}},
    [TR_UNIT_CARBON] = {"a carbon intensity such as 369g/kWh", false, false, {{"g/kWh", NO_PREFIX, 1, 1}}},
};

const char *tr_unit_hint(enum tr_unit unit)
{
    TR_ASSERT(unit >= 0 && unit < TR_UNIT_COUNT_OF);
    return UNITS[unit].hint;
}

/* --- reading --- */

/* A decimal number as digits * 10^exponent, and what it is multiplied with. */
struct number {
    char digits[48]; /* without point, leading or trailing zeros; "" is zero */
    int exponent;    /* of ten, the prefix included */
    int power_of_two;
    double up, down;
};

/* Room for every printed form: 1.2e308 as a ratio would print as infinitely many percent. */
static const double VALUE_MAX = 1e300;

enum { EXPONENT_MAX = 400 }; /* beyond this a double is zero or infinite whatever the digits */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Reads digits, point and exponent; returns what follows, NULL when there is no number or it has too many digits. */
static const char *read_number(const char *text, struct number *number)
{
    size_t used = 0;
    bool any = false, point = false;
    for (;; text++) {
        if (*text == '.' && !point) {
            point = true;
            continue;
        }
        if (!is_digit(*text))
            break;
        any = true;
        number->exponent -= point;
        if (used == 0 && *text == '0')
            continue;
        if (used == sizeof number->digits - 1)
            return NULL;
        number->digits[used++] = *text;
    }
    if (!any)
        return NULL;
    while (used > 0 && number->digits[used - 1] == '0') {
        used--;
        number->exponent++;
    }
    number->digits[used] = 0;
    /* "1e9" has an exponent, "1E" is an exa-something and "1EB" too. */
    if (*text == 'e' || *text == 'E') {
        const char *at = text + 1;
        int sign = *at == '-' ? -1 : 1;
        at += *at == '-' || *at == '+';
        if (is_digit(*at)) {
            int exponent = 0;
            for (; is_digit(*at); at++)
                exponent = exponent > EXPONENT_MAX ? exponent : exponent * 10 + (*at - '0');
            number->exponent += sign * exponent;
            text = at;
        }
    }
    return text;
}

/* Takes a prefix that `kinds` allows; returns what follows it. `*text` is left for the word when there is none. */
static const char *read_prefix(const char *text, enum prefixes kinds, struct number *number)
{
    static const char letters[] = "kMGTPEZ";
    if (kinds == NO_PREFIX || !*text)
        return text;
    if (kinds == NUMBER && (*text == 'B' || *text == 'K')) {
        number->exponent += *text == 'B' ? 9 : 3;
        return text + 1;
    }
    if (kinds == BINARY && *text == 'K' && text[1] == 'i') { /* KiB is the standard's spelling */
        number->power_of_two += 10;
        return text + 2;
    }
    const char *letter = strchr(letters, *text);
    if (!letter)
        return text;
    int thousands = (int)(letter - letters) + 1;
    if (kinds == BINARY && text[1] == 'i' && *letter != 'Z') { /* up to 2^60 */
        number->power_of_two += 10 * thousands;
        return text + 2;
    }
    number->exponent += 3 * thousands;
    return text + 1;
}

static bool read_word(const char *text, const struct word *word, struct number *number)
{
    struct number with_prefix = *number;
    const char *rest = text;
    /* A word as it stands goes first: "m" of "min" is no prefix. */
    if (strcmp(text, word->text) != 0) {
        rest = read_prefix(text, word->prefixes, &with_prefix);
        if (rest == text || strcmp(rest, word->text) != 0)
            return false;
    }
    with_prefix.up = word->up;
    with_prefix.down = word->down;
    *number = with_prefix;
    return true;
}

static bool read_unit(const char *text, const struct unit *unit, struct number *number, bool dollar)
{
    for (size_t i = 0; i < sizeof unit->words / sizeof *unit->words && unit->words[i].text; i++) {
        /* "$2.50/h": the dollar has been read already, what is left is the word without it. */
        struct word word = unit->words[i];
        if (dollar && word.text[0] != '$')
            continue;
        word.text += dollar;
        if (read_word(text, &word, number))
            return true;
    }
    return false;
}

static enum tr_status read_quantity(const char *text, enum tr_unit which, struct number *number, struct tr_err *err)
{
    const struct unit *unit = &UNITS[which];
    *number = (struct number){.up = 1, .down = 1};
    bool dollar = unit->dollar && text[0] == '$';
    const char *rest = read_number(text + dollar, number);
    if (rest) {
        if (rest[0] == ' ' && rest[1])
            rest++;
        if ((!*rest && unit->bare) || read_unit(rest, unit, number, dollar))
            return TR_OK;
    }
    return tr_fail(err, TR_BAD_INPUT, "\"%.60s\": expected %s", text, unit->hint);
}

/* digits * 10^exponent, correctly rounded (strtod is, in glibc and musl). */
static double number_decimal(const struct number *number)
{
    if (!number->digits[0])
        return 0;
    char text[80];
    snprintf(text, sizeof text, "%se%d", number->digits, number->exponent);
    return strtod(text, NULL);
}

enum tr_status tr_parse_quantity(const char *text, enum tr_unit unit, double *out, struct tr_err *err)
{
    TR_ASSERT(unit >= 0 && unit < TR_UNIT_COUNT_OF);
    struct number number;
    enum tr_status status = read_quantity(text, unit, &number, err);
    if (status)
        return status;
    double value = number_decimal(&number) * (double)((int64_t)1 << number.power_of_two) * number.up / number.down;
    if (!(value <= VALUE_MAX))
        return tr_fail(err, TR_BAD_INPUT, "\"%.60s\": too large a number", text);
    *out = value;
    return TR_OK;
}

enum tr_status tr_parse_whole(const char *text, enum tr_unit unit, int64_t *out, struct tr_err *err)
{
    TR_ASSERT(unit == TR_UNIT_BYTES || unit == TR_UNIT_COUNT);
    struct number number;
    enum tr_status status = read_quantity(text, unit, &number, err);
    if (status)
        return status;
    /* Digits times two's power first: half of 1 KiB is whole although 0.5 is not. 38 digits fit 128 bits; more can
     * only be a fraction or too large. */
    const enum tr_status bad = TR_BAD_INPUT;
    if (!number.digits[0]) {
        *out = 0;
        return TR_OK;
    }
    size_t count = strlen(number.digits);
    if ((int)count + number.exponent > 19)
        return tr_fail(err, bad, "\"%.60s\": too large a number", text);
    unsigned __int128 value = 0;
    bool whole = count <= 19;
    for (size_t i = 0; whole && i < count; i++)
        value = value * 10 + (unsigned)(number.digits[i] - '0');
    value <<= whole ? number.power_of_two : 0; /* at most 64 + 60 bits */
    for (; whole && number.exponent < 0; number.exponent++) {
        whole = value % 10 == 0;
        value /= 10;
    }
    if (!whole)
        return tr_fail(err, bad, "\"%.60s\": not a whole number", text);
    for (; number.exponent > 0 && value <= INT64_MAX; number.exponent--)
        value *= 10;
    if (value > INT64_MAX)
        return tr_fail(err, bad, "\"%.60s\": too large a number (the limit is %lld)", text, (long long)INT64_MAX);
    *out = (int64_t)value;
    return TR_OK;
}

/* --- printing --- */

/* Four significant digits, zeros behind the point cut. */
enum { DIGITS_BYTES = 16 }; /* values below a million */

static void print_number(char buf[DIGITS_BYTES], double value)
{
    int digits = value < 9.9995 ? 3 : value < 99.995 ? 2 : value < 999.95 ? 1 : 0;
    int len = snprintf(buf, DIGITS_BYTES, "%.*f", digits, value);
    if (digits == 0)
        return;
    while (buf[len - 1] == '0')
        len--;
    len -= buf[len - 1] == '.';
    buf[len] = 0;
}

struct step {
    double value;
    const char *suffix;
};

/* The largest step whose number is 1 or above, as printed: 1023.7 KiB would print as 1024 KiB, so it is 1 MiB. `steps`
 * fall; the last one takes all that is smaller. */
static const struct step *choose_step(double value, const struct step *steps)
{
    for (; steps[1].value > 0; steps++) {
        if (value >= steps->value || (value == 0 && steps->value == 1)) /* "0 s", not "0 ns" */
            break;
        double below = value / steps[1].value;
        if (below * steps[1].value < 0.99 * steps->value)
            continue;
        char buf[DIGITS_BYTES];
        print_number(buf, below);
        if (strtod(buf, NULL) * steps[1].value >= steps->value * (1 - 1e-12))
            break;
    }
    return steps;
}

static const char *print_steps(char buf[TR_QUANTITY_BYTES], double value, const struct step *steps)
{
    const char *sign = value < 0 ? "-" : "";
    value = value < 0 ? -value : value;
    if (value != value) {
        strcpy(buf, "nan");
        return buf;
    }
    steps = choose_step(value, steps);
    double number = value / steps->value;
    char digits[DIGITS_BYTES];
    if (number > 0 && (number < 0.001 || number >= 999999.5)) /* beyond the table; infinity too */
        snprintf(digits, sizeof digits, isinf(number) ? "inf" : "%.4g", number);
    else
        print_number(digits, number);
    snprintf(buf, TR_QUANTITY_BYTES, "%s%s%s%s", sign, digits, steps->suffix[0] ? " " : "", steps->suffix);
    return buf;
}

#define DECIMAL_STEPS(word)                                                                                    \
    {                                                                                                          \
        {1e21, "Z" word}, {1e18, "E" word}, {1e15, "P" word}, {1e12, "T" word}, {1e9, "G" word},               \
            {1e6, "M" word}, {1e3, "k" word}, {1, word}, {0, NULL}                                             \
    }

static const struct step BYTES_STEPS[] = {{0x1p60, "EiB"}, {0x1p50, "PiB"}, {0x1p40, "TiB"}, {0x1p30, "GiB"},
                                          {0x1p20, "MiB"}, {0x1p10, "KiB"}, {1, "B"},        {0, NULL}};
static const struct step BYTES_S_STEPS[] = DECIMAL_STEPS("B/s");
static const struct step BITS_S_STEPS[] = DECIMAL_STEPS("b/s");
static const struct step SECONDS_STEPS[] = {{1, "s"}, {1e-3, "ms"}, {1e-6, "us"}, {1e-9, "ns"}, {0, NULL}};
static const struct step COUNT_STEPS[] = {{1e12, "T"}, {1e9, "B"}, {1e6, "M"}, {1e3, "k"}, {1, ""}, {0, NULL}};
static const struct step FLOP_STEPS[] = DECIMAL_STEPS("FLOP");
static const struct step FLOP_S_STEPS[] = DECIMAL_STEPS("FLOP/s");
static const struct step USD_STEPS[] = {{1e9, "B$"}, {1e6, "M$"}, {1e3, "k$"}, {1, "$"}, {0, NULL}};
static const struct step USD_H_STEPS[] = {{1e9, "B$/h"}, {1e6, "M$/h"}, {1e3, "k$/h"}, {1, "$/h"}, {0, NULL}};
static const struct step POWER_STEPS[] = DECIMAL_STEPS("W");
static const struct step ENERGY_STEPS[] = DECIMAL_STEPS("J");
static const struct step HZ_STEPS[] = DECIMAL_STEPS("Hz");
static const struct step RATIO_STEPS[] = {{0.01, "%"}, {0, NULL}};
static const struct step AREA_STEPS[] = {{1, "mm2"}, {0, NULL}};
static const struct step CARBON_STEPS[] = {{1, "g/kWh"}, {0, NULL}};

static const struct step *const STEPS[TR_UNIT_COUNT_OF] = {
    [TR_UNIT_BYTES] = BYTES_STEPS,   [TR_UNIT_BYTES_S] = BYTES_S_STEPS, [TR_UNIT_TIME] = SECONDS_STEPS,
    [TR_UNIT_COUNT] = COUNT_STEPS,   [TR_UNIT_FLOP] = FLOP_STEPS,       [TR_UNIT_FLOP_S] = FLOP_S_STEPS,
    [TR_UNIT_USD] = USD_STEPS,       [TR_UNIT_USD_H] = USD_H_STEPS,     [TR_UNIT_POWER] = POWER_STEPS,
    [TR_UNIT_ENERGY] = ENERGY_STEPS, [TR_UNIT_HZ] = HZ_STEPS,           [TR_UNIT_RATIO] = RATIO_STEPS,
    [TR_UNIT_AREA] = AREA_STEPS,     [TR_UNIT_CARBON] = CARBON_STEPS,
};

/* "2 h 05 min": a second part that is zero is left out, as zeros behind a point are. */
static const char *print_parts(char buf[TR_QUANTITY_BYTES], const char *sign, long long large, const char *unit, double small, const char *smaller)
{
    char rest[DIGITS_BYTES] = "";
    bool tenths = small != floor(small);
    if (small > 0)
        snprintf(rest, sizeof rest, " %0*.*f %s", tenths ? 4 : 2, tenths, small, smaller);
    snprintf(buf, TR_QUANTITY_BYTES, "%s%lld %s%s", sign, large, unit, rest);
    return buf;
}

const char *tr_print_time(char buf[TR_QUANTITY_BYTES], double seconds)
{
    const double size = fabs(seconds), day = 86400;
    const char *sign = seconds < 0 ? "-" : "";
    if (!isfinite(size))
        return strcpy(buf, isnan(size) ? "unknown" : "never");
    if (size < 59.995)
        return print_steps(buf, seconds, SECONDS_STEPS);
    if (size < 599.95) {
        long long tenths = llround(10 * size);
        return print_parts(buf, sign, tenths / 600, "min", (double)(tenths % 600) / 10, "s");
    }
    if (size < 3599.5) {
        long long whole = llround(size);
        return print_parts(buf, sign, whole / 60, "min", (double)(whole % 60), "s");
    }
    if (size < day - 30) {
        long long minutes = llround(size / 60);
        return print_parts(buf, sign, minutes / 60, "h", (double)(minutes % 60), "min");
    }
    const double days = size < 99.95 * day ? round(10 * size / day) / 10 : round(size / day);
    snprintf(buf, TR_QUANTITY_BYTES, "%s%.*g day%s", sign, days < 1e6 ? 6 : 4, days, days > 1 ? "s" : "");
    return buf;
}

const char *tr_print_quantity(char buf[TR_QUANTITY_BYTES], enum tr_unit unit, double value)
{
    TR_ASSERT(unit >= 0 && unit < TR_UNIT_COUNT_OF);
    return unit == TR_UNIT_TIME ? tr_print_time(buf, value) : print_steps(buf, value, STEPS[unit]);
}

const char *tr_print_beside(char buf[TR_QUANTITY_BYTES], enum tr_unit unit, double value, double beside)
{
    enum { DIGITS_MOST = 15 };
    static const struct step times[] = {{86400, "days"}, {3600, "h"}, {60, "min"}, {1, "s"}, {1e-3, "ms"}, {1e-6, "us"}, {1e-9, "ns"}, {0, NULL}};
    char other[TR_QUANTITY_BYTES], digits[TR_QUANTITY_BYTES];
    const char *same = tr_print_quantity(other, unit, beside);
    if (!isfinite(value) || value == beside || strcmp(tr_print_quantity(buf, unit, value), same) != 0)
        return tr_print_quantity(buf, unit, value);
    const struct step *step = choose_step(fabs(value), unit == TR_UNIT_TIME ? times : STEPS[unit]);
    for (int i = 0; i <= DIGITS_MOST; i++) {
        snprintf(digits, sizeof digits, "%.*f", i, value / step->value);
        snprintf(other, sizeof other, "%.*f", i, beside / step->value);
        if (strcmp(digits, other) != 0)
            break;
    }
    snprintf(buf, TR_QUANTITY_BYTES, "%.24s %.6s", digits, step->suffix);
    return buf;
}

const char *tr_print_bytes(char buf[TR_QUANTITY_BYTES], int64_t bytes)
{
    return print_steps(buf, (double)bytes, BYTES_STEPS);
}

const char *tr_print_count(char buf[TR_QUANTITY_BYTES], int64_t count)
{
    return print_steps(buf, (double)count, COUNT_STEPS);
}

const char *tr_print_flop_s(char buf[TR_QUANTITY_BYTES], double flop_s)
{
    return print_steps(buf, flop_s, FLOP_S_STEPS);
}

const char *tr_print_bits_s(char buf[TR_QUANTITY_BYTES], double bytes_s)
{
    return print_steps(buf, 8 * bytes_s, BITS_S_STEPS);
}

const char *tr_print_clock(char buf[TR_QUANTITY_BYTES], double seconds)
{
    if (!(seconds >= 0 && seconds < 1e12)) {
        strcpy(buf, "unknown");
        return buf;
    }
    long long whole = (long long)(seconds + 0.5);
    long long days = whole / 86400, hours = whole / 3600 % 24, minutes = whole / 60 % 60;
    if (days)
        snprintf(buf, TR_QUANTITY_BYTES, "%lldd %02lld:%02lld:%02lld", days, hours, minutes, whole % 60);
    else if (hours)
        snprintf(buf, TR_QUANTITY_BYTES, "%02lld:%02lld:%02lld", hours, minutes, whole % 60);
    else
        snprintf(buf, TR_QUANTITY_BYTES, "%02lld:%02lld", minutes, whole % 60);
    return buf;
}
