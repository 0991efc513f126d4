/* Any text as a value with every unit: refused with a sentence, or a number that prints, reads back and prints the same
 * again; times of a minute and more are printed for people and do not read back. */
#include "base/quantity.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check_unit(const char *text, enum tr_unit unit)
{
    struct tr_err err = {""};
    double value = NAN, back = NAN;
    if (tr_parse_quantity(text, unit, &value, &err)) {
        TR_ASSERT(err.text[0] && isnan(value));
        return;
    }
    TR_ASSERT(isfinite(value) && value >= 0);
    char first[TR_QUANTITY_BYTES], again[TR_QUANTITY_BYTES];
    tr_print_quantity(first, unit, value);
    if (unit == TR_UNIT_TIME && value > 59)
        return;
    enum tr_status status = tr_parse_quantity(first, unit, &back, &err);
    if (status && value > 0.999e300) /* rounding to four digits may lead beyond the limit */
        return;
    TR_ASSERT(status == TR_OK);
    tr_print_quantity(again, unit, back);
    TR_ASSERT(strcmp(first, again) == 0);
}

static void check_whole(const char *text, enum tr_unit unit)
{
    struct tr_err err = {""};
    int64_t whole = -1;
    double real = NAN;
    if (tr_parse_whole(text, unit, &whole, &err)) {
        TR_ASSERT(err.text[0] && whole == -1);
        return;
    }
    enum tr_status status = tr_parse_quantity(text, unit, &real, &err);
    TR_ASSERT(status == TR_OK && whole >= 0);
    TR_ASSERT(fabs(real - (double)whole) <= 1e-15 * real);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    char text[256];
    if (bytes >= sizeof text)
        return 0;
    memcpy(text, data, bytes);
    text[bytes] = 0;
    for (int unit = 0; unit < TR_UNIT_COUNT_OF; unit++)
        check_unit(text, (enum tr_unit)unit);
    check_whole(text, TR_UNIT_BYTES);
    check_whole(text, TR_UNIT_COUNT);
    return 0;
}
