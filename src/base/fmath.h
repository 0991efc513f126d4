/* Elementary functions in double, the same bits on every machine, compiler and C library.
 *
 * libm's exp, log, sin, cos and pow differ in the last bit between versions and between CPUs (they dispatch on FMA),
 * so nothing that reaches a weight may call them. These use only + - * / and bit operations, in the order written
 * (the build forbids contraction), and no tables. They serve schedules, RoPE tables and initialisation; the fp32
 * functions inside kernels (exp, tanh, erf of whole tensors) belong to silicon/kernel.
 *
 * Largest error seen against long double libm over millions of points (the test holds these bounds):
 *     tr_exp   1 ULP          tr_log   1 ULP          tr_pow   1 ULP (2 where the result is subnormal)
 *     tr_sin, tr_cos          1 ULP for |x| <= 2^29, also near multiples of pi/2; NaN beyond 2^29
 * sqrt is correctly rounded by IEEE 754: use sqrt() itself. */
#ifndef TR_BASE_FMATH_H
#define TR_BASE_FMATH_H

double tr_exp(double x);             /* 0 below -745.2, infinity above 709.8 */
double tr_log(double x);             /* -infinity at 0, NaN below */
double tr_pow(double x, double y);   /* x > 0, else NaN; except that x = 0 gives 0 for y > 0, and y = 0 gives 1 */
double tr_sin(double x);
double tr_cos(double x);
void tr_sincos(double x, double *sin_out, double *cos_out); /* both for the price of one reduction */

#endif
