/* The bf16 pair chain is what the instruction vdpbf16ps does.
 *
 * The emulation here shares nothing with reduce.h. A product of two bf16 (16-bit whole numbers times a power of two)
 * and its sum with an fp32 are made exactly in whole numbers (a term that lies too far below the other stands as a hint
 * of its sign) and rounded once to nearest even, with an exponent that has no lower end; what is then below 2^-126 is
 * zero of its sign, as is every subnormal that comes in. Of each pair the odd element goes first. It is compared with
 * tr_dp_bf16, with the reference of LINEAR, with this processor's fused multiply-add under flush-to-zero, and, where
 * there is one, with the instruction.
 */
#include "lib/opcase.h"

#include <fenv.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

__extension__ typedef unsigned __int128 u128;

/* ---- exact emulation --------------------------------------------------------------------------------------------- */

/* (-1)^negative * mantissa * 2^exponent, mantissa 0: zero. */
struct exact {
    bool negative;
    u128 mantissa;
    int exponent;
};

/* A finite fp32, subnormals as zero. */
static struct exact exact_of(float x)
{
    uint32_t bits = tr_f32_bits(x);
    int field = (int)(bits >> 23 & 0xff);
    if (field == 0)
        return (struct exact){bits >> 31, 0, 0};
    return (struct exact){bits >> 31, (bits & 0x7fffff) | 0x800000, field - 150};
}

static int bit_length(u128 x)
{
    uint64_t high = (uint64_t)(x >> 64), low = (uint64_t)x;
    return high != 0 ? 128 - __builtin_clzll(high) : low != 0 ? 64 - __builtin_clzll(low) : 0;
}

/* Moves the exponent down to `exponent`; what lies more than 100 bits above is too far away for that. */
static struct exact lowered(struct exact x, int exponent)
{
    TR_ASSERT(x.exponent - exponent >= 0 && bit_length(x.mantissa) + x.exponent - exponent <= 126);
    x.mantissa <<= x.exponent - exponent;
    x.exponent = exponent;
    return x;
}

/* A number too small beside `large` to be more than a hint that something is there: its sign, 2^-70 of large. */
static struct exact hint(struct exact small, struct exact large)
{
    bool tiny = bit_length(small.mantissa) + small.exponent < bit_length(large.mantissa) + large.exponent - 72;
    if (small.mantissa == 0 || large.mantissa == 0 || !tiny)
        return small;
    return (struct exact){small.negative, 1, bit_length(large.mantissa) + large.exponent - 72};
}

static struct exact sum_of(struct exact a, struct exact b)
{
    struct exact x = hint(a, b), y = hint(b, a);
    if (x.mantissa == 0 && y.mantissa == 0)
        return (struct exact){x.negative && y.negative, 0, 0}; /* -0 + -0 = -0 */
    if (x.mantissa == 0)
        return y;
    if (y.mantissa == 0)
        return x;
    int exponent = x.exponent < y.exponent ? x.exponent : y.exponent;
    x = lowered(x, exponent);
    y = lowered(y, exponent);
    if (x.negative == y.negative)
        return (struct exact){x.negative, x.mantissa + y.mantissa, exponent};
    if (x.mantissa == y.mantissa)
        return (struct exact){false, 0, 0}; /* an exact difference is +0 */
    return x.mantissa > y.mantissa ? (struct exact){x.negative, x.mantissa - y.mantissa, exponent}
                                   : (struct exact){y.negative, y.mantissa - x.mantissa, exponent};
}

/* To 24 bits, nearest even; then what is below 2^-126 is flushed, what is above the range is infinity. */
static float rounded(struct exact x)
{
    int extra = bit_length(x.mantissa) - 24;
    if (extra > 0) {
        u128 rest = x.mantissa & (((u128)1 << extra) - 1), half = (u128)1 << (extra - 1);
        x.mantissa >>= extra;
        x.exponent += extra;
        if (rest > half || (rest == half && (x.mantissa & 1)))
            x.mantissa++;
    }
    float zero = x.negative ? -0.0f : 0.0f;
    if (x.mantissa == 0 || bit_length(x.mantissa) + x.exponent <= -126)
        return zero;
    double value = ldexp((double)x.mantissa, x.exponent); /* exact: 24 bits, in the range of double */
    float result = value > 0x1.fffffep127 ? INFINITY : (float)value;
    return x.negative ? -result : result;
}

static float emulated_fma(float a, float b, float acc)
{
    struct exact x = exact_of(a), y = exact_of(b);
    struct exact product = {x.negative != y.negative, x.mantissa * y.mantissa, x.exponent + y.exponent};
    return rounded(sum_of(product, exact_of(acc)));
}

static float emulated_pair(float acc, const tr_bf16 a[2], const tr_bf16 b[2])
{
    acc = emulated_fma(tr_f32_from_bf16(a[1]), tr_f32_from_bf16(b[1]), acc);
    return emulated_fma(tr_f32_from_bf16(a[0]), tr_f32_from_bf16(b[0]), acc);
}

/* ---- operands ---------------------------------------------------------------------------------------------------- */

enum { PAIRS = 400000 };

struct pair {
    tr_bf16 a[2], b[2];
    float acc;
};

static bool is_finite_bits(uint32_t bits) { return (bits & 0x7f800000u) != 0x7f800000u; }

/* Any finite bf16; or one near the ends of the range of products, or an ordinary one. */
static tr_bf16 random_bf16(uint64_t bits)
{
    static const int base[4] = {127, 64, 1, 30}; /* exponent fields: ones, squares near 2^-126, smallest, small */
    int choice = (int)(bits >> 60) & 7;
    uint32_t low = (uint32_t)bits & 0xffff;
    if (choice < 4)
        low = (low & 0x807f) | (uint32_t)(base[choice] + (int)(bits >> 32 & 3)) << 7;
    return (tr_bf16)(is_finite_bits(low << 16) ? low : low & 0xbfff);
}

/* An accumulator: any, or close to minus the sum that is coming (cancellation), or around the least normal number. */
static float random_acc(uint64_t bits, const struct pair *pair)
{
    uint32_t any = (uint32_t)bits;
    float product = tr_f32_from_bf16(pair->a[1]) * tr_f32_from_bf16(pair->b[1]);
    switch (bits >> 62) {
    case 0:
        return tr_f32_from_bits(is_finite_bits(any) ? any : any & 0xbfffffffu);
    case 1:
        return isfinite(product) ? tr_f32_from_bits(tr_f32_bits(-product) ^ (any & 3)) : 0.0f;
    case 2:
        return tr_f32_from_bits((any & 0x80000000u) | (0x00800000u + (any & 7) - 3));
    default:
        return (float)tr_test_value(9, bits);
    }
}

static struct pair random_pair(uint64_t index)
{
    struct pair pair;
    for (int i = 0; i < 2; i++) {
        pair.a[i] = random_bf16(tr_test_bits((uint64_t)(100 + i), index));
        pair.b[i] = random_bf16(tr_test_bits((uint64_t)(102 + i), index));
    }
    pair.acc = random_acc(tr_test_bits(104, index), &pair);
    return pair;
}

typedef float pair_fn(float acc, const tr_bf16 a[2], const tr_bf16 b[2]);

static bool same_float(float a, float b) { return tr_f32_bits(a) == tr_f32_bits(b) || (isnan(a) && isnan(b)); }

/* Whether a sum overflowed on the way, after which the emulation in whole numbers has no more to say. */
static bool overflows(const struct pair *pair)
{
    float first = emulated_fma(tr_f32_from_bf16(pair->a[1]), tr_f32_from_bf16(pair->b[1]), pair->acc);
    return isinf(first);
}

static void compare_with_emulation(pair_fn *fn, const char *name)
{
    int failures = 0, flushed = 0, compared = 0;
    for (uint64_t i = 0; i < PAIRS; i++) {
        struct pair pair = random_pair(i);
        if (overflows(&pair))
            continue;
        float want = emulated_pair(pair.acc, pair.a, pair.b), got = fn(pair.acc, pair.a, pair.b);
        compared++;
        flushed += want == 0;
        if (same_float(got, want) || failures++ >= 8)
            continue;
        print_error("%s: %a + (%a * %a, %a * %a) is %a, must be %a\n", name, (double)pair.acc,
                    (double)tr_f32_from_bf16(pair.a[0]), (double)tr_f32_from_bf16(pair.b[0]),
                    (double)tr_f32_from_bf16(pair.a[1]), (double)tr_f32_from_bf16(pair.b[1]), (double)got,
                    (double)want);
    }
    print_message("%s: %d pairs, %d results are zero\n", name, compared, flushed);
    assert_true(compared > PAIRS / 2 && flushed > PAIRS / 1000);
    assert_int_equal(failures, 0);
}

/* ---- what is compared -------------------------------------------------------------------------------------------- */

static float contract_pair(float acc, const tr_bf16 a[2], const tr_bf16 b[2])
{
    return tr_dp_bf16(acc, a[0], a[1], b[0], b[1]);
}

static void the_contract_is_the_exact_emulation(void **state)
{
    (void)state;
    compare_with_emulation(contract_pair, "tr_dp_bf16");
}

/* The emulation itself, where no subnormal is near: fmaf of libm is correctly rounded. */
static void the_emulation_is_fma_where_nothing_is_flushed(void **state)
{
    (void)state;
    int compared = 0;
    for (uint64_t i = 0; i < PAIRS; i++) {
        struct pair pair = random_pair(i);
        float a = tr_f32_from_bf16(pair.a[0]), b = tr_f32_from_bf16(pair.b[0]);
        float want = fmaf(a, b, pair.acc);
        bool normal = isnormal(a) && isnormal(b) && isnormal(pair.acc) && fabsf(want) > 0x1p-125f && isfinite(want);
        if (!normal)
            continue;
        compared++;
        assert_true(same_float(emulated_fma(a, b, pair.acc), want));
    }
    assert_true(compared > PAIRS / 4);
}

#if defined(__x86_64__)
/* The processor's own fused multiply-add with flush-to-zero and denormals-are-zero: how a fast kernel without the
 * instruction would do it. */
__attribute__((target("fma"), noinline)) static float flushing_pair(float acc, const tr_bf16 a[2], const tr_bf16 b[2])
{
    unsigned saved = _mm_getcsr();
    __m128 x = _mm_set_ss(acc);
    __m128 a0 = _mm_set_ss(tr_f32_from_bf16(a[0])), b0 = _mm_set_ss(tr_f32_from_bf16(b[0]));
    __m128 a1 = _mm_set_ss(tr_f32_from_bf16(a[1])), b1 = _mm_set_ss(tr_f32_from_bf16(b[1]));
    _mm_setcsr(saved | 0x8040u);
    __asm__ volatile("vfmadd231ss %2, %1, %0" : "+x"(x) : "x"(a1), "x"(b1));
    __asm__ volatile("vfmadd231ss %2, %1, %0" : "+x"(x) : "x"(a0), "x"(b0));
    _mm_setcsr(saved);
    return _mm_cvtss_f32(x);
}

static void fused_multiply_add_that_flushes_is_the_exact_emulation(void **state)
{
    (void)state;
    if (!__builtin_cpu_supports("fma")) {
        print_message("NOT CHECKED: this processor has no fused multiply-add\n");
        skip();
    }
    compare_with_emulation(flushing_pair, "fma under FTZ and DAZ");
}

__attribute__((target("avx512f,avx512vl,avx512bf16"), noinline)) static float instruction_pair(float acc,
                                                                                               const tr_bf16 a[2],
                                                                                               const tr_bf16 b[2])
{
    uint32_t a_bits = (uint32_t)a[1] << 16 | a[0], b_bits = (uint32_t)b[1] << 16 | b[0];
    __m128 x = _mm_set_ss(acc);
    __m128i u = _mm_cvtsi32_si128((int)a_bits), v = _mm_cvtsi32_si128((int)b_bits);
    __asm__ volatile("vdpbf16ps %2, %1, %0" : "+v"(x) : "v"(u), "v"(v));
    return _mm_cvtss_f32(x);
}

static void the_instruction_is_the_exact_emulation(void **state)
{
    (void)state;
    if (!__builtin_cpu_supports("avx512bf16") || !__builtin_cpu_supports("avx512vl")) {
        print_message("NOT CHECKED: this processor has no vdpbf16ps\n");
        skip();
    }
    compare_with_emulation(instruction_pair, "vdpbf16ps");
}
#endif

/* ---- the reference of LINEAR ------------------------------------------------------------------------------------- */

static tr_bf16 bf16_at(const struct tr_opdata *data, int i, int64_t index)
{
    return ((const tr_bf16 *)data->operand[i].data)[index];
}

/* Chains of pairs over each part of `in`, an odd end padded with zero; the tree of at most 2 parts; bias, residual. */
static float emulated_linear(const struct tr_opdata *data, int segment, int64_t t, int64_t o)
{
    const struct tr_op *op = &data->test->op;
    float sum = 0.0f;
    for (int p = 0; p < op->part.parts; p++) {
        bool row_parallel = op->flags & TR_OP_ROW_PARALLEL;
        int64_t first = row_parallel ? tr_cut(op->in, op->quantum[0], op->part.parts, p) : 0;
        int64_t last = row_parallel ? tr_cut(op->in, op->quantum[0], op->part.parts, p + 1) : op->in;
        float acc = 0.0f;
        for (int64_t k = first; k < last; k += 2) {
            tr_bf16 x[2] = {bf16_at(data, TR_LINEAR_X, t * op->in + k), 0};
            tr_bf16 w[2] = {bf16_at(data, TR_LINEAR_W + segment, o * op->in + k), 0};
            if (k + 1 < last) {
                x[1] = bf16_at(data, TR_LINEAR_X, t * op->in + k + 1);
                w[1] = bf16_at(data, TR_LINEAR_W + segment, o * op->in + k + 1);
            }
            acc = emulated_pair(acc, x, w);
        }
        sum = p == 0 ? acc : sum + acc;
        if (!row_parallel)
            break;
    }
    if (data->operand[TR_LINEAR_B + segment].data != NULL)
        sum = sum + tr_f32_from_bf16(bf16_at(data, TR_LINEAR_B + segment, o));
    if (data->operand[TR_LINEAR_RESIDUAL].data != NULL)
        sum = tr_f32_from_bf16(bf16_at(data, TR_LINEAR_RESIDUAL, t * op->out[0] + o)) + sum;
    return sum;
}

/* Nearest even, by arithmetic: the closer of the two bf16 around x. */
static tr_bf16 nearest_bf16(float x)
{
    uint32_t bits = tr_f32_bits(x), down = bits & 0xffff0000u, up = down + 0x10000u;
    if (down == bits)
        return (tr_bf16)(bits >> 16);
    double below = fabs((double)x - (double)tr_f32_from_bits(down)),
           above = fabs((double)tr_f32_from_bits(up) - (double)x);
    bool take_up = above < below || (above == below && (down >> 16 & 1));
    return (tr_bf16)((take_up ? up : down) >> 16);
}

static void linear_is_chains_of_pairs(void **state)
{
    (void)state;
    const struct tr_opcase *cases;
    int count = tr_opcases(TR_OP_LINEAR, &cases), compared = 0;
    for (int i = 0; i < count; i++) {
        const struct tr_op *op = &cases[i].op;
        struct tr_opdata data;
        /* Logits in fp32 (TR_OP_Y_F32) are the same sums before they are rounded. */
        if (op->act != TR_BF16 || op->flags & TR_OP_Y_F32 || op->part.parts > 2 || tr_opcase_cost(&cases[i]) > 40000)
            continue;
        tr_opdata_make(&data, &cases[i], 0);
        tr_opdata_run(&data, tr_kernel_set(TR_ISA_REF), 1);
        for (int s = 0; s < op->segments; s++) {
            for (int64_t k = 0; k < op->seqs * op->seq_len * op->out[s]; k++, compared++) {
                float y = emulated_linear(&data, s, k / op->out[s], k % op->out[s]);
                tr_bf16 want = nearest_bf16(y), got = bf16_at(&data, TR_LINEAR_Y + s, k);
                char name[TR_OPCASE_NAME_BYTES];
                if (got != want)
                    fail_msg("y[%lld] is %04x, must be %04x, in %s", (long long)k, got, want,
                             tr_opcase_name(&cases[i], name));
            }
        }
        tr_opdata_free(&data);
    }
    assert_true(compared > 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_emulation_is_fma_where_nothing_is_flushed),
        cmocka_unit_test(the_contract_is_the_exact_emulation),
#if defined(__x86_64__)
        cmocka_unit_test(fused_multiply_add_that_flushes_is_the_exact_emulation),
        cmocka_unit_test(the_instruction_is_the_exact_emulation),
#endif
        cmocka_unit_test(linear_is_chains_of_pairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
