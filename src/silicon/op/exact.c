#include "silicon/op/exact.h"

#include "base/err.h"
#include "silicon/op/dtype.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum {
    LIMB_COUNT = 22,        /* 32-bit limbs: 2 * 254 + 128 bits and a sign fit in 704 */
    SQUARES_BLOCK = 1 << 15 /* squares (< 2^48) added to a 64-bit bin before it is emptied */
};

void tr_exact_clear(struct tr_exact *sum, enum tr_exact_kind kind)
{
    memset(sum, 0, sizeof *sum);
    sum->kind = kind;
}

/* The exponent field (subnormals share the unit of exponent 1) and the whole mantissa of a finite number. */
static inline int exponent_of(uint32_t bits)
{
    int field = (int)((bits >> 23) & 255u);
    return field == 0 ? 1 : field;
}

static inline uint64_t mantissa_of(uint32_t bits)
{
    uint32_t hidden = (bits & 0x7f800000u) != 0 ? 0x00800000u : 0u;
    return (bits & 0x007fffffu) | hidden;
}

static void add_values(struct tr_exact *sum, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits = tr_f32_bits(x[i]);
        int exponent = exponent_of(bits);
        if (exponent == 255) {
            sum->nonfinite++;
            continue;
        }
        tr_i128 mantissa = (tr_i128)mantissa_of(bits);
        sum->bin[exponent] += (bits >> 31) != 0 ? -mantissa : mantissa;
    }
}

static void add_square_block(struct tr_exact *sum, const float *x, int64_t n)
{
    uint64_t bin[256] = {0};
    int64_t nonfinite = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits = tr_f32_bits(x[i]);
        int exponent = exponent_of(bits);
        uint64_t mantissa = mantissa_of(bits);
        nonfinite += exponent == 255;
        bin[exponent] += mantissa * mantissa;
    }
    sum->nonfinite += nonfinite;
    for (int e = 1; e < 255; e++)
        sum->bin[e] += (tr_i128)bin[e];
}

void tr_exact_add(struct tr_exact *sum, const float *x, int64_t n)
{
    if (sum->kind == TR_EXACT_VALUES) {
        add_values(sum, x, n);
        return;
    }
    for (int64_t i = 0; i < n; i += SQUARES_BLOCK)
        add_square_block(sum, x + i, n - i < SQUARES_BLOCK ? n - i : SQUARES_BLOCK);
}

void tr_exact_merge(struct tr_exact *sum, const struct tr_exact *part)
{
    TR_ASSERT(sum->kind == part->kind);
    sum->nonfinite += part->nonfinite;
    for (int e = 0; e < 256; e++)
        sum->bin[e] += part->bin[e];
}

/* limb += value * 2^shift; limbs are base 2^32 digits that may be negative until they are carried. */
static void add_shifted(int64_t limb[LIMB_COUNT], tr_i128 value, int shift)
{
    bool negative = value < 0;
    __extension__ unsigned __int128 rest = negative ? -(unsigned __int128)value : (unsigned __int128)value;
    int at = shift / 32;
    int bit = shift % 32;
    uint64_t carry = 0;
    for (; rest != 0 || carry != 0; at++, rest >>= 32) {
        TR_ASSERT(at < LIMB_COUNT);
        uint64_t digit = ((uint64_t)(uint32_t)rest << bit) + carry;
        limb[at] += negative ? -(int64_t)(uint32_t)digit : (int64_t)(uint32_t)digit;
        carry = digit >> 32;
    }
}

/* Carries so that limbs 0..LIMB_COUNT-2 are in [0, 2^32); the last keeps the sign. */
static void carry_limbs(int64_t limb[LIMB_COUNT])
{
    for (int i = 0; i + 1 < LIMB_COUNT; i++) {
        int64_t carry = limb[i] >> 32;
        limb[i] -= carry * (INT64_C(1) << 32);
        limb[i + 1] += carry;
    }
}

static bool make_positive(int64_t limb[LIMB_COUNT])
{
    carry_limbs(limb);
    if (limb[LIMB_COUNT - 1] >= 0)
        return false;
    for (int i = 0; i < LIMB_COUNT; i++)
        limb[i] = -limb[i];
    carry_limbs(limb);
    return true;
}

static int bit_at(const int64_t limb[LIMB_COUNT], int bit)
{
    return bit < 0 ? 0 : (int)((limb[bit / 32] >> (bit % 32)) & 1);
}

static int highest_bit(const int64_t limb[LIMB_COUNT])
{
    for (int i = LIMB_COUNT - 1; i >= 0; i--)
        if (limb[i] != 0)
            return i * 32 + 63 - __builtin_clzll((unsigned long long)limb[i]);
    return -1;
}

/* The whole number in the limbs times 2^unit, rounded to nearest even. */
static double round_limbs(const int64_t limb[LIMB_COUNT], int unit)
{
    int top = highest_bit(limb);
    if (top < 0)
        return 0.0;
    uint64_t mantissa = 0;
    int last = top - 52;
    for (int bit = top; bit >= last; bit--)
        mantissa = mantissa * 2 + (uint64_t)bit_at(limb, bit);
    bool half = last > 0 && bit_at(limb, last - 1) != 0;
    bool beyond = false;
    for (int bit = last - 2; bit >= 0 && !beyond; bit--)
        beyond = bit_at(limb, bit) != 0;
    if (half && (beyond || (mantissa & 1) != 0))
        mantissa++;
    return ldexp((double)mantissa, last + unit);
}

double tr_exact_value(const struct tr_exact *sum)
{
    if (sum->nonfinite > 0)
        return (double)NAN;
    int64_t limb[LIMB_COUNT] = {0};
    int scale = sum->kind == TR_EXACT_SQUARES ? 2 : 1;
    for (int e = 1; e < 255; e++) {
        if (sum->bin[e] != 0)
            add_shifted(limb, sum->bin[e], scale * e);
        if (e % 16 == 0)
            carry_limbs(limb);
    }
    bool negative = make_positive(limb);
    double value = round_limbs(limb, sum->kind == TR_EXACT_SQUARES ? -300 : -150);
    return negative ? -value : value;
}
