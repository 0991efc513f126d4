/* Characters: UTF-8, the classes that pre-tokenizers ask for, and normal form C. Internal to lab/token.
 *
 * Which version of Unicode each of them knows follows Hugging Face's tokenizers: see scripts/unicode_tables.py. */
#ifndef TR_LAB_TOKEN_UNICODE_H
#define TR_LAB_TOKEN_UNICODE_H

#include "base/err.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tr_unicode_class {
    TR_LETTER = 1, /* category L */
    TR_NUMBER = 2, /* category N */
    TR_SPACE = 4,  /* White_Space */
    TR_WORD = 8,   /* \w */
    TR_DIGIT = 16, /* category N of a later version: what Digits splits off */
    TR_NFC = 32    /* normal form C may change it, alone or behind another character */
};

struct tr_unicode_range {
    int32_t first, last, value;
};
struct tr_unicode_pair {
    int32_t whole, first, second; /* second 0: a singleton */
};

enum { TR_UNICODE_BLOCK = 128, TR_UNICODE_END = 0x110000, TR_NO_CHARACTER = 0xFFFD };

extern const uint8_t tr_unicode_index[TR_UNICODE_END / TR_UNICODE_BLOCK], tr_unicode_block[][TR_UNICODE_BLOCK];
extern const int32_t tr_unicode_combining_count, tr_unicode_decomposed_count, tr_unicode_composed_count;
extern const struct tr_unicode_range tr_unicode_combining[]; /* ascending */
extern const struct tr_unicode_pair tr_unicode_decomposed[]; /* by whole */
extern const struct tr_unicode_pair tr_unicode_composed[];   /* by first, then second */

static inline int tr_unicode_classes(int32_t c)
{
    return tr_unicode_block[tr_unicode_index[c / TR_UNICODE_BLOCK]][c % TR_UNICODE_BLOCK];
}

/* The character at `at` < end and its length in bytes. Bytes that belong to no character come out as U+FFFD, one for
 * each maximal beginning of a character (Unicode, section 3.9), *length then 1 to 3. */
int32_t tr_utf8_next_long(const uint8_t *at, const uint8_t *end, int *length);

static inline int32_t tr_utf8_next(const uint8_t *at, const uint8_t *end, int *length)
{
    if (*at < 0x80) {
        *length = 1;
        return *at;
    }
    return tr_utf8_next_long(at, end, length);
}

/* True when tr_nfc would leave the text as it is; false also when it would have to look closer. */
bool tr_nfc_is_quick(const char *text, size_t bytes);

/* Appends the text in normal form C. Bytes that are not UTF-8 stay as they are and join with nothing. Time n log n. */
TR_MUST_CHECK enum tr_status tr_nfc(const char *text, size_t bytes, struct tr_text *out, struct tr_err *err);

#endif
