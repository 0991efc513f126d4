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
static const struct tr_model_shape grouped = {.name = "grouped", .layers = 24, .width = 6144, .heads = 48, .kv_heads = 24, .head_dim = 128,
                                              .value_dim = 128, .ffn = 24576, .vocab = 51200, .positions = 4096};
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
    } cases[24];
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
    CASE(&dense, "parts of cp 3; cp 2 or 4 would do", l.cp = 3);
    CASE(&grouped, "tp 16 neither divides the 24 key-value heads nor is a multiple of them; tp 12 or 24 would do", l.tp = 16);
    CASE(&dense, "are not the 24 layers", l.pp = 2, l.first_layers = 3, l.last_layers = 4);
    CASE(&dense, "are not the 24 layers", l.first_layers = 1, l.last_layers = 23);
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
    assert_true(tr_layout_in_flight(&l, 64, 0) == 15 && tr_layout_in_flight(&l, 64, 7) == 15);
    l.pipeline = TR_PIPELINE_ZERO_BUBBLE;
    assert_true(tr_layout_in_flight(&l, 64, 0) == 8 && tr_layout_in_flight(&l, 64, 7) == 8 && tr_layout_in_flight(&l, 5, 7) == 5);
}

static void a_layout_is_printed_in_the_fields_own_words(void **state)
{
    char buf[TR_LAYOUT_TEXT_BYTES];
    struct tr_layout l = tr_layout_single();
    (void)state;
    assert_string_equal(tr_layout_print(&l, buf), "mb1");
    l.tp = 8, l.pp = 16, l.vpp = 6, l.dp = 8, l.sp = true, l.zero = 1, l.pipeline = TR_PIPELINE_INTERLEAVED;
    l.rerun = TR_RERUN_FULL, l.rerun_layers = 2;
    assert_string_equal(tr_layout_print(&l, buf), "tp8 pp16 vpp6 dp8 mb1 sp zero1 recompute=full recompute-layers=2");
}

static void what_is_printed_reads_back_as_the_same(void **state)
{
    static const char *const texts[] = {
        "", "tp=8,pp=16,vpp=6,mb=1,zero=1,sp,recompute=selective", "tp8 pp16 vpp6 dp8 mb2 sp zero1 recompute=full",
        "cp=4,context=all-to-all,mb=2,zero=3,shard=16", "pp=4,schedule=zero-bubble-2p,first-layers=3,last-layers=2",
        "ep=8,etp=2,dp=64,pp=2,schedule=gpipe,recompute=full,recompute-layers=2", " mb=4 ,, tp=2 "};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct tr_layout a, b;
        struct tr_err err = {""};
        char buf[TR_LAYOUT_TEXT_BYTES], again[TR_LAYOUT_TEXT_BYTES];
        memset(&a, 0, sizeof a);
        memset(&b, 0, sizeof b);
        assert_int_equal(tr_layout_parse(texts[i], &a, &err), TR_OK);
        assert_int_equal(tr_layout_parse(tr_layout_print(&a, buf), &b, &err), TR_OK);
        assert_string_equal(tr_layout_print(&b, again), buf);
        assert_true(a.tp == b.tp && a.pp == b.pp && a.vpp == b.vpp && a.cp == b.cp && a.ep == b.ep && a.etp == b.etp);
        assert_true(a.zero == b.zero && a.shard == b.shard && a.sp == b.sp && a.context == b.context);
        assert_true(a.pipeline == b.pipeline && a.rerun == b.rerun && a.rerun_layers == b.rerun_layers);
        assert_true(a.micro_batch == b.micro_batch && a.first_layers == b.first_layers && a.last_layers == b.last_layers);
    }
}

static void each_mistake_of_a_written_layout_is_said(void **state)
{
    static const struct {
        const char *text, *sentence;
    } cases[] = {{"tp=8,pq=16", "unknown key \"pq\""},
                 {"recomptue=full", "did you mean recompute?"},
                 {"tp=8,tp=4", "tp is said twice"},
                 {"tp=", "expected a whole number, such as tp=8"},
                 {"tp", "expected a whole number, such as tp=8"},
                 {"tp=-8", "expected a whole number"},
                 {"tp=99999999999", "expected a whole number"},
                 {"tp=0", "\"tp=0\": expected 1 or more"},
                 {"auto,first-layers=0", "expected 1 or more"},
                 {"recompute=selective,recompute-layers=3", "recompute-layers=3 is of recompute=full, and recompute is selective"},
                 {"sp=1", "sp stands alone"},
                 {"recompute=some", "recompute is one of none, selective, full"},
                 {"schedule=2f2b", "schedule is one of gpipe, 1f1b, interleaved, zero-bubble, zero-bubble-2p"},
                 {"context=square", "context is one of ring, all-to-all"},
                 {"--tensor-model-parallel-size-of-all-ranks=16", "is no part of one"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tr_layout layout;
        struct tr_err err = {""};
        assert_int_equal(tr_layout_parse(cases[i].text, &layout, &err), TR_BAD_INPUT);
        if (!strstr(err.text, cases[i].sentence))
            fail_msg("\"%s\" does not say \"%s\"", err.text, cases[i].sentence);
    }
}

static void what_is_said_of_an_open_layout_is_known(void **state)
{
    struct tr_layout l;
    struct tr_err err = {""};
    uint32_t said;
    bool open;
    (void)state;
    assert_int_equal(tr_layout_parse_open("auto,tp=8,sp", &l, &said, &open, &err), TR_OK);
    assert_true(open && l.tp == 8 && l.sp && l.rerun == TR_RERUN_NONE && said == (1u << TR_LAYOUT_TP | 1u << TR_LAYOUT_SP));
    assert_int_equal(tr_layout_parse_open("auto,recompute-layers=3", &l, &said, &open, &err), TR_OK); /* of full recomputation */
    assert_true(open && l.rerun == TR_RERUN_FULL && l.rerun_layers == 3 && said & 1u << TR_LAYOUT_RECOMPUTE);
    assert_int_equal(tr_layout_parse_open("auto,zero=0", &l, &said, &open, &err), TR_OK);
    assert_true(l.zero == 0 && said == 1u << TR_LAYOUT_ZERO);
    assert_int_equal(tr_layout_parse_open(" ", &l, &said, &open, &err), TR_OK);
    assert_true(open && said == 0);
    assert_int_equal(tr_layout_parse_open("tp=8", &l, &said, &open, &err), TR_OK);
    assert_false(open);
    assert_int_equal(tr_layout_parse("auto,tp=8", &l, &err), TR_BAD_INPUT);
    assert_non_null(strstr(err.text, "auto leaves it open"));
    assert_int_equal(tr_layout_parse("auto", &l, &err), TR_BAD_INPUT);
}

static void replicas_follow_from_the_chips(void **state)
{
    struct tr_layout l;
    struct tr_err err = {""};
    (void)state;
    assert_int_equal(tr_layout_parse("tp=8,pp=4", &l, &err), TR_OK);
    assert_int_equal(tr_layout_fit_chips(&l, 96, &err), TR_OK);
    assert_int_equal(l.dp, 3);
    l.dp = 0;
    assert_int_equal(tr_layout_fit_chips(&l, 100, &err), TR_BAD_INPUT);
    assert_non_null(strstr(err.text, "96 or 128 chips would"));
    assert_int_equal(tr_layout_fit_chips(&l, 8, &err), TR_BAD_INPUT);
    assert_non_null(strstr(err.text, "32 or 64 chips would"));
    l.dp = 2;
    assert_int_equal(tr_layout_fit_chips(&l, 96, &err), TR_BAD_INPUT);
    assert_non_null(strstr(err.text, "dp 2 contradicts 96 chips"));
    l.tp = l.cp = l.pp = 999999999;
    assert_int_equal(tr_layout_fit_chips(&l, 96, &err), TR_BAD_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_legal_layout_is_accepted),
        cmocka_unit_test(each_broken_rule_says_what_would_be_right),
        cmocka_unit_test(chunks_hold_all_layers_once),
        cmocka_unit_test(microbatches_in_flight_are_those_of_the_papers),
        cmocka_unit_test(a_layout_is_printed_in_the_fields_own_words),
        cmocka_unit_test(what_is_printed_reads_back_as_the_same),
        cmocka_unit_test(each_mistake_of_a_written_layout_is_said),
        cmocka_unit_test(what_is_said_of_an_open_layout_is_known),
        cmocka_unit_test(replicas_follow_from_the_chips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
