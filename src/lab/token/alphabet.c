/* GPT-2 writes each byte as one printable character, so that a vocabulary is a list of printable words: the bytes of
 * printable Latin-1 as themselves, the other 68 as U+0100 and on. */
#include "lab/token/unicode.h"
#include "lab/token/vocab.h"

static bool prints_as_itself(int byte)
{
    return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

/* Bytes from 0, 0x7F and 0xAD on that stand for others, in this order. */
enum { FIRST_OTHER = 0x100, LOW_OTHERS = 33, MIDDLE_OTHERS = 34 };

int32_t tr_alphabet_letter(uint8_t byte)
{
    if (prints_as_itself(byte))
        return byte;
    if (byte < LOW_OTHERS)
        return FIRST_OTHER + byte;
    return byte == 0xAD ? FIRST_OTHER + LOW_OTHERS + MIDDLE_OTHERS : FIRST_OTHER + LOW_OTHERS + (byte - 0x7F);
}

int tr_alphabet_byte(int32_t c)
{
    if (c < FIRST_OTHER)
        return c >= 0 && prints_as_itself(c) ? c : -1;
    int other = c - FIRST_OTHER;
    if (other < LOW_OTHERS)
        return other;
    if (other < LOW_OTHERS + MIDDLE_OTHERS)
        return 0x7F + other - LOW_OTHERS;
    return other == LOW_OTHERS + MIDDLE_OTHERS ? 0xAD : -1;
}

void tr_alphabet_append(struct tr_text *out, uint8_t byte)
{
    int32_t c = tr_alphabet_letter(byte);
    if (c >= 0x80)
        tr_text_char(out, (char)(0xC0 | c >> 6));
    tr_text_char(out, (char)(c < 0x80 ? c : 0x80 | (c & 0x3F)));
}

int64_t tr_alphabet_read(struct tr_string spelled, uint8_t *bytes)
{
    const uint8_t *at = (const uint8_t *)spelled.at, *end = at + spelled.bytes;
    int64_t count = 0;
    while (at < end) {
        int length, byte = tr_alphabet_byte(tr_utf8_next(at, end, &length));
        if (byte < 0)
            return -1;
        bytes[count++] = (uint8_t)byte;
        at += length;
    }
    return count;
}
