#include "lab/token/unicode.h"

/* The second byte of a character that begins with `lead`: lowest and highest (Unicode, table 3-7). */
static void second_range(uint8_t lead, uint8_t *low, uint8_t *high)
{
    *low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    *high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
}

int32_t tr_utf8_next_long(const uint8_t *at, const uint8_t *end, int *length)
{
    uint8_t lead = *at, low, high;
    int size = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    *length = 1;
    if (lead < 0xC2 || lead > 0xF4)
        return TR_NO_CHARACTER;
    second_range(lead, &low, &high);
    int32_t c = lead & (0x7F >> size);
    for (int i = 1; i < size; i++) {
        if (at + i == end || at[i] < low || at[i] > high)
            return TR_NO_CHARACTER;
        c = c << 6 | (at[i] & 0x3F);
        *length = i + 1;
        low = 0x80;
        high = 0xBF;
    }
    return c;
}
