#include "base/fmath.h"

#include "base/err.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

/* Only operations that IEEE 754 rounds correctly, in the order written. <math.h> is here for NAN and INFINITY. */

static uint64_t bits_of(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static double double_of(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Nearest whole number, ties to even, for |x| < 2^51: adding 1.5 * 2^52 leaves no bits behind the point. */
static double nearest_whole(double x)
{
    const double shift = 0x1.8p52;
    return (x + shift) - shift;
}

/* 2^k for -1022 <= k <= 1023. */
static double power_of_two(int k)
{
    return double_of((uint64_t)(k + 1023) << 52);
}

/* --- pairs: a number as hi + lo, about 106 bits --- */

struct pair {
    double hi, lo;
};

/* Exact for any a, b. */
static struct pair sum_exact(double a, double b)
{
    double sum = a + b;
    double b_part = sum - a;
    return (struct pair){sum, (a - (sum - b_part)) + (b - b_part)};
}

/* Exact for |a|, |b| < 2^995 and products that do not underflow. Without fma: each factor is cut into halves of at
 * most 26 bits, whose products have no rounding. */
static struct pair product_exact(double a, double b)
{
    const double cut = 0x1p27 + 1;
    double a_cut = a * cut, b_cut = b * cut;
    double a_hi = a_cut - (a_cut - a), b_hi = b_cut - (b_cut - b);
    double a_lo = a - a_hi, b_lo = b - b_hi;
    double product = a * b;
    double rest = a_lo * b_lo - (((product - a_hi * b_hi) - a_lo * b_hi) - a_hi * b_lo);
    return (struct pair){product, rest};
}

static struct pair pair_add(struct pair a, struct pair b)
{
    struct pair sum = sum_exact(a.hi, b.hi);
    return sum_exact(sum.hi, sum.lo + (a.lo + b.lo));
}

static struct pair pair_mul(struct pair a, struct pair b)
{
    struct pair product = product_exact(a.hi, b.hi);
    return sum_exact(product.hi, product.lo + (a.hi * b.lo + a.lo * b.hi));
}

/* --- exp --- */

static const double LN2_HI = 0x1.62e42feep-1;          /* 32 bits: times any exponent is exact */
static const double LN2_LO = 0x1.a39ef35793c76p-33;    /* ln 2 - LN2_HI */
static const double LN2_MID = 0x1.a39ef356p-33;        /* LN2_LO again, as 32 bits ... */
static const double LN2_LEAST = 0x1.93c7673007e5fp-65; /* ... and the rest */

/* e^(x + x_lo), |x_lo| far below |x|. x = k ln2 + r with |r| <= ln2 / 2, e^r = 1 + r + r^2 (1/2 + r/6 + ...): the
 * series up to r^13 leaves 4e-18. */
static double exp_pair(double x, double x_lo)
{
    if (x > 709.79)
        return INFINITY;
    if (x < -745.14)
        return 0;
    double k = nearest_whole(x * 0x1.71547652b82fep+0);
    double above = x - k * LN2_HI; /* exact */
    struct pair rest = sum_exact(above, x_lo - k * LN2_LO);
    double r = rest.hi, r_lo = rest.lo;
    double p = 1.0 / 6227020800.0;
    p = p * r + 1.0 / 479001600.0;
    p = p * r + 1.0 / 39916800.0;
    p = p * r + 1.0 / 3628800.0;
    p = p * r + 1.0 / 362880.0;
    p = p * r + 1.0 / 40320.0;
    p = p * r + 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    double y = 1 + (r + (p * r * r + (r_lo + r_lo * r)));
    /* In two steps: 2^k alone may lie outside the range of double where the result does not. */
    int first = (int)k / 2;
    return y * power_of_two(first) * power_of_two((int)k - first);
}

double tr_exp(double x)
{
    return x == x ? exp_pair(x, 0) : x;
}

/* --- log --- */

/* x = 2^exponent * (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)). x is positive and finite. */
static double split_power(double x, int *exponent)
{
    int e = 0;
    if (x < 0x1p-1022) {
        x *= 0x1p54;
        e = -54;
    }
    uint64_t bits = bits_of(x);
    e += (int)(bits >> 52) - 1023;
    double m = double_of((bits & 0xfffffffffffffu) | 0x3ff0000000000000u);
    if (m >= 0x1.6a09e667f3bcdp+0) {
        m *= 0.5;
        e++;
    }
    *exponent = e;
    return m - 1; /* exact */
}

/* With z = s^2 <= 0.0295: (2 atanh(s) - 2s) / s = 2/3 z + z^2 (2/5 + 2/7 z + ...). This is the bracket; what is left
 * out is below 1e-18 of the logarithm. */
static double atanh_series(double z)
{
    double p = 2.0 / 23;
    p = p * z + 2.0 / 21;
    p = p * z + 2.0 / 19;
    p = p * z + 2.0 / 17;
    p = p * z + 2.0 / 15;
    p = p * z + 2.0 / 13;
    p = p * z + 2.0 / 11;
    p = p * z + 2.0 / 9;
    p = p * z + 2.0 / 7;
    return p * z + 2.0 / 5;
}

double tr_log(double x)
{
    if (!(x > 0))
        return x == 0 ? -INFINITY : NAN;
    if (x == INFINITY)
        return x;
    int exponent;
    double f = split_power(x, &exponent);
    /* log(1 + f) = 2 atanh(s) with s = f / (2 + f); because 2s = f - s f, that is f - s (f - R), where f has no
     * rounding error and the rest is small against it. */
    double s = f / (2 + f);
    double z = s * s;
    double r = z * (2.0 / 3 + z * atanh_series(z));
    struct pair sum = sum_exact(exponent * LN2_HI, f);
    return sum.hi + (sum.lo - (s * (f - r) - exponent * LN2_LO));
}

/* log x to about 68 bits, for pow: its error is multiplied by up to 745. */
static struct pair log_pair(double x)
{
    int exponent;
    double f = split_power(x, &exponent);
    if (f == 0 && exponent == 0)
        return (struct pair){0, 0};
    struct pair base = sum_exact(2, f);
    double s_hi = f / base.hi;
    struct pair back = product_exact(s_hi, base.hi);
    double s_lo = (((f - back.hi) - back.lo) - s_hi * base.lo) / base.hi;
    struct pair s = sum_exact(s_hi, s_lo);
    struct pair z = pair_mul(s, s);
    /* 2 + 2/3 z exactly enough as pairs; from z^2 on double suffices. */
    const struct pair two_thirds = {0x1.5555555555555p-1, 0x1.5555555555555p-55};
    struct pair series = pair_mul(z, two_thirds);
    series = pair_add(series, (struct pair){z.hi * z.hi * atanh_series(z.hi), 0});
    series = pair_add((struct pair){2, 0}, series);
    struct pair log_m = pair_mul(s, series);
    struct pair power = pair_add((struct pair){exponent * LN2_HI, exponent * LN2_MID},
                                 (struct pair){exponent * LN2_LEAST, 0});
    return pair_add(power, log_m);
}

double tr_pow(double x, double y)
{
    if (y == 0)
        return 1;
    if (!(x >= 0) || y != y)
        return NAN;
    if (x == 1)
        return 1;
    if (x == 0)
        return y > 0 ? 0 : INFINITY;
    if (x == INFINITY)
        return y > 0 ? INFINITY : 0;
    struct pair log_x = log_pair(x);
    double estimate = y * log_x.hi;
    if (!(estimate < 750))
        return INFINITY;
    if (!(estimate > -750))
        return 0;
    struct pair product = product_exact(y, log_x.hi);
    struct pair power = sum_exact(product.hi, product.lo + y * log_x.lo);
    return exp_pair(power.hi, power.lo);
}

/* --- sin and cos --- */

/* pi/2 as parts of 24 bits, so that k < 2^29 times a part is exact, and a last one that is rounded. */
static const double HALF_PI[5] = {
    0x1.921fb4p+0, 0x1.4442dp-24, 0x1.846988p-48, 0x1.8cc516p-72, 0x1.01b839a25204ap-96,
};

static const double REDUCE_MAX = 0x1p29;

/* x = k pi/2 + r, |r| <= pi/4 and a little; returns k mod 4. The first two subtractions are exact (neighbours cancel),
 * the third keeps its rounding error. */
static int reduce(double x, struct pair *r)
{
    double k = nearest_whole(x * 0x1.45f306dc9c883p-1);
    double rest = (x - k * HALF_PI[0]) - k * HALF_PI[1];
    struct pair part = sum_exact(rest, -(k * HALF_PI[2]));
    part.lo = (part.lo - k * HALF_PI[3]) - k * HALF_PI[4];
    *r = sum_exact(part.hi, part.lo);
    return (int)((int64_t)k & 3);
}

/* Taylor series on |r| <= pi/4: what is left out is below 1e-19 of the result. */
static double sin_series(struct pair r)
{
    double x = r.hi, z = x * x;
    double p = 1.0 / 355687428096000.0;
    p = p * z - 1.0 / 1307674368000.0;
    p = p * z + 1.0 / 6227020800.0;
    p = p * z - 1.0 / 39916800.0;
    p = p * z + 1.0 / 362880.0;
    p = p * z - 1.0 / 5040.0;
    p = p * z + 1.0 / 120.0;
    p = p * z - 1.0 / 6.0;
    return x + (x * z * p + (r.lo - r.lo * z * 0.5));
}

static double cos_series(struct pair r)
{
    double x = r.hi, z = x * x;
    double p = -1.0 / 6402373705728000.0;
    p = p * z + 1.0 / 20922789888000.0;
    p = p * z - 1.0 / 87178291200.0;
    p = p * z + 1.0 / 479001600.0;
    p = p * z - 1.0 / 3628800.0;
    p = p * z + 1.0 / 40320.0;
    p = p * z - 1.0 / 720.0;
    p = p * z + 1.0 / 24.0;
    double half = 0.5 * z;
    double most = 1 - half;
    return most + (((1 - most) - half) + (z * z * p - x * r.lo));
}

void tr_sincos(double x, double *sin_out, double *cos_out)
{
    if (!(x <= REDUCE_MAX && x >= -REDUCE_MAX)) {
        *sin_out = *cos_out = NAN;
        return;
    }
    if (x < 0x1p-27 && x > -0x1p-27) { /* also keeps the sign of zero */
        *sin_out = x;
        *cos_out = 1;
        return;
    }
    struct pair r;
    int quarter = reduce(x, &r);
    double s = sin_series(r), c = cos_series(r);
    *sin_out = quarter == 0 ? s : quarter == 1 ? c : quarter == 2 ? -s : -c;
    *cos_out = quarter == 0 ? c : quarter == 1 ? -s : quarter == 2 ? -c : s;
}

double tr_sin(double x)
{
    double s, c;
    tr_sincos(x, &s, &c);
    return s;
}

double tr_cos(double x)
{
    double s, c;
    tr_sincos(x, &s, &c);
    return c;
}
