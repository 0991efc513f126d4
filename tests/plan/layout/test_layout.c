#include "plan/layout/layout.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct tr_model_shape dense = {.name = "dense", .layers = 24, .width = 2048, .heads = 16, .kv_heads = 8,
                                            .head_dim = 128, .value_dim = 128, .ffn = 8192, .vocab = 50257,
                                            .positions = 4096, .gated = true, .rope = true};
static const struct tr_model_shape experts = {.name = "experts", .layers = 24, .width = 2048, .heads = 16, .kv_heads = 16,
                                              .head_dim = 128, .value_dim = 128, .vocab = 50257, .positions = 4096,
                                              .experts = 64, .top_k = 4, .expert_ffn = 1408, .moe_every = 1,
                                              .gated = true, .rope = true};
static const struct tr_batch batch = {.seq_len = 2048, .global_batch = 64};

static void a_legal_layout_is_accepted(void **state)
{
    struct tr_err err = {""};
    struct tr_layout l = tr_layout_single();
    (void)state;
    assert_int_equal(tr_layout_check(&l, &dense, &batch, &err), TR_OK);
    l.dp = 4, l.tp = 8, l.pp = 2, l.cp = 2, l.sp = true, l.zero = 1, l.vpp = 3, l.pipeline = TR_PIPELINE_INTERLEAVED;
    assert_int_equal(tr_layout_check(&l, &dense, &batch, &err), TR_OK);
    l = tr_layout_single(), l.dp = 8, l.ep = 8;
    assert_int_equal(tr_layout_check(&l, &experts, &batch, &err), TR_OK);
}

static void each_broken_rule_says_what_would_be_right(void **state)
{
    const struct tr_layout one = tr_layout_single();
    struct {
        struct tr_layout layout;
        const struct tr_model_shape *model;
        const char *words;
    } cases[16];
    int n = 0;
    (void)state;
#define CASE(model_, words_, ...)                                                                                      \
    do {                                                                                                               \
        struct tr_layout l = one;                                                                                      \
        __VA_ARGS__;                                                                                                   \
        cases[n].layout = l, cases[n].model = model_, cases[n].words = words_;                                         \
        n++;                                                                                                           \
    } while (0)
    CASE(&dense, "tp 3 does not divide the 16 heads; 2 or 4 would", l.tp = 3);
    CASE(&dense, "pp must be from 1", l.pp = 0);
    CASE(&dense, "zero must be 0", l.zero = 4);
    CASE(&dense, "dp 3 does not divide the 64 sequences of the global batch; 2 or 4 would", l.dp = 3);
    CASE(&dense, "micro_batch 7 does not divide the 64 sequences of a replica; 4 or 8 would", l.micro_batch = 7);
    CASE(&dense, "more than the 24 layers of dense", l.pp = 32);
    CASE(&dense, "interleaved schedule", l.pp = 4, l.vpp = 2);
    CASE(&dense, "dense has no experts", l.dp = 2, l.ep = 2);
    CASE(&experts, "ep 3 does not divide the 64 experts; 2 or 4 would", l.dp = 3, l.ep = 3);
    CASE(&experts, "ep x etp 8 does not divide the 2 ranks", l.dp = 2, l.ep = 8);
    CASE(&dense, "sp", l.sp = true);
    CASE(&dense, "shard 3 does not divide the 4 ranks of dp x cp; 2 or 4 would", l.dp = 4, l.zero = 3, l.shard = 3);
    CASE(&dense, "shard 2 needs zero", l.dp = 4, l.shard = 2);
    CASE(&dense, "parts of cp 3", l.cp = 3);
    CASE(&dense, "are not the 24 layers", l.pp = 2, l.first_layers = 3, l.last_layers = 4);
    CASE(&dense, "more than 1048576 chips", l.dp = 1 << 19, l.tp = 16);
#undef CASE
    for (int i = 0; i < n; i++) {
        struct tr_err err = {""};
        assert_int_equal(tr_layout_check(&cases[i].layout, cases[i].model, &batch, &err), TR_BAD_INPUT);
        if (!strstr(err.text, cases[i].words))
            fail_msg("case %d: \"%s\" does not say \"%s\"", i, err.text, cases[i].words);
    }
}

static void chunks_hold_all_layers_once(void **state)
{
    (void)state;
    for (int32_t layers = 1; layers <= 130; layers++)
        for (int32_t pp = 1; pp <= layers && pp <= 16; pp++)
            for (int32_t vpp = 1; pp * vpp <= layers && vpp <= 5; vpp++) {
                struct tr_layout l = tr_layout_single();
                l.pp = pp, l.vpp = vpp;
                int32_t chunks = 0, stages = 0;
                for (int32_t c = 0; c < pp * vpp; c++) {
                    assert_int_equal(tr_layout_chunk_first(&l, layers, c), chunks);
                    chunks += tr_layout_chunk_layers(&l, layers, c);
                }
                for (int32_t s = 0; s < pp; s++)
                    stages += tr_layout_stage_layers(&l, layers, s);
                assert_int_equal(chunks, layers);
                assert_int_equal(stages, layers);
            }
}

/* Narayanan 2021 and Korthikanti 2022: p microbatches on the first stage of 1F1B, p (1 + (p - 1) / (p v)) interleaved. */
static void microbatches_in_flight_are_those_of_the_papers(void **state)
{
    struct tr_layout l = tr_layout_single();
    (void)state;
    l.pp = 8;
    assert_true(tr_layout_in_flight(&l, 64, 0) == 8 && tr_layout_in_flight(&l, 64, 7) == 1);
    assert_true(tr_layout_in_flight(&l, 4, 0) == 4);
    l.pipeline = TR_PIPELINE_GPIPE;
    assert_true(tr_layout_in_flight(&l, 64, 0) == 64);
    l.pipeline = TR_PIPELINE_INTERLEAVED, l.vpp = 3;
    double expected = 8 * (1 + 7. / (8 * 3));
    assert_true(tr_layout_in_flight(&l, 64, 0) > expected - 1e-9 && tr_layout_in_flight(&l, 64, 0) < expected + 1e-9);
    l.pipeline = TR_PIPELINE_ZERO_BUBBLE_2P, l.vpp = 1;
    assert_true(tr_layout_in_flight(&l, 64, 0) == 15);
}

static void a_layout_is_printed_in_the_fields_own_words(void **state)
{
    char buf[TR_LAYOUT_TEXT_BYTES];
    struct tr_layout l = tr_layout_single();
    (void)state;
    assert_string_equal(tr_layout_print(&l, buf), "mb1");
    l.tp = 8, l.pp = 16, l.vpp = 6, l.dp = 8, l.sp = true, l.zero = 1, l.pipeline = TR_PIPELINE_INTERLEAVED;
    l.rerun = TR_RERUN_FULL, l.rerun_layers = 2;
    assert_string_equal(tr_layout_print(&l, buf), "tp8 pp16 vpp6 dp8 mb1 sp interleaved zero1 recompute-full(2)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_legal_layout_is_accepted),
        cmocka_unit_test(each_broken_rule_says_what_would_be_right),
        cmocka_unit_test(chunks_hold_all_layers_once),
        cmocka_unit_test(microbatches_in_flight_are_those_of_the_papers),
        cmocka_unit_test(a_layout_is_printed_in_the_fields_own_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
