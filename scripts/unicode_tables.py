#!/usr/bin/env python3
"""Writes src/lab/token/unicode_tables.c: what the tokenizer has to know of Unicode, as Hugging Face's tokenizers knows it.

    scripts/unicode_tables.py >src/lab/token/unicode_tables.c

Needs Unicode 16.0: the unicodedata of Python 3.14, or the package unicodedata2 16.0.0. Hugging Face's tokenizers 0.23
joins three versions, which was measured over every scalar value (scripts/peers/token_golden.py asks again):

    regular expressions (Oniguruma)   Unicode 16.0    classes L, N, white space
    Digits (Rust's char::is_numeric)  Unicode 17.0    16.0 and the 13 digits of DIGITS_17
    NFC (unicode-normalization)       Unicode 9.0     16.0 without the marks and compositions that came later

Text that both versions of a rule know is treated alike, by the stability policies of Unicode.
"""
import sys
import unicodedata

if unicodedata.unidata_version != "16.0.0":
    try:
        import unicodedata2 as unicodedata
    except ImportError:
        pass
if unicodedata.unidata_version != "16.0.0":
    sys.exit(f"Unicode 16.0.0 is needed, and this Python has {unicodedata.unidata_version}: install unicodedata2==16.0.0")

BLOCK = 128
LETTER, NUMBER, SPACE, WORD, DIGIT, NFC = 1, 2, 4, 8, 16, 32
SPACES = [*range(0x9, 0xE), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000]
DIGITS_17 = [*range(0x11DE0, 0x11DEA), *range(0x16FF4, 0x16FF7)]
# \w is Alphabetic, marks, decimal digits, connectors and joiners; circled letters are alphabetic without being letters.
WORD_OTHER = [0x200C, 0x200D, *range(0x24B6, 0x24EA), *range(0x1F130, 0x1F14A), *range(0x1F150, 0x1F16A),
              *range(0x1F170, 0x1F18A)]
# Marks with a combining class that came after Unicode 9.0.
MARKS_AFTER_9 = [
    (0x7FD, 0x7FD), (0x897, 0x89F), (0x8CA, 0x8D3), (0x9FE, 0x9FE), (0xC3C, 0xC3C), (0xD3B, 0xD3C), (0xEBA, 0xEBA),
    (0x1715, 0x1715), (0x1ABF, 0x1ACE), (0x1DF6, 0x1DFA), (0xA82C, 0xA82C), (0x10D24, 0x10D27), (0x10D69, 0x10D6D),
    (0x10EAB, 0x10EAC), (0x10EFD, 0x10EFF), (0x10F46, 0x10F50), (0x10F82, 0x10F85), (0x11070, 0x11070),
    (0x1133B, 0x1133B), (0x113CE, 0x113D0), (0x1145E, 0x1145E), (0x11839, 0x1183A), (0x1193D, 0x1193E),
    (0x11943, 0x11943), (0x119E0, 0x119E0), (0x11A34, 0x11A34), (0x11A47, 0x11A47), (0x11A99, 0x11A99),
    (0x11D42, 0x11D42), (0x11D44, 0x11D45), (0x11D97, 0x11D97), (0x11F41, 0x11F42), (0x1612F, 0x1612F),
    (0x16FF0, 0x16FF1), (0x1E08F, 0x1E08F), (0x1E130, 0x1E136), (0x1E2AE, 0x1E2AE), (0x1E2EC, 0x1E2EF),
    (0x1E4EC, 0x1E4EF), (0x1E5EE, 0x1E5EF)]
COMPOSED_AFTER_9 = [0x105C9, 0x105E4, 0x11383, 0x11385, 0x1138E, 0x11391, 0x113C5, 0x113C7, 0x113C8, 0x11938,
                    *range(0x16121, 0x16129), *range(0x16D68, 0x16D6B)]
HANGUL_FIRST, HANGUL_END = 0xAC00, 0xD7A4

late_marks = {c for first, last in MARKS_AFTER_9 for c in range(first, last + 1)}
scalars = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
combining = {c: unicodedata.combining(chr(c)) for c in scalars if unicodedata.combining(chr(c)) and c not in late_marks}


def canonical(c):
    """The canonical decomposition of one step, as a list; empty: none. Hangul is computed."""
    text = unicodedata.decomposition(chr(c))
    if not text or text.startswith("<") or c in COMPOSED_AFTER_9 or HANGUL_FIRST <= c < HANGUL_END:
        return []
    return [int(part, 16) for part in text.split()]


decomposed = {c: canonical(c) for c in scalars if canonical(c)}
composed = sorted((c for c, parts in decomposed.items() if len(parts) == 2 and
                   unicodedata.normalize("NFC", "".join(map(chr, parts))) == chr(c)), key=lambda c: decomposed[c])
seconds = {decomposed[c][1] for c in composed} | set(range(0x1161, 0x1176)) | set(range(0x11A8, 0x11C3))


def classes(c):
    category = unicodedata.category(chr(c))
    bits = LETTER * (category[0] == "L") | NUMBER * (category[0] == "N") | SPACE * (c in SPACES)
    bits |= DIGIT * (category[0] == "N" or c in DIGITS_17)
    bits |= WORD * (category[0] in "LM" or category in ("Nd", "Nl", "Pc") or c in WORD_OTHER)
    # What NFC may change, alone or behind another character.
    bits |= NFC * (c in combining or c in seconds or (c in decomposed and c not in set_composed))
    return bits


set_composed = set(composed)
table = [0] * 0x110000
for scalar in scalars:
    table[scalar] = classes(scalar)
blocks, index = [], []
for first in range(0, 0x110000, BLOCK):
    block = tuple(table[first:first + BLOCK])
    if block not in blocks:
        blocks.append(block)
    index.append(blocks.index(block))
assert len(blocks) <= 256


def rows(items, width=118):
    line = "   "
    for item in items:
        if len(line) + 1 + len(item) + 1 > width:
            print(line)
            line = "   "
        line += f" {item},"
    print(line)


print("/* Written by scripts/unicode_tables.py; what it holds is told there and in unicode.h. */")
print('#include "lab/token/unicode.h"\n')
print(f"const uint8_t tr_unicode_index[{len(index)}] = {{")
rows([str(i) for i in index])
print("};\n")
print(f"const uint8_t tr_unicode_block[][{BLOCK}] = {{")
for block in blocks:
    print("    {")
    rows([str(b) for b in block])
    print("    },")
print("};\n")
ranges = []
for c, value in sorted(combining.items()):
    if ranges and ranges[-1][1] == c - 1 and ranges[-1][2] == value:
        ranges[-1][1] = c
    else:
        ranges.append([c, c, value])
print(f"const int32_t tr_unicode_combining_count = {len(ranges)};")
print("const struct tr_unicode_range tr_unicode_combining[] = {")
rows([f"{{0x{a:x}, 0x{b:x}, {v}}}" for a, b, v in ranges])
print("};\n")
print(f"const int32_t tr_unicode_decomposed_count = {len(decomposed)};")
print("const struct tr_unicode_pair tr_unicode_decomposed[] = {")
rows([f"{{0x{c:x}, 0x{p[0]:x}, 0x{p[1] if len(p) > 1 else 0:x}}}" for c, p in sorted(decomposed.items())])
print("};\n")
print(f"const int32_t tr_unicode_composed_count = {len(composed)};")
print("const struct tr_unicode_pair tr_unicode_composed[] = {")
rows([f"{{0x{c:x}, 0x{decomposed[c][0]:x}, 0x{decomposed[c][1]:x}}}" for c in composed])
print("};")
