/* plan/here: ranks that move bytes and share cores, and the layout that is the fastest. */
#include "plan/here/choose.h"

#include "base/text.h"
#include "lib/made_up_profile.h"
#include "lib/scratch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { RANKS_MAX = 8 };

static struct tr_err err;
static struct tr_model_config model;
static struct tr_run_config config;
static struct tr_fit fit;
static struct tr_step_config step;
static struct tr_run_programs programs;
static struct tr_rank_time rank_time[RANKS_MAX];

#define CUT(t, c, n, p) {.ranks = {[TR_GROUP_TENSOR] = (t), [TR_GROUP_CONTEXT] = (c), [TR_GROUP_DATA] = (n), [TR_GROUP_PIPE] = (p)}}

static int setup(void **state)
{
    if (tr_scratch_setup(state) != 0)
        return -1;
    static const struct tr_override all[] = {{"data.path", "text"}, {"train.dtype", "f32"}, {"train.batch", "8"}, {"data.seq_len", "64"},
                                             {"train.micro_batch", "1"}, {"layout.lanes", "4"}, {"layout.tensor", "2"},
                                             {"train.recompute", "auto"}, {"train.tokens", "1000"}, {"model.depth", "2"}};
    if (tr_run_config_read(&config, NULL, all, sizeof all / sizeof *all, &err) != TR_OK || tr_run_config_resolve(&config, 257, &model, &err) != TR_OK)
        return -1;
    step = tr_run_step_config(&config);
    fit = (struct tr_fit){.model = &model, .machine = {.kernels = tr_kernel_set(TR_ISA_REF)}, .vocab = 257};
    return 0;
}

/* Every amount of work takes so long with so many threads. */
static struct tr_kernel_rates rates_of(int threads, double unit_s)
{
    static char id[9][24];
    snprintf(id[threads], sizeof id[0], "made-up-%d", threads);
    struct tr_kernel_rates rates = {.id = id[threads], .chip = "made-up", .processor = "p", .isa = "ref",
                                    .program = "0", .cores = 2, .threads = threads, .step_error = .1, .between_s = 1e-7};
    for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++) {
        const struct tr_kernel_term *terms;
        int count = tr_kernel_terms((enum tr_op_kind)kind, &terms);
        for (int type = 0; type < TR_KERNEL_TYPES && count; type++) {
            rates.price[kind][type] = (struct tr_kernel_price){.error = .2, .known = true};
            for (int i = 0; i < count; i++)
                rates.price[kind][type].unit_s[i] = unit_s;
        }
    }
    return rates;
}

static struct tr_exchange_rates exchange_of(double call_s, double shared)
{
    struct tr_exchange_rates exchange = {.id = "made-up-threads-2", .chip = "made-up", .transport = "threads", .ranks = 2, .shared = shared};
    for (int kind = 0; kind < TR_COLL_KIND_COUNT; kind++)
        for (int i = 0; i < TR_EXCHANGE_SIZES && tr_exchange_measures((enum tr_coll_kind)kind); i++)
            exchange.time_s[kind][i] = call_s;
    return exchange;
}

static void predict(struct tr_degrees layout, const struct tr_exchange_rates *exchange)
{
    struct tr_kernel_rates rates = rates_of(1, 1e-9);
    struct tr_step_config shared = step;
    shared.place.degrees = layout;
    if (tr_run_programs_make(&model, &shared, (struct tr_machine){tr_kernel_set(TR_ISA_REF), 1}, &programs, &err) != TR_OK ||
        tr_here_together(&rates, exchange, &programs, NULL, NULL, rank_time, &err) != TR_OK)
        fail_msg("%s", err.text);
    tr_run_programs_free(&programs);
}

/* ---- a step ------------------------------------------------------------------------------------------------------ */

static void moving_bytes_takes_what_the_profile_says(void **state)
{
    (void)state;
    static const struct tr_degrees layouts[] = {CUT(1, 1, 2, 1), CUT(2, 1, 1, 1), CUT(1, 1, 1, 2)};
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
        struct tr_exchange_rates one = exchange_of(1e-3, 1), two = exchange_of(2e-3, 1);
        predict(layouts[i], NULL);
        double free_s = rank_time[0].step_s;
        predict(layouts[i], &one);
        double one_s = rank_time[0].step_s;
        predict(layouts[i], &two);
        double two_s = rank_time[0].step_s;
        assert_true(one_s > free_s + 1e-3 && two_s > one_s + 1e-3);
        assert_true(rank_time[0].step_s < free_s + 1); /* and not more than that */
    }
}

static void work_takes_longer_where_others_work(void **state)
{
    (void)state;
    struct tr_exchange_rates alone = exchange_of(1e-9, 1), shared = exchange_of(1e-9, 1.5);
    predict((struct tr_degrees)CUT(1, 1, 2, 1), &alone);
    double alone_s = rank_time[0].step_s - rank_time[0].between_s;
    predict((struct tr_degrees)CUT(1, 1, 2, 1), &shared);
    assert_true(fabs((rank_time[0].step_s - rank_time[0].between_s) / alone_s - 1.5) < .01);
}

/* Four ranks on two cores take as long as two ranks with twice the work. */
static void ranks_that_are_more_than_the_cores_take_turns(void **state)
{
    (void)state;
    predict((struct tr_degrees)CUT(1, 1, 4, 1), NULL);
    double four_s = rank_time[0].step_s, sum_s = 0;
    for (int phase = 0; phase < TR_PHASE_COUNT; phase++) {
        for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++)
            sum_s += rank_time[0].op_s[phase][kind];
        for (int kind = 0; kind < TR_COLL_KIND_COUNT; kind++)
            sum_s += rank_time[0].wait_s[phase][kind];
    }
    assert_true(fabs((sum_s + rank_time[0].between_s) / four_s - 1) < 1e-9);
    predict((struct tr_degrees)CUT(1, 1, 2, 1), NULL);
    assert_true(four_s > .95 * rank_time[0].step_s);
    predict((struct tr_degrees)CUT(1, 1, 1, 1), NULL);
    assert_true(four_s > .5 * rank_time[0].step_s);
}

/* ---- the choice -------------------------------------------------------------------------------------------------- */

/* Rates with one thread and with `most`, which are `gain` times as fast. */
static struct tr_catalog *profile_of_cores(int most, double gain, double call_s)
{
    struct tr_text text = {0};
    struct tr_catalog *catalog;
    struct tr_kernel_rates one = rates_of(1, 1e-9), all = rates_of(most, 1e-9 / gain);
    struct tr_exchange_rates exchange = exchange_of(call_s, 1);
    one.cores = all.cores = most;
    tr_text_append(&text, "sources:\n  calibration: {title: made up, date: 2026-01-01, grade: measured}\nkernels:\n");
    tr_kernel_rates_yaml(&one, &text);
    tr_kernel_rates_yaml(&all, &text);
    tr_text_append(&text, "exchanges:\n");
    tr_exchange_yaml(&exchange, &text);
    tr_scratch_put_text("profile.yaml", tr_text_str(&text));
    tr_text_free(&text);
    if (tr_catalog_open_empty(&catalog, &err) != TR_OK || tr_catalog_add(catalog, tr_scratch("profile.yaml"), &err) != TR_OK)
        fail_msg("%s", err.text);
    return catalog;
}

static struct tr_catalog *profile_of(double gain, double call_s) { return profile_of_cores(2, gain, call_s); }

static struct tr_layouts_found found;

static enum tr_status choose_by(struct tr_catalog *profile, const char *transport, int ranks, int cores, int64_t memory_bytes)
{
    const struct tr_choose_request request = {.profile = profile, .fit = fit, .config = &config,
                                              .transport = transport, .ranks = ranks, .cores = cores, .memory_bytes = memory_bytes};
    enum tr_status status = tr_here_choose(&request, &found, &err);
    tr_catalog_free(profile);
    return status;
}

static enum tr_status choose(struct tr_catalog *profile, int ranks, int64_t memory_bytes)
{
    return choose_by(profile, "threads", ranks, 2, memory_bytes);
}

static void ranks_are_taken_where_threads_gain_less_and_bytes_are_cheap(void **state)
{
    (void)state;
    assert_int_equal(choose(profile_of(1.2, 1e-7), 0, 0), TR_OK);
    assert_true(found.count > 4 && tr_degrees_ranks(&found.choice[0].layout) == 2);
    for (int i = 1; i < found.count; i++)
        assert_true(found.choice[i].step_s >= found.choice[i - 1].step_s);
    assert_int_equal(choose(profile_of(1.9, 1), 0, 0), TR_OK);
    assert_string_equal(found.choice[0].words, "");
    assert_int_equal(tr_degrees_ranks(&found.choice[0].layout), 1);
}

static void as_many_ranks_as_were_started_share_it(void **state)
{
    (void)state;
    assert_int_equal(choose(profile_of(1.9, 1), 4, 0), TR_OK);
    for (int i = 0; i < found.count; i++)
        assert_int_equal(tr_degrees_ranks(&found.choice[i].layout), 4);
}

static void a_choice_has_the_price_of_its_layout(void **state)
{
    (void)state;
    assert_int_equal(choose(profile_of(1.2, 1e-5), 2, 0), TR_OK);
    struct tr_exchange_rates exchange = exchange_of(1e-5, 1);
    for (int i = 0; i < found.count; i++) {
        double longest_s = 0;
        predict(found.choice[i].layout, &exchange);
        for (int rank = 0; rank < 2; rank++)
            longest_s = fmax(longest_s, rank_time[rank].step_s);
        assert_true(fabs(found.choice[i].step_s / longest_s - 1) < 1e-3); /* the file has four figures */
    }
}

/* Kernels were measured with one thread and with all: ranks of a machine of 4 or 8 cores have 2 or 4. */
static void ranks_have_threads_between_those_that_were_measured(void **state)
{
    (void)state;
    for (int cores = 4; cores <= 8; cores *= 2) {
        assert_int_equal(choose_by(profile_of_cores(cores, 1.3, 1e-7), "threads", 0, cores, 0), TR_OK);
        assert_int_equal(found.unpriced, 0);
        assert_true(tr_degrees_ranks(&found.choice[0].layout) >= 4); /* where threads gain little, and bytes move for nothing */
        assert_int_equal(choose_by(profile_of_cores(cores, 1.3, 1e-7), "threads", 2, cores, 0), TR_OK);
        assert_true(found.count >= 4 && tr_degrees_ranks(&found.choice[0].layout) == 2);
        assert_true(found.choice[0].error >= .1); /* what both neighbours have */
        assert_int_equal(choose_by(profile_of_cores(cores, .9 * cores, 1), "threads", 0, cores, 0), TR_OK);
        assert_string_equal(tr_choice_words(&found.choice[0]), "one rank");
    }
}

/* 3 ranks of 4 cores have one thread each, 2 have two: of more threads than were measured nothing is known. */
static void layouts_that_cannot_be_priced_are_left_out_and_named(void **state)
{
    (void)state;
    assert_int_equal(choose_by(profile_of_cores(2, 1.9, 1e-7), "threads", 0, 4, 0), TR_OK); /* 4 threads were not measured */
    assert_true(found.count > 0 && tr_degrees_ranks(&found.choice[0].layout) > 1);
    assert_int_equal(found.unpriced, 1);
    assert_string_equal(tr_choice_words(&found.unpriced_last), "one rank");
    tr_assert_says(found.why_unpriced.text, "kernels were measured with 1, 2 threads, not with 4");
    assert_int_equal(choose_by(profile_of_cores(4, 1.9, 1e-7), "mpi", 0, 4, 0), TR_OK);
    assert_true(found.count == 1 && found.unpriced > 5);
    tr_assert_says(found.why_unpriced.text, "the profile does not say what exchanging bytes takes ranks by mpi");
    assert_int_equal(choose_by(profile_of_cores(4, 1.9, 1e-7), "mpi", 2, 4, 0), TR_BAD_INPUT);
    tr_assert_says(err.text, "no layout of 2 ranks can be priced; ");
}

/* Who has calibrated one is not told to do it again. */
static void on_one_core_nothing_is_measured_of_ranks(void **state)
{
    (void)state;
    struct tr_catalog *catalog = tr_made_up_profile(1e9, 1e10);
    assert_int_equal(choose_by(catalog, "threads", 2, 1, 0), TR_BAD_INPUT);
    tr_assert_says(err.text, "what exchanging bytes takes ranks by threads, which is not measured on a machine of one core");
}

/* Of one rank with these microbatches. */
static int64_t need_of(int64_t micro_batch)
{
    struct tr_program program;
    struct tr_fit alone = fit;
    int64_t usual = config.micro_batch;
    config.micro_batch = micro_batch;
    alone.machine.threads = 2;
    struct tr_step_config its = tr_fit_step(&alone, &config, 0);
    if (tr_program_train(&program, &model, &its, alone.machine, &err) != TR_OK)
        fail_msg("%s", err.text);
    int64_t need = tr_fit_bytes(&alone, &config, &program);
    tr_program_free(&program);
    config.micro_batch = usual;
    return need;
}

/* Each rank is a share of the memory, and takes what a process takes besides its program. */
static void a_layout_is_chosen_among_those_that_the_trainer_would_not_refuse(void **state)
{
    (void)state;
    assert_int_equal(choose(profile_of(1.2, 1e-7), 0, 2 * need_of(1)), TR_OK);
    assert_int_equal(tr_degrees_ranks(&found.choice[0].layout), 2);
    assert_int_equal(choose(profile_of(1.2, 1e-7), 0, need_of(1)), TR_OK);
    assert_int_equal(found.count, 1);
    assert_string_equal(tr_choice_words(&found.choice[0]), "one rank");
}

static void microbatches_that_are_left_to_us_are_made_smaller_until_a_layout_fits(void **state)
{
    (void)state;
    config.micro_batch = 2; /* of 2 sequences of a lane */
    int64_t limit = need_of(1), more = need_of(2);
    assert_true(more > limit);
    assert_int_equal(choose(profile_of(1.2, 1e-7), 1, limit), TR_NO);
    tr_assert_says(err.text, "no layout of 1 rank fits; one rank needs least: training depth-2 needs ");
    tr_assert_says(err.text, "with train.micro_batch 1 and train.recompute full it would need ");
    fit.auto_micro_batch = true;
    assert_int_equal(choose(profile_of(1.2, 1e-7), 1, limit), TR_OK);
    assert_int_equal(config.micro_batch, 2); /* the request is not changed */
    double small_s = found.choice[0].step_s;
    fit.auto_micro_batch = false;
    assert_int_equal(choose(profile_of(1.2, 1e-7), 1, more), TR_OK);
    assert_true(found.choice[0].step_s < small_s); /* that was the price of two microbatches */
    config.micro_batch = 1;
}

static void steps_that_are_computed_twice_stay_on_one_rank(void **state)
{
    (void)state;
    config.replay_every = 5;
    assert_int_equal(choose(profile_of(1.2, 1e-7), 0, 0), TR_OK);
    assert_true(found.count == 1 && tr_degrees_ranks(&found.choice[0].layout) == 1);
    assert_int_equal(choose(profile_of(1.2, 1e-7), 2, 0), TR_BAD_INPUT);
    tr_assert_says(err.text, "replay.every 5: a step is computed twice on one rank only");
    config.replay_every = 0;
}

static void what_cannot_be_is_said(void **state)
{
    (void)state;
    assert_int_equal(choose(profile_of(1.2, 1e-5), 7, 0), TR_BAD_INPUT);
    tr_assert_says(err.text, "no layout of 7 ranks is possible; the last one that was tried: ");
    assert_int_equal(choose(profile_of(1.2, 1e-5), 17, 0), TR_BAD_INPUT);
    tr_assert_says(err.text, "17 ranks were started; a layout is chosen for up to 16");
    assert_int_equal(choose(profile_of(1.2, 1e-5), 2, 1000), TR_NO);
    tr_assert_says(err.text, "no layout of 2 ranks fits; ");
    tr_assert_says(err.text, "there are 1000 B, 500 B a rank; even with train.micro_batch 1 and train.recompute full");
}

static void the_words_of_a_layout_are_those_of_the_option(void **state)
{
    (void)state;
    char words[TR_LAYOUT_WORDS_BYTES];
    assert_string_equal(tr_degrees_words(&(struct tr_degrees){0}, words), "");
    struct tr_degrees all = {.ranks = {[TR_GROUP_TENSOR] = 2, [TR_GROUP_CONTEXT] = 4, [TR_GROUP_DATA] = 8, [TR_GROUP_PIPE] = 16},
                             .chunks = 3, .sequence = true, .zero = 1};
    assert_string_equal(tr_degrees_words(&all, words), "tp=2,cp=4,dp=8,pp=16,sp,vpp=3,zero=1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moving_bytes_takes_what_the_profile_says),
        cmocka_unit_test(work_takes_longer_where_others_work),
        cmocka_unit_test(ranks_that_are_more_than_the_cores_take_turns),
        cmocka_unit_test(ranks_are_taken_where_threads_gain_less_and_bytes_are_cheap),
        cmocka_unit_test(as_many_ranks_as_were_started_share_it),
        cmocka_unit_test(a_choice_has_the_price_of_its_layout),
        cmocka_unit_test(ranks_have_threads_between_those_that_were_measured),
        cmocka_unit_test(layouts_that_cannot_be_priced_are_left_out_and_named),
        cmocka_unit_test(on_one_core_nothing_is_measured_of_ranks),
        cmocka_unit_test(a_layout_is_chosen_among_those_that_the_trainer_would_not_refuse),
        cmocka_unit_test(microbatches_that_are_left_to_us_are_made_smaller_until_a_layout_fits),
        cmocka_unit_test(steps_that_are_computed_twice_stay_on_one_rank),
        cmocka_unit_test(what_cannot_be_is_said),
        cmocka_unit_test(the_words_of_a_layout_are_those_of_the_option),
    };
    return cmocka_run_group_tests_name("plan/here/choose", tests, setup, tr_scratch_teardown);
}
