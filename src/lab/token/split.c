/* Pre-tokenizers by hand: each function does what one regular expression does, in one pass and without a regex engine.
 * Every character is a letter, a number, white space or other, so there is always a match at the place where the last
 * one ended. */
#include "lab/token/unicode.h"
#include "lab/token/vocab.h"

enum { LNS = TR_LETTER | TR_NUMBER | TR_SPACE, LONG_S = 0x17F };

struct cursor {
    const uint8_t *text;
    size_t at, end;
};

/* Classes of the character at `at` and where it ends; 0 classes and at itself when there is none. */
static inline int classes_at(const struct cursor *c, size_t at, size_t *next)
{
    *next = at;
    if (at >= c->end)
        return -1;
    int length;
    int32_t character = tr_utf8_next(c->text + at, c->text + c->end, &length);
    *next = at + (size_t)length;
    return tr_unicode_classes(character);
}

/* The end of the run of characters from `at` on whose classes, of those in `mask`, are `wanted`. */
static inline size_t run(const struct cursor *c, size_t at, int mask, int wanted)
{
    size_t next;
    while (at < c->end && (classes_at(c, at, &next) & mask) == wanted)
        at = next;
    return at;
}

/* The bytes of a contraction's letters behind the apostrophe at c->at, 0: none. */
static size_t contraction(const struct cursor *c, bool any_case)
{
    uint8_t lower[2] = {0, 0};
    for (size_t i = 0; i < 2 && c->at + 1 + i < c->end; i++) {
        uint8_t byte = c->text[c->at + 1 + i];
        lower[i] = any_case && byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte + 32) : byte;
    }
    if (lower[0] == 's' || lower[0] == 't' || lower[0] == 'm' || lower[0] == 'd')
        return 1;
    if ((lower[0] == 'r' && lower[1] == 'e') || (lower[0] == 'v' && lower[1] == 'e') ||
        (lower[0] == 'l' && lower[1] == 'l'))
        return 2;
    /* U+017F is an s to those who do not look at case. */
    return any_case && lower[0] == 0xC5 && lower[1] == 0xBF ? 2 : 0;
}

/* \s+(?!\S)|\s+ : a run of white space leaves its last character to what follows. */
static size_t white_space(const struct cursor *c)
{
    size_t at = c->at, last = c->at, next;
    while (at < c->end && (classes_at(c, at, &next) & TR_SPACE)) {
        last = at;
        at = next;
    }
    return at == c->end || last == c->at ? at : last;
}

static size_t gpt2_next(const struct cursor *c)
{
    if (c->text[c->at] == '\'') {
        size_t letters = contraction(c, false);
        if (letters)
            return c->at + 1 + letters;
    }
    size_t next, begin = c->at + (c->text[c->at] == ' ');
    int kind = classes_at(c, begin, &next);
    if (kind < 0 || (kind & TR_SPACE))
        return white_space(c);
    return run(c, next, LNS, kind & LNS);
}

static size_t line_ends(const struct cursor *c, size_t at)
{
    while (at < c->end && (c->text[at] == '\r' || c->text[at] == '\n'))
        at++;
    return at;
}

/* \s*[\r\n]+ : up to the last line end of the run, c->at when it has none. */
static size_t through_line_ends(const struct cursor *c)
{
    size_t at = c->at, last = c->at, next;
    while (at < c->end && (classes_at(c, at, &next) & TR_SPACE)) {
        if (c->text[at] == '\r' || c->text[at] == '\n')
            last = next;
        at = next;
    }
    return last;
}

static size_t llama_next(const struct cursor *c, int digits)
{
    uint8_t first = c->text[c->at];
    if (first == '\'') {
        size_t letters = contraction(c, true);
        if (letters)
            return c->at + 1 + letters;
    }
    size_t next, after;
    int kind = classes_at(c, c->at, &next);
    if (kind & TR_LETTER)
        return run(c, next, TR_LETTER, TR_LETTER);
    if (kind & TR_NUMBER) {
        while (--digits > 0 && (kind = classes_at(c, next, &after)) >= 0 && (kind & TR_NUMBER))
            next = after;
        return next;
    }
    int follows = classes_at(c, next, &after);
    if (first != '\r' && first != '\n' && follows >= 0 && (follows & TR_LETTER))
        return run(c, after, TR_LETTER, TR_LETTER);
    if (!(kind & TR_SPACE))
        return line_ends(c, run(c, next, LNS, 0));
    if (first == ' ' && follows >= 0 && !(follows & LNS))
        return line_ends(c, run(c, after, LNS, 0));
    size_t end = through_line_ends(c);
    return end > c->at ? end : white_space(c);
}

static size_t digits_next(const struct cursor *c, bool each)
{
    size_t next;
    int digit = classes_at(c, c->at, &next) & TR_DIGIT;
    return digit && each ? next : run(c, next, TR_DIGIT, digit);
}

/* How Hugging Face's files write them. */
#define LLAMA(digits)                                                                                                  \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}" digits                                         \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

const char *tr_split_expression(enum tr_split split)
{
    switch (split) {
    case TR_SPLIT_GPT2:
        return "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
    case TR_SPLIT_LLAMA3: return LLAMA("{1,3}");
    case TR_SPLIT_QWEN2: return LLAMA("");
    case TR_SPLIT_PREFIX_SPACE:
    case TR_SPLIT_DIGITS:
    case TR_SPLIT_DIGIT_RUNS: break;
    }
    return NULL;
}

size_t tr_split_next(enum tr_split split, const uint8_t *text, size_t at, size_t end)
{
    struct cursor c = {text, at, end};
    switch (split) {
    case TR_SPLIT_GPT2: return gpt2_next(&c);
    case TR_SPLIT_LLAMA3: return llama_next(&c, 3);
    case TR_SPLIT_QWEN2: return llama_next(&c, 1);
    case TR_SPLIT_DIGITS: return digits_next(&c, true);
    case TR_SPLIT_DIGIT_RUNS: return digits_next(&c, false);
    case TR_SPLIT_PREFIX_SPACE: break;
    }
    return end;
}
