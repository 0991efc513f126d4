/* A run as a whole: what follows from what, what does not fit, what would help. */
#include "plan/run/run.h"

#include "lib/catalog.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct tr_plan_request request_of(const char *model, const char *system, int64_t chips, const char *layout)
{
    struct tr_plan_request r = tr_plan_request_usual();
    snprintf(r.model, sizeof r.model, "%s", model);
    snprintf(r.system, sizeof r.system, "%s", system);
    snprintf(r.layout, sizeof r.layout, "%s", layout);
    r.chips = chips;
    r.tokens = 300e9;
    return r;
}

static struct tr_plan_request gpt3(void)
{
    return request_of("gpt3-175b", "dgx-h100", 1024, "tp=8,pp=16,vpp=6,mb=1,zero=1,sp,recompute=selective");
}

static struct tr_plan *make(const struct tr_plan_request *request, enum tr_status expected)
{
    struct tr_plan *plan = NULL;
    struct tr_err err = {""};
    if (tr_plan_make(catalog, request, &plan, &err) != expected)
        fail_msg("%s %s: %s", request->model, request->layout, plan ? plan->why : err.text);
    return plan;
}

static void refused(const struct tr_plan_request *request, const char *sentence)
{
    struct tr_plan *plan = NULL;
    struct tr_err err = {""};
    assert_int_equal(tr_plan_make(catalog, request, &plan, &err), TR_BAD_INPUT);
    assert_null(plan);
    if (!strstr(err.text, sentence))
        fail_msg("\"%s\" does not say \"%s\"", err.text, sentence);
}

static void assert_near(double a, double b, double share)
{
    if (!(fabs(a - b) <= share * fabs(b)))
        fail_msg("%.9g is not within %g of %.9g", a, share, b);
}

static void days_and_dollars_follow_from_the_step(void **state)
{
    (void)state;
    struct tr_plan_request r = gpt3();
    struct tr_plan *p = make(&r, TR_OK);
    const struct tr_job_cost *cost = tr_plan_cost(p);
    assert_true(p->steps == ceil(300e9 / (1536. * 2048)));
    assert_near(p->busy_s, p->steps * p->step.time_s, 1e-12);
    assert_near(cost->wall_s, p->busy_s / cost->goodput, 1e-12);
    assert_near(cost->chip_hours, cost->wall_s / 3600 * 1024, 1e-12);
    assert_near(cost->usd, cost->chip_hours * p->offer[TR_COMMITMENT_ON_DEMAND].price.usd_h.value, 1e-12);
    assert_near(cost->energy_j, cost->power_w * cost->wall_s, 1e-12);
    assert_near(cost->carbon_g, cost->energy_j / 3.6e6 * p->place.carbon_g_kwh.value, 1e-12);
    assert_near(cost->failures, cost->wall_s / cost->mtbf_s, 1e-12);
    /* 175 B parameters in 16 bits, an fp32 copy and two moments. */
    assert_near(p->state_bytes, 14 * tr_shape_params(&p->model).total, 1e-12);
    tr_plan_free(p);
}

/* What was left open is in the request afterwards, and asking for exactly that gives the same plan. */
static void a_plan_says_what_it_chose_and_is_made_again_from_that(void **state)
{
    (void)state;
    struct tr_plan_request r = gpt3();
    struct tr_plan *p = make(&r, TR_OK);
    assert_int_equal(p->request.seq_len, 2048);
    assert_int_equal(p->request.global_batch, 1536); /* as GPT-3 was trained */
    assert_string_equal(p->request.stack, "megatron-core");
    assert_string_equal(p->request.precision, "bf16");
    struct tr_plan *q = make(&p->request, TR_OK);
    assert_memory_equal(&p->step, &q->step, sizeof p->step);
    assert_memory_equal(&p->request, &q->request, sizeof p->request);
    tr_plan_free(p);
    tr_plan_free(q);

    r = request_of("llama3-8b", "tpu-v5p-pod", 128, "zero=3,mb=1,recompute=full");
    p = make(&r, TR_OK);
    assert_string_equal(p->request.stack, "xla");
    tr_plan_free(p);
    r = request_of("gpt3-13b", "dgx-1-v100", 64, "tp=8,pp=2,mb=1,zero=1,recompute=full");
    p = make(&r, TR_OK);
    assert_string_equal(p->request.precision, "fp16");
    tr_plan_free(p);
}

static void what_does_not_fit_is_an_answer_with_the_smallest_count_that_does(void **state)
{
    (void)state;
    struct tr_plan_request r = request_of("gpt3-175b", "dgx-h100", 256, "tp=8,pp=2,mb=1,sp,zero=1");
    struct tr_plan *p = make(&r, TR_NO);
    assert_false(p->fits);
    assert_non_null(strstr(p->why, "per chip, has 80 GiB; the smallest count at which this layout fits is "));
    long long count = atoll(strstr(p->why, "fits is ") + strlen("fits is "));
    assert_true(count > 256 && count % 16 == 0);
    tr_plan_free(p);
    for (long long chips = 16; chips <= count; chips += 16) { /* dp divides the batch */
        if (1536 % (chips / 16))
            continue;
        r.chips = chips;
        p = make(&r, chips == count ? TR_OK : TR_NO);
        tr_plan_free(p);
    }
    r = request_of("gpt3-175b", "dgx-h100", 8, "tp=8,mb=1");
    p = make(&r, TR_NO);
    assert_non_null(strstr(p->why, "no number of replicas makes this layout fit"));
    tr_plan_free(p);
}

static void wishes_that_are_missed_are_an_answer(void **state)
{
    (void)state;
    struct tr_plan_request r = gpt3();
    r.deadline_s = 3600;
    struct tr_plan *p = make(&r, TR_NO);
    assert_non_null(strstr(p->why, "more than the deadline of 1 h"));
    tr_plan_free(p);
    r.deadline_s = 1e9, r.budget_usd = 1000;
    p = make(&r, TR_NO);
    assert_non_null(strstr(p->why, "more than the budget of "));
    tr_plan_free(p);
    r.budget_usd = 1e9;
    p = make(&r, TR_OK);
    r.budget_usd = tr_plan_cost(p)->usd * (1 - 1e-7), r.deadline_s = tr_plan_cost(p)->wall_s * (1 - 1e-7); /* by a hair: it is seen that it is missed */
    tr_plan_free(p);
    p = make(&r, TR_NO);
    char takes[32], deadline[32], costs[32], budget[32];
    assert_int_equal(sscanf(p->why, "takes %31[^,], more than the deadline of %31[^;]; costs %31[^,], more than the budget of %31[^;]", takes, deadline,
                            costs, budget), 4);
    assert_string_not_equal(takes, deadline);
    assert_string_not_equal(costs, budget);
    tr_plan_free(p);
}

static void bad_requests_say_what_would_be_right(void **state)
{
    (void)state;
    struct tr_plan_request r = gpt3();
    snprintf(r.model, sizeof r.model, "gpt3-157b");
    refused(&r, "did you mean gpt3-175b?");
    r = gpt3();
    snprintf(r.system, sizeof r.system, "dgx-h10");
    refused(&r, "did you mean dgx-h100?");
    snprintf(r.system, sizeof r.system, "h100");
    refused(&r, "unknown system \"h100\": it is a chip; dgx-h100, ");
    r = gpt3();
    snprintf(r.stack, sizeof r.stack, "megatron-cor");
    refused(&r, "did you mean megatron-core?");
    r = gpt3();
    snprintf(r.precision, sizeof r.precision, "bf17");
    refused(&r, "unknown precision \"bf17\"");
    r = gpt3();
    snprintf(r.precision, sizeof r.precision, "nvfp4");
    refused(&r, "has no units for products in nvfp4");
    r = gpt3();
    snprintf(r.region, sizeof r.region, "frnace");
    refused(&r, "did you mean france?");
    r = gpt3();
    r.chips = 1000;
    refused(&r, "1000 chips do not divide into replicas of tp 8 x cp 1 x pp 16 = 128 chips; 896 or 1024 chips would");
    r = request_of("mixtral-8x7b", "dgx-h100", 48, "ep=5,mb=1"); /* what no number of chips makes right comes first */
    refused(&r, "ep 5 does not divide the 8 experts; 4 or 8 would");
    r = gpt3();
    r.global_batch = 100;
    refused(&r, "1024 chips are 8 replicas of 128, which do not divide the 100 sequences of the global batch; 640 or 1280 chips would, or "
                "96 sequences");
    snprintf(r.layout, sizeof r.layout, "tp=8,pp=16,dp=8,mb=1");
    refused(&r, "dp 8 does not divide the 100 sequences of the global batch; 5 or 10 would");
    r = gpt3();
    snprintf(r.system, sizeof r.system, "dgx-1-v100");
    r.budget_usd = 1e9, r.commitment = TR_COMMITMENT_RESERVED_3Y;
    snprintf(r.date, sizeof r.date, "1990");
    refused(&r, "a budget needs a price, and no price of dgx-1 reserved_3y is as old as 1990: the first is of ");
}

/* ---- search ------------------------------------------------------------------------------------------------------ */

static void an_open_layout_is_the_fastest_that_fits_and_a_plan_of_its_own(void **state)
{
    (void)state;
    struct tr_plan_request r = request_of("llama3-8b", "dgx-h100", 16, "auto,vpp=1,cp=1");
    struct tr_plan *p = make(&r, TR_OK);
    const struct tr_plan_candidate *c = &p->search.at[0];
    assert_true(p->search.done && p->search.count == 1 && c->found && c->front && c->kept);
    assert_true(c->legal > 1000 && c->too_big > 0 && c->dominated > 0 && c->too_big + c->dominated < c->legal);
    assert_true(p->layout.vpp == 1 && p->layout.cp == 1 && tr_layout_chips(&p->layout) == 16);
    /* Faster than what was tried by hand, than its neighbours, and the first of the front. */
    struct tr_plan_request hand = request_of("llama3-8b", "dgx-h100", 16, "tp=4,mb=1,zero=1,sp");
    struct tr_plan *q = make(&hand, TR_OK);
    assert_true(p->step.time_s < q->step.time_s);
    tr_plan_free(q);
    for (int i = 1; i < p->search.next_count; i++)
        assert_true(p->search.next[i].step.time_s >= p->search.front[0].step.time_s);
    assert_true(p->search.front_count > 1 && p->search.front[0].step.time_s <= p->step.time_s && p->step.time_s < 1.02 * p->search.front[0].step.time_s);
    /* The plan that it became is the same when it is asked for by its layout. */
    assert_true(p->request.layout[0] && !strstr(p->request.layout, "auto"));
    q = make(&p->request, TR_OK);
    assert_false(q->search.done);
    assert_near(q->step.time_s, p->step.time_s, 1e-12);
    assert_near(tr_plan_cost(q)->usd, tr_plan_cost(p)->usd, 1e-12);
    tr_plan_free(q);
    /* Choosing again is never worse than staying, and a lever that is not there gives nothing. */
    for (int i = 0; i < TR_LEVER_COUNT; i++)
        assert_true(p->lever[i].change_again <= p->lever[i].change + 1e-12);
    tr_plan_free(p);
}

static void words_of_an_open_layout_are_kept(void **state)
{
    (void)state;
    struct tr_plan_request r = request_of("gpt3-175b", "dgx-h100", 1024, "auto,tp=8,sp,zero=1,schedule=1f1b,recompute=full");
    struct tr_plan *p = make(&r, TR_OK);
    const struct tr_layout *l = &p->layout;
    assert_true(l->tp == 8 && l->sp && l->zero == 1 && l->pipeline == TR_PIPELINE_1F1B && l->rerun == TR_RERUN_FULL);
    tr_plan_free(p);
    r = request_of("gpt3-175b", "dgx-h100", 1024, "auto,recompute-layers=3,vpp=1,pp=8");
    p = make(&r, TR_OK);
    assert_true(p->layout.rerun == TR_RERUN_FULL && p->layout.rerun_layers == 3);
    for (int i = 0; i < p->search.next_count; i++)
        assert_true(p->search.next[i].layout.rerun == TR_RERUN_FULL && p->search.next[i].layout.rerun_layers == 3);
    tr_plan_free(p);
    r = request_of("gpt3-175b", "dgx-h100", 1024, "auto,tp=7");
    refused(&r, "no layout is legal: tp 7 does not divide the 96 heads; 6 or 8 would");
}

static void what_the_software_does_not_do_is_left_out_unless_it_is_asked_for(void **state)
{
    (void)state;
    struct tr_plan_request r = request_of("llama3-8b", "dgx-h100", 16, "auto,vpp=1");
    struct tr_plan *p = make(&r, TR_OK), *q;
    for (int i = 0; i < p->search.next_count; i++)
        assert_true(p->search.next[i].layout.zero <= 1); /* megatron-core */
    snprintf(r.layout, sizeof r.layout, "auto,vpp=1,zero=3");
    q = make(&r, TR_OK);
    assert_int_equal(q->layout.zero, 3);
    tr_plan_free(p);
    tr_plan_free(q);
    snprintf(r.stack, sizeof r.stack, "megatron-2021");
    snprintf(r.layout, sizeof r.layout, "auto");
    p = make(&r, TR_OK);
    assert_true(p->layout.zero == 0 && p->layout.cp == 1 && !p->layout.sp);
    assert_true(p->layout.pipeline != TR_PIPELINE_ZERO_BUBBLE && p->layout.pipeline != TR_PIPELINE_ZERO_BUBBLE_2P);
    tr_plan_free(p);
}

static const struct tr_plan_candidate *candidate(const struct tr_plan *p, int64_t chips)
{
    int i = 0;
    while (i < p->search.count && p->search.at[i].chips != chips)
        i++;
    assert_true(i < p->search.count);
    return &p->search.at[i];
}

static int asked_for(const struct tr_plan *p)
{
    int count = 0;
    for (int i = 0; i < p->search.count; i++)
        count += p->search.at[i].asked;
    return count;
}

static struct tr_plan_request range_of_gpt3(void)
{
    struct tr_plan_request r = request_of("gpt3-175b", "dgx-h100", 32, "auto,tp=8,sp,zero=1,vpp=1,recompute=none");
    r.chips_max = 1024;
    return r;
}

static void of_several_numbers_of_chips_the_wishes_choose(void **state)
{
    (void)state;
    struct tr_plan_request r = range_of_gpt3();
    struct tr_plan *p = make(&r, TR_OK);
    assert_int_equal(asked_for(p), 6);
    assert_int_equal(p->request.chips, 1024); /* no wish: the fastest */
    assert_false(candidate(p, 32)->found);    /* too few */
    double days = candidate(p, 256)->wall_s, more_days = candidate(p, 512)->wall_s, usd = candidate(p, 256)->usd;
    tr_plan_free(p);

    r.deadline_s = (days + more_days) / 2; /* the cheapest that keeps it lies between those that were asked for */
    p = make(&r, TR_OK);
    assert_true(p->request.chips > 256 && p->request.chips < 512 && tr_plan_cost(p)->wall_s <= r.deadline_s);
    for (int i = 0; i < p->search.count; i++)
        assert_true(!p->search.at[i].kept || p->search.at[i].usd >= tr_plan_cost(p)->usd * (1 - 1e-12));
    for (int i = 1; i < p->search.count; i++)
        assert_true(p->search.at[i].chips > p->search.at[i - 1].chips && p->search.at[i].chips % 8 == 0);
    tr_plan_free(p);
    r.deadline_s = 0, r.budget_usd = usd * 1.001; /* the fastest that keeps it */
    p = make(&r, TR_OK);
    assert_true(p->request.chips >= 256 && tr_plan_cost(p)->usd <= r.budget_usd);
    tr_plan_free(p);

    r = request_of("gpt3-175b", "dgx-h100", 1001, "auto"); /* neither end divides; what lies between does */
    r.chips_max = 1999;
    p = make(&r, TR_OK);
    assert_true(p->request.chips > 1001 && p->request.chips < 1999);
    tr_plan_free(p);
    r.reserve_bytes = (int64_t)79 << 30; /* and where what is legal does not fit, the lightest is told of */
    p = make(&r, TR_NO);
    assert_true(!p->fits && p->request.chips > 1001 && p->request.chips < 1999);
    tr_plan_free(p);

    r = request_of("llama3-8b", "meta-llama3", 16384, "auto");
    r.chips_max = 32768;
    refused(&r, "meta-llama3 joins at most 24576 chips, 32768 were asked for");
    r = request_of("gpt3-175b", "dgx-h100", 64, "tp=8,pp=8,mb=1");
    r.chips_max = 128;
    refused(&r, "several numbers of chips, or batches, are tried with open layouts only");
    r.chips_max = 32;
    refused(&r, "from 64 to 32 chips is no range");
}

static void where_a_budget_is_missed_the_ways_to_pay_that_keep_it_are_said(void **state)
{
    (void)state;
    struct tr_plan_request r = request_of("gpt3-175b", "dgx-h100", 1024, "auto");
    struct tr_plan *p = make(&r, TR_OK);
    char is[TR_LAYOUT_TEXT_BYTES], was[TR_LAYOUT_TEXT_BYTES];
    const struct tr_layout free_choice = p->layout;
    const double spot_usd = p->offer[TR_COMMITMENT_SPOT].cost.usd;
    assert_true(spot_usd < tr_plan_cost(p)->usd);
    tr_plan_free(p);
    r.budget_usd = 1.001 * spot_usd;
    p = make(&r, TR_NO);
    assert_non_null(strstr(p->why, "; paid by spot for "));
    assert_non_null(strstr(p->why, " it would do"));
    assert_string_equal(tr_layout_print(&p->layout, is), tr_layout_print(&free_choice, was)); /* a wish that no layout keeps chooses none */
    tr_plan_free(p);
    r.budget_usd = 1000;
    p = make(&r, TR_NO);
    assert_null(strstr(p->why, "paid by"));
    tr_plan_free(p);
}

static void where_a_wish_is_missed_the_number_of_chips_that_keeps_it_is_said(void **state)
{
    (void)state;
    struct tr_plan_request r = range_of_gpt3();
    r.chips = 128, r.chips_max = 0, r.deadline_s = 20 * 86400;
    struct tr_plan *p = make(&r, TR_NO);
    const char *instead = strstr(p->why, "more than the deadline of 20 days; ");
    assert_non_null(instead);
    assert_non_null(strstr(instead, " chips would do: "));
    r.chips = atoll(instead + strlen("more than the deadline of 20 days; "));
    assert_true(r.chips > 128);
    tr_plan_free(p);
    tr_plan_free(make(&r, TR_OK));

    /* 184 nodes are 8 times 23, and so are their doubles, by which layouts hardly divide: round numbers are looked at. */
    struct tr_plan_request odd = request_of("llama3-70b", "dgx-h100", 2944, "auto");
    odd.tokens = 15e12, odd.deadline_s = 60 * 86400;
    p = make(&odd, TR_NO);
    assert_non_null(strstr(p->why, " 3072 chips would do: "));
    tr_plan_free(p);

    r.chips = 128, r.chips_max = 1024, r.budget_usd = 1000; /* both together cannot be */
    p = make(&r, TR_NO);
    assert_non_null(strstr(p->why, "of the numbers of chips that were tried, "));
    assert_non_null(strstr(p->why, ", none would do"));
    assert_non_null(strstr(p->why, " come nearest: "));
    assert_non_null(strstr(p->why, " (more than the deadline), "));
    assert_non_null(strstr(p->why, " (more than the budget)"));
    assert_true(p->request.chips >= 128 && p->request.chips <= 1024);
    tr_plan_free(p);
}

/* Times that are alike: what surely fits is taken, and all that is said of it is within its memory. */
static void of_layouts_that_are_alike_the_one_that_surely_fits_is_taken(void **state)
{
    (void)state;
    struct tr_plan_request r = request_of("gpt3-175b", "dgx-h100", 1024, "auto");
    struct tr_plan *p = make(&r, TR_OK);
    const struct tr_found *fastest = &p->search.fastest, *sure = &p->search.sure;
    assert_true(fastest->step.time_s < p->step.time_s && p->step.time_s <= fastest->step.time_s * (1 + TR_PLAN_ALIKE));
    assert_true(fastest->step.memory_bytes * (1 + fastest->step.memory_error) > p->capacity_bytes);
    assert_true(p->step.memory_bytes * (1 + p->step.memory_error) <= p->capacity_bytes);
    assert_near(sure->step.time_s, p->step.time_s, 1e-12);
    for (int i = 0; i < p->search.next_count; i++)
        assert_false(tr_plan_may_not_fit(p, &p->search.next[i].step));
    for (int i = 0; i < TR_LEVER_COUNT; i++)
        assert_true(p->lever[i].change_again <= p->lever[i].change + 1e-12);
    double step_s = p->step.time_s, usd = tr_plan_cost(p)->usd;
    tr_plan_free(p);

    r.budget_usd = usd * (1 - 1e-4); /* not at the price of a wish that the fastest keeps */
    p = make(&r, TR_OK);
    assert_true(p->step.time_s < step_s && p->step.time_s == p->search.fastest.step.time_s);
    tr_plan_free(p);

    r = request_of("gpt3-175b", "dgx-h100", 64, "auto"); /* what surely fits takes longer, and is named */
    p = make(&r, TR_OK);
    assert_true(p->step.time_s == p->search.fastest.step.time_s && tr_plan_may_not_fit(p, &p->step));
    assert_true(p->search.sure.layout.dp == 0 || p->search.sure.step.time_s > p->step.time_s * (1 + TR_PLAN_ALIKE));
    tr_plan_free(p);
}

/* What stands in the list of the fastest differs in how chips are divided; what does not is counted. */
static void the_fastest_of_each_way_to_divide_the_chips_are_listed(void **state)
{
    (void)state;
    struct tr_plan_request r = request_of("mixtral-8x7b", "dgx-h100", 64, "auto");
    struct tr_plan *p = make(&r, TR_OK), *q;
    const struct tr_plan_search *s = &p->search;
    assert_int_equal(s->next_count, TR_PLAN_NEXT_MAX);
    assert_memory_equal(&s->next[0].layout, &p->layout, sizeof p->layout);
    for (int i = 1; i < s->next_count; i++) {
        const struct tr_layout *l = &s->next[i].layout;
        assert_true(s->next[i].step.time_s >= s->next[i - 1].step.time_s);
        for (int k = 0; k < i; k++)
            assert_false(tr_layout_divides_alike(l, &s->next[k].layout));
        snprintf(r.layout, sizeof r.layout, "auto,tp=%d,cp=%d,pp=%d,ep=%d,etp=%d", l->tp, l->cp, l->pp, l->ep, l->etp);
        q = make(&r, TR_OK);
        bool sure = p->step.time_s > s->fastest.step.time_s; /* what was allowed to the one that was taken */
        assert_near((sure ? &q->search.sure : &q->search.fastest)->step.time_s, s->next[i].step.time_s, 1e-12);
        tr_plan_free(q);
    }
    int of = 0;
    for (int i = 0; i < p->pool_count; i++)
        for (int k = 0; k < s->next_count; k++)
            of += tr_layout_divides_alike(&p->pool[i], &s->next[k].layout);
    assert_true(s->next_of == p->pool_count && s->next_alike > 0 && s->next_alike < of && of <= s->next_alike + s->next_count);
    tr_plan_free(p);
}

/* A number of chips has one answer, however it is asked for; and what the answer says of the layout, said back, is the answer again. */
static void a_range_and_its_own_words_say_what_one_number_of_chips_says(void **state)
{
    (void)state;
    char words[TR_LAYOUT_TEXT_BYTES];
    struct tr_plan_request r = request_of("gpt-oss-120b", "dgx-h100", 64, "auto,pp=2");
    struct tr_plan *one = make(&r, TR_OK);
    assert_true(one->layout.first_layers || one->layout.last_layers);
    r.chips = 32, r.chips_max = 64;
    struct tr_plan *range = make(&r, TR_OK);
    for (int i = 0; i < range->search.count; i++)
        if (range->search.at[i].chips == 64)
            assert_near(range->search.at[i].step.time_s, one->step.time_s, 1e-12);
    assert_near(range->search.at[range->search.chosen].step.time_s, range->step.time_s, 1e-12);
    r.chips = 64, r.chips_max = 0;
    snprintf(r.layout, sizeof r.layout, "auto,pp=2,first-layers=%d,last-layers=%d", one->layout.first_layers, one->layout.last_layers);
    struct tr_plan *said = make(&r, TR_OK);
    assert_near(said->step.time_s, one->step.time_s, 1e-12);
    snprintf(r.layout, sizeof r.layout, "%s", tr_layout_print(&one->layout, words));
    struct tr_plan *whole = make(&r, TR_OK);
    assert_near(whole->step.time_s, one->step.time_s, 1e-12);
    tr_plan_free(one), tr_plan_free(range), tr_plan_free(said), tr_plan_free(whole);
}

/* 7 sequences are no work for 1,024 chips. */
static void a_batch_that_leaves_chips_without_work_is_a_limit(void **state)
{
    (void)state;
    struct tr_plan_request r = request_of("gpt3-175b", "dgx-h100", 1024, "auto");
    r.global_batch = 7;
    struct tr_plan *p = make(&r, TR_OK);
    const struct tr_limit *limit = &p->search.limit[0];
    while (limit < p->search.limit + p->search.limit_count && strcmp(limit->name, TR_PLAN_LIMIT_BATCH) != 0)
        limit++;
    assert_true(limit < p->search.limit + p->search.limit_count && limit->gain > .2);
    r.global_batch = 14;
    tr_layout_print(&limit->found.layout, r.layout);
    struct tr_plan *q = make(&r, TR_OK);
    assert_near(1 - q->busy_s / p->busy_s, limit->gain, 1e-9);
    assert_false(tr_plan_may_not_fit(q, &q->step) && !tr_plan_may_not_fit(p, &p->step));
    tr_plan_free(q);
    tr_plan_free(p);
    r = request_of("gpt3-175b", "dgx-h100", 1024, "auto"); /* nothing is done in fewer steps than one */
    r.tokens = 1e6;
    p = make(&r, TR_OK);
    for (int i = 0; i < p->search.limit_count; i++)
        assert_string_not_equal(p->search.limit[i].name, TR_PLAN_LIMIT_BATCH);
    tr_plan_free(p);
}

static void where_nothing_fits_the_fewest_chips_that_do_are_said(void **state)
{
    (void)state;
    struct tr_plan_request r = request_of("gpt3-175b", "dgx-h100", 8, "auto,tp=8,sp,vpp=1");
    struct tr_plan *p = make(&r, TR_NO);
    assert_false(p->fits);
    assert_non_null(strstr(p->why, "has 80 GiB; "));
    const char *count = strstr(p->why, "has 80 GiB; ") + strlen("has 80 GiB; ");
    assert_non_null(strstr(count, " chips are the fewest that fit"));
    r.chips = atoll(count);
    tr_plan_free(p);
    tr_plan_free(make(&r, TR_OK));
    r.chips -= 8;
    tr_plan_free(make(&r, TR_NO));

    r.global_batch = 256, r.global_batch_max = 512; /* of several batches: once, by the last search */
    p = make(&r, TR_NO);
    assert_non_null(strstr(p->why, " chips are the fewest that fit"));
    tr_plan_free(p);
}

/* ---- levers ------------------------------------------------------------------------------------------------------ */

/* If one cause of time had no lever, the step would not shrink by the whole factor. What is left is the time over which
 * a power limit averages (silicon/cost/inside.h), which belongs to nobody. */
static void all_levers_together_are_all_that_takes_time(void **state)
{
    static const struct {
        const char *model, *system, *stack, *layout;
        int64_t chips;
    } cases[] = {
        {"gpt3-175b", "dgx-h100", "megatron-core", "tp=8,pp=16,vpp=6,mb=1,zero=1,sp,recompute=selective", 1024},
        {"gpt3-175b", "dgx-a100", "megatron-2021", "tp=8,pp=8,mb=2", 1536},
        {"llama3-8b", "dgx-h100", "fsdp", "zero=3,mb=1", 64},
        {"llama3-8b", "dgx-h100", "megatron-te", "tp=2,mb=1,zero=1", 64},
        {"mixtral-8x7b", "dgx-h100", "megatron-core", "tp=2,ep=8,pp=4,mb=1,zero=1,sp", 256},
        {"llama3-8b", "dgx-h100", "megatron-core", "tp=2,cp=4,mb=1,zero=1,sp", 64},
        {"llama3-8b", "tpu-v5p-pod", "xla", "zero=3,mb=1,recompute=full", 128},
        {"deepseek-v3", "meta-llama3", "megatron-bridge-26.06", "ep=64,pp=8,mb=1,zero=1,recompute=full", 1024},
    };
    const double factor = 1.25;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tr_plan_request r = request_of(cases[i].model, cases[i].system, cases[i].chips, cases[i].layout);
        struct tr_plan *p = NULL;
        struct tr_err err = {""};
        snprintf(r.stack, sizeof r.stack, "%s", cases[i].stack);
        if (tr_plan_make(catalog, &r, &p, &err) > TR_NO)
            fail_msg("%s", err.text);
        struct tr_lever_site *pulled = malloc(sizeof *pulled);
        struct tr_step step;
        assert_non_null(pulled);
        tr_lever_site_make(pulled, &p->site);
        double slopes = 0;
        for (int k = 0; k < TR_LEVER_COUNT; k++) {
            tr_lever_pull(pulled, (enum tr_lever)k, factor);
            slopes += p->lever[k].slope;
        }
        assert_int_equal(tr_step_price(&pulled->site, &p->task, &p->layout, &step, &err), TR_OK);
        assert_near(step.time_s, p->step.time_s / factor, .005);
        assert_near(slopes, -1, .025); /* one by one, over what the library guesses (lever.h) */
        free(pulled);
        tr_plan_free(p);
    }
}

static void a_lever_changes_its_own_terms_and_no_other(void **state)
{
    (void)state;
    struct tr_plan_request r = gpt3();
    struct tr_plan *p = make(&r, TR_OK);
    struct tr_lever_site *pulled = malloc(sizeof *pulled);
    struct tr_step step;
    struct tr_err err = {""};
    assert_non_null(pulled);
    tr_lever_site_make(pulled, &p->site);
    tr_lever_pull(pulled, TR_LEVER_LINK, 2);
    assert_int_equal(tr_step_price(&pulled->site, &p->task, &p->layout, &step, &err), TR_OK);
    assert_true(step.term_s[TR_TERM_TP] < .7 * p->step.term_s[TR_TERM_TP]);
    assert_true(step.term_s[TR_TERM_GEMM] == p->step.term_s[TR_TERM_GEMM]);
    tr_lever_site_make(pulled, &p->site);
    tr_lever_pull(pulled, TR_LEVER_MATRIX, 2);
    assert_int_equal(tr_step_price(&pulled->site, &p->task, &p->layout, &step, &err), TR_OK);
    assert_true(step.term_s[TR_TERM_GEMM] < .65 * p->step.term_s[TR_TERM_GEMM]);
    assert_true(step.term_s[TR_TERM_TP] == p->step.term_s[TR_TERM_TP]);
    for (int i = 0; i < TR_LEVER_COUNT; i++)
        assert_true(p->lever[i].change <= 1e-12 && p->lever[i].change >= p->lever[p->limit].change);
    free(pulled);
    tr_plan_free(p);
}

/* On these two a lever makes kernels that are not the fastest nearly as fast, so that the library takes them more often. */
static void what_is_better_costs_no_more_than_a_library_s_guess(void **state)
{
    static const struct {
        const char *system, *precision;
    } cases[] = {{"mi355x-8", "nvfp4"}, {"atlas-800-910b", "bf16"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tr_plan_request r = request_of("llama3-8b", cases[i].system, 16, "mb=1,zero=1,recompute=full");
        snprintf(r.precision, sizeof r.precision, "%s", cases[i].precision);
        struct tr_plan *p = make(&r, TR_OK);
        for (int k = 0; k < TR_LEVER_COUNT; k++)
            if (p->lever[k].change > 1e-3 || p->lever[k].slope > .03)
                fail_msg("%s: %s gives %+.3f %%", cases[i].system, tr_lever_name((enum tr_lever)k), 100 * p->lever[k].change);
        tr_plan_free(p);
    }
}

static void a_system_without_a_network_has_no_lever_there(void **state)
{
    (void)state;
    struct tr_plan_request r = request_of("llama3-8b", "tpu-v5p-pod", 128, "zero=3,mb=1,recompute=full");
    struct tr_plan *p = make(&r, TR_OK);
    bool there = p->system.tier_count > 1;
    assert_int_equal(tr_lever_there(TR_LEVER_NETWORK, &p->system), there);
    assert_true(there || p->lever[TR_LEVER_NETWORK].change == 0);
    assert_true(p->lever[TR_LEVER_MATRIX].change < 0);
    tr_plan_free(p);
    r = request_of("llama3-8b", "gh200-1", 64, "zero=1,mb=1,recompute=full"); /* a network, and no links */
    p = make(&r, TR_OK);
    assert_false(tr_lever_there(TR_LEVER_LINK, &p->system));
    assert_true(p->lever[TR_LEVER_LINK].change == 0 && p->lever[TR_LEVER_NETWORK].slope <= 0);
    tr_plan_free(p);
}

/* Besiroglu et al. 2024: a model of 70 B on 1.4 T tokens, which Chinchilla was, by hand. */
static void tokens_follow_from_a_loss(void **state)
{
    struct tr_law law, printed;
    struct tr_err err = {""};
    double n, d;
    (void)state;
    assert_int_equal(tr_law_find(catalog, "", &law, &err), TR_OK);
    assert_int_equal(tr_law_find(catalog, "hoffmann-2022", &printed, &err), TR_OK);
    double loss = tr_law_loss(&law, 70e9, 1.4e12);
    assert_near(loss, 1.8172 + 482.01 / pow(70e9, .3478) + 2085.43 / pow(1.4e12, .3658), 1e-12);
    assert_near(tr_law_tokens(&law, 70e9, loss), 1.4e12, 1e-9);
    assert_near(tr_law_loss(&printed, 70e9, 1.4e12), 1.937, 1e-3);
    assert_true(isinf(tr_law_tokens(&law, 70e9, tr_law_floor(&law, 70e9))));
    assert_true(tr_law_cheapest(&law, 2.0, &n, &d) && !tr_law_cheapest(&law, 1.8, &n, &d));
    assert_near(tr_law_loss(&law, n, d), 2.0, 1e-9);
    for (double more = .5; more <= 2; more *= 4) /* any other split of as much compute is worse */
        assert_true(tr_law_loss(&law, n * more, d / more) > 2.0);
    struct tr_plan_request r = gpt3();
    r.tokens = 0, r.target_loss = 2.0;
    struct tr_plan *p = make(&r, TR_OK);
    double params = tr_shape_params(&p->model).active;
    assert_near(tr_law_loss(&law, params, p->request.tokens), 2.0, 1e-9);
    assert_true(p->tokens_low < p->request.tokens && p->request.tokens < p->tokens_high);
    assert_near(p->steps, p->request.tokens / (1536. * 2048), 1e-3);
    assert_string_equal(p->request.law, "besiroglu-2024");
    double wall_s = tr_plan_cost(p)->wall_s, low_s, high_s; /* the law's error is the larger by far: the interval is its */
    tr_plan_wall_interval(p, &low_s, &high_s);
    assert_true(low_s < wall_s * p->tokens_low / p->request.tokens && low_s >= 0);
    assert_true(high_s > wall_s * p->tokens_high / p->request.tokens);
    tr_plan_free(p);
    r.tokens = 1e9;
    refused(&r, "one of them");
    r.tokens = 0, r.target_loss = 1.85;
    refused(&r, "a loss of 1.85 is out of reach of gpt3-175b, whose floor is 1.877");
    r.target_loss = 1.5;
    refused(&r, "out of reach of any model: by besiroglu-2024 none is below 1.817");
    r.target_loss = 2, snprintf(r.law, sizeof r.law, "hofmann-2022");
    refused(&r, "did you mean hoffmann-2022?");
    r.target_loss = 0;
    refused(&r, "the scaling law \"hofmann-2022\" needs a target loss");
}

static void a_range_of_batches_is_searched_and_the_best_is_taken(void **state)
{
    (void)state;
    struct tr_plan_request r = request_of("llama3-8b", "dgx-h100", 64, "auto,tp=1,cp=1");
    r.global_batch = 96, r.global_batch_max = 500, r.chips = 32, r.chips_max = 64;
    struct tr_plan *p = make(&r, TR_OK);
    assert_int_equal(asked_for(p), 2 * 4); /* 96, 192, 384, 500 sequences on 32 and 64 chips */
    for (int i = 0; i < p->search.count; i++) {
        const struct tr_plan_candidate *c = &p->search.at[i];
        assert_true(!c->found || c->wall_s >= tr_plan_cost(p)->wall_s * (1 - 1e-12));
    }
    const struct tr_plan_candidate *chosen = &p->search.at[p->search.chosen];
    assert_true(chosen->chips == p->request.chips && chosen->global_batch == p->request.global_batch);
    assert_near(chosen->step.time_s, p->step.time_s, 1e-12);
    assert_near(p->step.time_s, p->search.next[0].step.time_s, TR_PLAN_ALIKE);
    assert_near(p->steps, ceil(300e9 / ((double)p->request.global_batch * 8192)), 1e-12);
    tr_plan_free(p);
    r.global_batch_max = 90;
    refused(&r, "from 96 to 90 sequences is no range of batches");
    r = gpt3();
    r.global_batch = 96, r.global_batch_max = 512;
    refused(&r, "several numbers of chips, or batches, are tried with open layouts only");
}

static void a_reserve_is_kept_free(void **state)
{
    (void)state;
    struct tr_plan_request r = request_of("gpt3-175b", "dgx-h100", 1024, "auto,tp=8,zero=1");
    struct tr_plan *all = make(&r, TR_OK);
    r.reserve_bytes = (int64_t)20 << 30;
    struct tr_plan *less = make(&r, TR_OK);
    assert_near(all->capacity_bytes - less->capacity_bytes, 20 * 1073741824., 1e-12);
    assert_true(less->step.memory_bytes <= less->capacity_bytes && less->step.time_s >= all->step.time_s);
    tr_plan_free(all);
    tr_plan_free(less);
    r.reserve_bytes = 80;
    refused(&r, "a reserve of 80 bytes: is a unit missing, as in 8GiB?");
    r.reserve_bytes = (int64_t)90 << 30;
    refused(&r, "a reserve of 90 GiB leaves nothing of the 80 GiB that h100-sxm has");
}

/* DeepSeek-V3 was trained with a module of 11.5 B parameters beside its own. */
static void modules_for_further_tokens_are_in_a_plan_unless_they_are_left_off(void **state)
{
    (void)state;
    struct tr_plan_request r = request_of("deepseek-v3", "dgx-h100", 2048, "ep=64,pp=16,mb=1,zero=1,recompute=full");
    struct tr_plan *with = make(&r, TR_OK);
    r.no_mtp = true;
    struct tr_plan *without = make(&r, TR_OK);
    assert_int_equal(with->task.mtp, 1);
    assert_near(with->further.params, 11.5e9, .01);
    assert_near(with->state_bytes - without->state_bytes, with->further.params * (2 + with->stack.master_bytes.value), 1e-9);
    assert_near(with->step.model_flop - without->step.model_flop, with->further.flop, 1e-9);
    assert_near(with->step.time_s - without->step.time_s, with->further.time_s, 1e-9);
    assert_near(with->step.memory_bytes - without->step.memory_bytes, with->further.memory_bytes, 1e-9);
    assert_true(with->further.time_s > 0 && with->further.memory_bytes > 0);
    assert_true(without->task.mtp == 0 && without->further.params == 0 && without->further.time_s == 0);
    tr_plan_free(with);
    tr_plan_free(without);
}

static void memory_comes_with_its_error(void **state)
{
    (void)state;
    struct tr_plan_request r = gpt3();
    struct tr_plan *p = make(&r, TR_OK);
    assert_true(p->step.memory_error == p->stack.memory_error.value && p->step.memory_error > 0);
    tr_plan_free(p);
    snprintf(r.precision, sizeof r.precision, "mxfp8");
    refused(&r, "has no units for products in mxfp8");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(days_and_dollars_follow_from_the_step),
        cmocka_unit_test(a_plan_says_what_it_chose_and_is_made_again_from_that),
        cmocka_unit_test(what_does_not_fit_is_an_answer_with_the_smallest_count_that_does),
        cmocka_unit_test(wishes_that_are_missed_are_an_answer),
        cmocka_unit_test(bad_requests_say_what_would_be_right),
        cmocka_unit_test(an_open_layout_is_the_fastest_that_fits_and_a_plan_of_its_own),
        cmocka_unit_test(words_of_an_open_layout_are_kept),
        cmocka_unit_test(what_the_software_does_not_do_is_left_out_unless_it_is_asked_for),
        cmocka_unit_test(of_several_numbers_of_chips_the_wishes_choose),
        cmocka_unit_test(where_a_budget_is_missed_the_ways_to_pay_that_keep_it_are_said),
        cmocka_unit_test(where_a_wish_is_missed_the_number_of_chips_that_keeps_it_is_said),
        cmocka_unit_test(of_layouts_that_are_alike_the_one_that_surely_fits_is_taken),
        cmocka_unit_test(the_fastest_of_each_way_to_divide_the_chips_are_listed),
        cmocka_unit_test(a_range_and_its_own_words_say_what_one_number_of_chips_says),
        cmocka_unit_test(a_batch_that_leaves_chips_without_work_is_a_limit),
        cmocka_unit_test(where_nothing_fits_the_fewest_chips_that_do_are_said),
        cmocka_unit_test(all_levers_together_are_all_that_takes_time),
        cmocka_unit_test(a_lever_changes_its_own_terms_and_no_other),
        cmocka_unit_test(tokens_follow_from_a_loss),
        cmocka_unit_test(a_range_of_batches_is_searched_and_the_best_is_taken),
        cmocka_unit_test(a_reserve_is_kept_free),
        cmocka_unit_test(modules_for_further_tokens_are_in_a_plan_unless_they_are_left_off),
        cmocka_unit_test(memory_comes_with_its_error),
        cmocka_unit_test(a_system_without_a_network_has_no_lever_there),
        cmocka_unit_test(what_is_better_costs_no_more_than_a_library_s_guess),
    };
    return cmocka_run_group_tests(tests, tr_catalog_setup, tr_catalog_teardown);
}
