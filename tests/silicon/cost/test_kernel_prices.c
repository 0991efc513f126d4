#include "silicon/cost/kernels.h"

#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct tr_err err;

static struct tr_op linear_op(enum tr_op_kind kind, int64_t tokens, int64_t in, int64_t out)
{
    return (struct tr_op){.kind = kind, .act = TR_F32, .weight = TR_F32, .seqs = 1, .seq_len = tokens, .in = in, .segments = 1,
                          .out = {out}, .context = tr_all_parts(1), .part = tr_all_parts(1), .quantum = {1, 1, 1}};
}

static void near(double is, double wanted, double share) { assert_true(is > wanted * (1 - share) && is < wanted * (1 + share)); }

static void every_operation_of_a_training_step_has_terms_that_end_with_its_start(void **state)
{
    (void)state;
    static const enum tr_op_kind kinds[] = {TR_OP_EMBED, TR_OP_EMBED_BWD, TR_OP_NORM, TR_OP_NORM_BWD, TR_OP_LINEAR,
                                            TR_OP_LINEAR_DX, TR_OP_LINEAR_DW, TR_OP_LINEAR_END, TR_OP_SPLIT, TR_OP_TAKE,
                                            TR_OP_ROPE, TR_OP_ATTN, TR_OP_ATTN_BWD,
                                            TR_OP_GELU, TR_OP_GELU_BWD, TR_OP_SWIGLU, TR_OP_SWIGLU_BWD, TR_OP_HEAD,
                                            TR_OP_ZERO, TR_OP_JOIN, TR_OP_LOSS_SUM, TR_OP_GRAD_SQ, TR_OP_CLIP, TR_OP_ADAMW};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const struct tr_kernel_term *terms;
        int count = tr_kernel_terms(kinds[i], &terms);
        assert_in_range(count, 1, TR_KERNEL_TERMS_MAX);
        assert_string_equal(terms[count - 1].name, "start");
        assert_int_equal(terms[count - 1].unit, TR_UNIT_TIME);
    }
}

static void the_multiply_adds_of_a_product_are_those_of_the_plan(void **state)
{
    (void)state;
    static const enum tr_op_kind kinds[] = {TR_OP_LINEAR, TR_OP_LINEAR_DX, TR_OP_LINEAR_DW};
    for (int i = 0; i < 3; i++) {
        struct tr_op op = linear_op(kinds[i], 300, 64, 96);
        double amount[TR_KERNEL_TERMS_MAX];
        tr_kernel_amounts(&op, 0, &(struct tr_kernel_site){.threads = 2}, amount);
        assert_true(amount[0] == (double)tr_op_work(&op, 0, 0).flop);
    }
}

/* Weights are read in place for up to four rows: what is packed and multiplied for more of them says nothing of that. */
static void a_product_of_few_rows_is_its_weights_alone(void **state)
{
    (void)state;
    double amount[TR_KERNEL_TERMS_MAX], sum = 0;
    struct tr_op op = linear_op(TR_OP_LINEAR, 4, 64, 96);
    assert_true(tr_kernel_is_of_few_rows(&op));
    tr_kernel_amounts(&op, 0, &(struct tr_kernel_site){.threads = 2, .state_bytes = 48e6}, amount);
    assert_true(amount[5] == 64 * 96 * 4. && amount[6] == amount[5] / 2); /* half of such a state is in no cache */
    for (int i = 0; i < TR_KERNEL_TERMS_MAX; i++)
        sum += amount[i];
    assert_true(sum == amount[5] + amount[6]);
    const struct tr_kernel_rates rates = {.threads = 2, .price = {[TR_OP_LINEAR] = {{.unit_s = {[5] = 1, [6] = 2}, .known = true}}}};
    assert_true(tr_kernel_few_rows_time(&rates, TR_F32, 10, 48e6) == 10 + 5 * 2);
    op.seq_len = 5;
    assert_false(tr_kernel_is_of_few_rows(&op));
    tr_kernel_amounts(&op, 0, &(struct tr_kernel_site){.threads = 2, .state_bytes = 48e6}, amount);
    assert_true(amount[0] > 0 && amount[5] == 0 && amount[6] == 0);
    op = linear_op(TR_OP_LINEAR_DX, 4, 64, 96);
    assert_false(tr_kernel_is_of_few_rows(&op));
}

static void a_weights_gradient_is_stored_once_a_block_of_tokens(void **state)
{
    (void)state;
    double one[TR_KERNEL_TERMS_MAX], two[TR_KERNEL_TERMS_MAX];
    struct tr_op op = linear_op(TR_OP_LINEAR_DW, TR_TOKEN_BLOCK, 64, 96);
    tr_kernel_amounts(&op, 0, &(struct tr_kernel_site){.threads = 2}, one);
    op.seq_len++;
    tr_kernel_amounts(&op, 0, &(struct tr_kernel_site){.threads = 2}, two);
    assert_true(two[3] == 2 * one[3]);
}

static void few_groups_of_heads_leave_threads_idle(void **state)
{
    (void)state;
    struct tr_op op = {.kind = TR_OP_ATTN_BWD, .act = TR_F32, .weight = TR_F32, .seqs = 1, .seq_len = 128, .heads = 2, .kv_heads = 1,
                       .head_dim = 64, .positions = 128, .context = tr_all_parts(1), .part = tr_all_parts(1)};
    double one[TR_KERNEL_TERMS_MAX], two[TR_KERNEL_TERMS_MAX];
    tr_kernel_amounts(&op, 0, &(struct tr_kernel_site){.threads = 1}, one);
    tr_kernel_amounts(&op, 0, &(struct tr_kernel_site){.threads = 2}, two);
    assert_true(two[0] == 2 * one[0]);
    op.kv_heads = 2;
    tr_kernel_amounts(&op, 0, &(struct tr_kernel_site){.threads = 2}, two);
    assert_true(two[0] == one[0]);
}

static void state_that_fits_into_a_cache_is_not_far(void **state)
{
    (void)state;
    struct tr_op op = {.kind = TR_OP_ZERO, .act = TR_F32, .weight = TR_F32, .count = 1000000};
    double amount[TR_KERNEL_TERMS_MAX];
    tr_kernel_amounts(&op, ~0u, &(struct tr_kernel_site){.threads = 1, .state_bytes = 8e6}, amount);
    assert_true(amount[1] == 0);
    tr_kernel_amounts(&op, ~0u, &(struct tr_kernel_site){.threads = 1, .state_bytes = 1e12}, amount);
    near(amount[1], amount[0], .001);
}

/* A catalog with one text; the caller frees it. */
static enum tr_status open_text(const char *text, struct tr_catalog **out)
{
    *out = NULL;
    enum tr_status status = tr_catalog_open_empty(out, &err);
    assert_int_equal(status, TR_OK);
    return tr_catalog_add_text(*out, "profile.yaml", text, strlen(text), &err);
}

/* What every entry has. */
#define OTHERS "linear_dx: {start: 1us}, linear_dw: {start: 1us}, attn: {start: 1us}, attn_bwd: {start: 1us}, head: {start: 1us}"
#define PRODUCTS "linear: {few: 5GB/s}, " OTHERS
#define RATES "f32: {join: {start: 1us}, " PRODUCTS "}, bf16: {" PRODUCTS "}"
static const enum tr_op_kind products[] = {TR_OP_LINEAR, TR_OP_LINEAR_DX, TR_OP_LINEAR_DW, TR_OP_ATTN, TR_OP_ATTN_BWD, TR_OP_HEAD};

static void rates_that_were_written_read_back(void **state)
{
    (void)state;
    struct tr_kernel_rates rates = {.id = "here-2", .chip = "here", .processor = "A \"quoted\" one", .isa = "avx2", .program = "0.1.0",
                                    .cores = 2, .threads = 2, .step_error = .05, .between_s = 1e-6,
                                    .machine = {.peak_flop_s = {4e11, 8e11}, .read_byte_s = {9e11, 5e11, 2e11, 6e10},
                                                .hand_s = 4e-8, .hand_apart_s = 1.9e-7, .noise = .01, .noise_memory = .02, .noise_disk = .3, .scale = .4, .disk_byte_s = 8e8, .disk_sync_s = 3e-4}}, back;
    for (size_t i = 0; i < sizeof products / sizeof *products; i++)
        for (int type = 0; type < TR_KERNEL_TYPES; type++)
            rates.price[products[i]][type] = (struct tr_kernel_price){.unit_s = {2e-12}, .error = .06, .known = true};
    rates.price[TR_OP_LINEAR][0] = (struct tr_kernel_price){.unit_s = {2e-12, 3e-11, 0, 1e-11, [5] = 5e-11, [7] = 2e-6}, .error = .06, .known = true};
    rates.price[TR_OP_LINEAR][1].unit_s[5] = 5e-11;
    rates.price[TR_OP_JOIN][0] = (struct tr_kernel_price){.unit_s = {1e-11}, .error = .5, .known = true};
    rates.price[TR_OP_JOIN][1] = (struct tr_kernel_price){.unit_s = {1.2345e-11, 0, 0, 1e-6}, .error = .5, .known = true};
    rates.apart[TR_OP_JOIN][1] = (struct tr_kernel_price){.unit_s = {2e-11, 0, 0, 1e-6}, .error = .5, .known = true};
    struct tr_text text = {0};
    struct tr_catalog *catalog;
    tr_text_append(&text, "sources: {calibration: {title: test, date: 2026-11-26, grade: measured}}\nkernels:\n");
    tr_kernel_rates_yaml(&rates, &text);
    assert_int_equal(open_text(tr_text_str(&text), &catalog), TR_OK);
    assert_int_equal(tr_kernel_rates_find(catalog, 2, &back, &err), TR_OK);
    assert_string_equal(back.processor, rates.processor);
    assert_string_equal(back.chip, "here");
    assert_string_equal(back.isa, "avx2");
    assert_int_equal(back.cores, 2);
    near(back.step_error, .05, 1e-3);
    near(back.between_s, 1e-6, 1e-3);
    for (int i = 0; i < TR_READ_LEVELS; i++)
        near(back.machine.read_byte_s[i], rates.machine.read_byte_s[i], 1e-3);
    near(back.machine.disk_sync_s, 3e-4, 1e-3);
    near(back.machine.noise_memory, .02, 1e-3);
    near(back.machine.noise_disk, .3, 1e-3);
    near(back.machine.scale, .4, 1e-3);
    assert_true(back.machine.noise_bf16 == 0);
    for (int i = 0; i < TR_KERNEL_TERMS_MAX; i++) {
        double was = rates.price[TR_OP_LINEAR][0].unit_s[i];
        assert_true(was == 0 ? back.price[TR_OP_LINEAR][0].unit_s[i] == 0 : true);
        if (was > 0)
            near(back.price[TR_OP_LINEAR][0].unit_s[i], was, 1e-3);
    }
    near(back.price[TR_OP_JOIN][1].unit_s[0], 1.2345e-11, 1e-3);
    near(back.apart[TR_OP_JOIN][1].unit_s[0], 2e-11, 1e-3);
    near(back.machine.hand_apart_s, 1.9e-7, 1e-3);
    assert_false(back.price[TR_OP_ZERO][0].known);
    struct tr_op op = linear_op(TR_OP_LINEAR, 100, 64, 96);
    near(tr_kernel_time(&back, &op, 0, 0), 2e-12 * 2 * 100 * 64 * 96 + 3e-11 * 100 * 64 * 4 + 1e-11 * 100 * 96 * 4 + 2e-6, 1e-3);
    tr_catalog_free(catalog);
    tr_text_free(&text);
}

static void prices_are_those_of_cores_as_far_apart_as_they_are_now(void **state)
{
    (void)state;
    static const struct {
        double hand_s, apart_s, now_s;
        bool apart;
        const char *unmeasured;
    } cases[] = {{4e-8, 1.9e-7, 3e-8, false, ""},   {4e-8, 1.9e-7, 8e-8, false, ""},
                 {4e-8, 1.9e-7, 9e-8, true, ""},    {4e-8, 1.9e-7, 9e-7, true, ", when cores were nearer each other than now"},
                 {4e-8, 1.9e-7, 0, false, ""},      {4e-8, 0, 1.9e-7, false, ", when cores were nearer each other than now"},
                 {1.9e-7, 0, 0, false, ""},         {1.9e-7, 0, 4e-8, false, ", when cores were further apart than now"},
                 {1.9e-7, 0, 1.8e-7, false, ""},    {0, 0, 4e-8, false, ""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tr_kernel_rates rates = {.step_error = .05, .machine = {.hand_s = cases[i].hand_s, .hand_apart_s = cases[i].apart_s}};
        char words[TR_UNMEASURED_WORDS_BYTES];
        rates.price[TR_OP_JOIN][0] = rates.price[TR_OP_LINEAR][0] = (struct tr_kernel_price){.unit_s = {1}, .known = true};
        rates.apart[TR_OP_JOIN][0] = (struct tr_kernel_price){.unit_s = {2}, .known = true};
        assert_int_equal(tr_kernel_set_apart(&rates, cases[i].now_s), cases[i].apart);
        assert_true(rates.price[TR_OP_JOIN][0].unit_s[0] == (cases[i].apart ? 2 : 1));
        assert_true(rates.price[TR_OP_LINEAR][0].unit_s[0] == 1); /* nobody has seen it apart */
        assert_string_equal(tr_kernel_unmeasured_words(&rates, words), cases[i].unmeasured);
        near(rates.step_error, *cases[i].unmeasured ? hypot(.05, .13) : .05, 1e-12);
    }
}

/* A minute of calibration may show cores near each other or apart alone; two of them show both. */
static void what_is_known_of_cores_nearer_or_further_apart_is_kept(void **state)
{
    (void)state;
    static const struct {
        double was_s, was_apart_s, now_s, now_apart_s, hand_s, apart_s;
        int price, apart; /* whose: 1 of the one before, 2 its apart, 3 of the new one, 4 its apart; 0: none */
    } cases[] = {{4e-8, 0, 1.9e-7, 0, 4e-8, 1.9e-7, 1, 3},       {1.9e-7, 0, 4e-8, 0, 4e-8, 1.9e-7, 3, 1},
                 {4e-8, 1.8e-7, 1.9e-7, 0, 4e-8, 1.9e-7, 1, 3},  {4e-8, 1.8e-7, 4.1e-8, 0, 4.1e-8, 1.8e-7, 3, 2},
                 {4e-8, 1.8e-7, 4e-8, 1.9e-7, 4e-8, 1.9e-7, 3, 4}, {4e-8, 0, 5e-8, 0, 5e-8, 0, 3, 0}, {0, 0, 4e-8, 0, 4e-8, 0, 3, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tr_kernel_rates was = {.step_error = .06, .machine = {.hand_s = cases[i].was_s, .hand_apart_s = cases[i].was_apart_s}}, now = {.step_error = .05};
        now.machine.hand_s = cases[i].now_s, now.machine.hand_apart_s = cases[i].now_apart_s;
        was.price[TR_OP_LINEAR][0] = (struct tr_kernel_price){.unit_s = {1}, .runs = 3, .known = true};
        now.price[TR_OP_LINEAR][0] = (struct tr_kernel_price){.unit_s = {3}, .known = true};
        if (was.machine.hand_apart_s > 0)
            was.apart[TR_OP_LINEAR][0] = (struct tr_kernel_price){.unit_s = {2}, .runs = 3, .known = true};
        if (now.machine.hand_apart_s > 0)
            now.apart[TR_OP_LINEAR][0] = (struct tr_kernel_price){.unit_s = {4}, .known = true};
        bool kept = cases[i].price == 1 || cases[i].apart == 1 || cases[i].apart == 2;
        assert_int_equal(tr_kernel_keep_other(&now, &was), kept);
        near(now.machine.hand_s, cases[i].hand_s, 1e-12);
        assert_true(now.machine.hand_apart_s == cases[i].apart_s);
        assert_true(now.price[TR_OP_LINEAR][0].unit_s[0] == cases[i].price && now.apart[TR_OP_LINEAR][0].unit_s[0] == cases[i].apart);
        assert_true(now.price[TR_OP_LINEAR][0].runs == 0 && now.apart[TR_OP_LINEAR][0].runs == 0 && now.step_error == (kept ? .06 : .05));
    }
    struct tr_kernel_rates full = {.step_error = .05, .machine = {.hand_s = 4e-8, .scale = 1}};
    struct tr_kernel_rates hasty = {.step_error = .3, .machine = {.hand_s = 1.9e-7, .scale = .05}};
    assert_false(tr_kernel_keep_other(&full, &hasty)); /* which would make the whole profile as wrong as it is */
    assert_true(full.step_error == .05);
}

/* Of a time a fifth is nobody's to share, and memory is read so that power and share differ. */
static void rates_between_two_numbers_of_threads_follow_from_both(void **state)
{
    (void)state;
    struct tr_kernel_rates lower = {.id = "here-1", .threads = 1, .step_error = .05, .between_s = 1e-6}, upper = lower, is;
    upper.threads = 8;
    lower.price[TR_OP_JOIN][0] = (struct tr_kernel_price){.unit_s = {5, 8, 0, 0}, .error = .1, .known = true};
    upper.price[TR_OP_JOIN][0] = (struct tr_kernel_price){.unit_s = {1 + 4 / 8., 1, 0, 8}, .error = .2, .known = true};
    upper.price[TR_OP_LINEAR][0] = upper.price[TR_OP_JOIN][0]; /* which one thread does not have */
    upper.machine = (struct tr_kernel_machine){.peak_flop_s = {8e9, 8e9}, .read_byte_s = {8e9, 8e9, 8e9, 8e9}, .hand_s = 4e-8};
    lower.machine = (struct tr_kernel_machine){.peak_flop_s = {1e9, 1e9}, .read_byte_s = {1e9, 1e9, 1e9, 1e9}};
    tr_kernel_rates_between(&lower, &upper, 2, &is);
    near(is.price[TR_OP_JOIN][0].unit_s[0], 1 + 4 / 2., 1e-12);
    near(is.price[TR_OP_JOIN][0].unit_s[1], 8 / 2., 1e-12);
    near(is.price[TR_OP_JOIN][0].unit_s[3], 8 * 4 / 7., 1e-12); /* a start takes longer with each thread */
    assert_false(is.price[TR_OP_LINEAR][0].known);
    near(is.machine.peak_flop_s[0], 2e9, 1e-12);
    assert_true(is.threads == 2 && is.lower == 1 && is.upper == 8 && is.machine.hand_s == 4e-8);
    near(is.price[TR_OP_JOIN][0].error, .2, 1e-9); /* where all is shared as it should be, both laws are one */
    near(is.step_error, .05, 1e-9);
    upper.machine.read_byte_s[TR_READ_MEMORY] = 3e9;
    tr_kernel_rates_between(&lower, &upper, 2, &is);
    near(is.step_error, .05 + 21 / 13. / cbrt(3) - 1, 1e-9); /* two threads read 21/13 as much as one, or 3^(1/3) times */
}

static void a_profile_has_rates_for_numbers_of_threads_between_its_own(void **state)
{
    (void)state;
    static const char text[] = "kernels: {all: {chip: x, threads: 8, step_error: .1, " RATES "}, one: {chip: x, threads: 1, step_error: .1, " RATES "}, "
                               "some: {chip: x, threads: 4, step_error: .1, " RATES "}}";
    struct tr_catalog *catalog;
    struct tr_kernel_rates rates;
    char words[TR_UNMEASURED_WORDS_BYTES];
    assert_int_equal(open_text(text, &catalog), TR_OK);
    for (int threads = 1; threads <= 8; threads++) {
        bool measured = threads == 1 || threads == 4 || threads == 8;
        assert_int_equal(tr_kernel_rates_for(catalog, threads, &rates, &err), TR_OK);
        assert_int_equal(rates.threads, threads);
        assert_true(rates.cores >= threads); /* which no entry says */
        assert_int_equal(rates.lower, measured ? 0 : threads < 4 ? 1 : 4);
        assert_int_equal(rates.upper, measured ? 0 : threads < 4 ? 4 : 8);
        assert_int_equal(tr_kernel_rates_find(catalog, threads, &rates, &err), measured ? TR_OK : TR_BAD_INPUT);
    }
    assert_int_equal(tr_kernel_rates_for(catalog, 6, &rates, &err), TR_OK);
    assert_string_equal(tr_kernel_unmeasured_words(&rates, words), ", between 4 and 8 threads, which were measured");
    assert_int_equal(tr_kernel_rates_for(catalog, 9, &rates, &err), TR_BAD_INPUT);
    assert_string_equal(err.text, "kernels were measured with 8, 1, 4 threads, not with 9");
    tr_catalog_free(catalog);
}

static void rates_that_runs_refined_say_which(void **state)
{
    (void)state;
    struct tr_kernel_rates back;
    struct tr_catalog *catalog;
    char words[TR_REFINED_WORDS_BYTES];
    static const char text[] = "kernels: {here: {chip: x, threads: 2, step_error: .1, refined: 2026-11-27, refined_by: \"12 345\", " RATES "}}";
    assert_int_equal(open_text(text, &catalog), TR_OK);
    assert_int_equal(tr_kernel_rates_find(catalog, 2, &back, &err), TR_OK);
    assert_int_equal(tr_refined_runs(&back.refined), 2);
    assert_true(tr_refined_knows(&back.refined, 12) && tr_refined_knows(&back.refined, 345));
    assert_false(tr_refined_knows(&back.refined, 1) || tr_refined_knows(&back.refined, 34) || tr_refined_knows(&back.refined, 3450));
    assert_string_equal(tr_refined_words(&back.refined, words), ", refined by 2 runs to 2026-11-27");
    back.refined.by = "";
    assert_string_equal(tr_refined_words(&back.refined, words), "");
    tr_catalog_free(catalog);
}

static void what_nobody_measured_costs_what_a_join_of_its_bytes_does(void **state)
{
    (void)state;
    struct tr_kernel_rates rates = {.threads = 1};
    rates.price[TR_OP_JOIN][0] = (struct tr_kernel_price){.unit_s = {1e-11}, .known = true};
    struct tr_op op = {.kind = TR_OP_MIX, .act = TR_F32, .weight = TR_F32, .count = 1000, .alpha = 1};
    struct tr_work work = tr_op_work(&op, 1, 0); /* without a source */
    near(tr_kernel_time(&rates, &op, 1, 0), 1e-11 * (double)(work.read_bytes + work.write_bytes), 1e-6);
    op.act = TR_BF16; /* a join's own numbers are never of that */
    work = tr_op_work(&op, 1, 0);
    near(tr_kernel_time(&rates, &op, 1, 0), 1e-11 * (double)(work.read_bytes + work.write_bytes), 1e-6);
}

static void faults_of_a_profile_are_said_with_their_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } faults[] = {
        {"kernels: {here: {threads: 2}}", "chip"},
        {"kernels: {here: {chip: x}}", "threads: how many computed is missing"},
        {"kernels: {here: {chip: x, threads: 2, f32: {linear: {flop: 5}}}}", "profile.yaml:1:"},
        {"kernels: {here: {chip: x, threads: 2, f32: {lineal: {flop: 5GFLOP/s}}}}", "lineal"},
        {"kernels: {here: {chip: x, threads: 2}}", "f32.linear is missing, which every calibration has: the file may have been cut short"},
        {"kernels: {here: {chip: x, threads: 2, f32: {" PRODUCTS "}, bf16: {" PRODUCTS "}}}", "f32.join is missing"},
        {"kernels: {here: {chip: x, threads: 2, f32: {join: {bytes: 5GB/s}, linear: {flop: 5GFLOP/s}, " OTHERS "}, bf16: {" PRODUCTS "}}}", "f32.linear has neither"},
        {"kernels: {here: {chip: x, threads: 2, f32: {join: {start: 1us}, " PRODUCTS "}, bf16: {linear: {few: 5GB/s}}}}", "bf16.linear_dx is missing"},
        {"kernels: {here: {chip: x, threads: 4, " RATES "}}", "kernels were measured with 4 threads, not with 2"},
        {"kernels: {here: {chip: x, threads: 2, refined_by: \"12\", " RATES "}}", "the date when runs refined it"},
        {"kernels: {here: {chip: x, threads: 2, refined: 2026-11-27, " RATES "}}", "beside refined_by"},
        {"kernels: {here: {chip: x, threads: 2, refined: soon, refined_by: \"12\", " RATES "}}", "\"soon\""},
        {"kernels: {here: {chip: x, threads: 2, f32: {linear: {flop: 5GFLOP/s, runs: 65}}}}", "runs"},
        {"chips: {}", "there is no record of trine's kernels: `trine calibrate` makes one"},
    };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        struct tr_catalog *catalog;
        struct tr_kernel_rates rates;
        enum tr_status status = open_text(faults[i].text, &catalog);
        if (status == TR_OK)
            status = tr_kernel_rates_find(catalog, 2, &rates, &err);
        assert_int_equal(status, TR_BAD_INPUT);
        if (!strstr(err.text, faults[i].says))
            fail_msg("%s: says %s", faults[i].text, err.text);
        tr_catalog_free(catalog);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operation_of_a_training_step_has_terms_that_end_with_its_start),
        cmocka_unit_test(the_multiply_adds_of_a_product_are_those_of_the_plan),
        cmocka_unit_test(a_product_of_few_rows_is_its_weights_alone),
        cmocka_unit_test(a_weights_gradient_is_stored_once_a_block_of_tokens),
        cmocka_unit_test(few_groups_of_heads_leave_threads_idle),
        cmocka_unit_test(state_that_fits_into_a_cache_is_not_far),
        cmocka_unit_test(rates_that_were_written_read_back),
        cmocka_unit_test(prices_are_those_of_cores_as_far_apart_as_they_are_now),
        cmocka_unit_test(what_is_known_of_cores_nearer_or_further_apart_is_kept),
        cmocka_unit_test(rates_between_two_numbers_of_threads_follow_from_both),
        cmocka_unit_test(a_profile_has_rates_for_numbers_of_threads_between_its_own),
        cmocka_unit_test(rates_that_runs_refined_say_which),
        cmocka_unit_test(what_nobody_measured_costs_what_a_join_of_its_bytes_does),
        cmocka_unit_test(faults_of_a_profile_are_said_with_their_place),
    };
    return cmocka_run_group_tests_name("silicon/kernels", tests, NULL, NULL);
}
