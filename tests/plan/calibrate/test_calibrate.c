#include "plan/calibrate/inside.h"
#include "plan/here/here.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct tr_err err;

enum { PROGRAMS = 12, KINDS = 3, SAMPLES = PROGRAMS * KINDS };
static const enum tr_op_kind kinds[KINDS] = {TR_OP_LINEAR, TR_OP_LINEAR_DW, TR_OP_JOIN};

/* The truth that samples are made of. */
static struct tr_kernel_rates truth(void)
{
    struct tr_kernel_rates r = {.threads = 2};
    for (int i = 0; i < KINDS; i++)
        r.price[kinds[i]][0] = (struct tr_kernel_price){.unit_s = {2e-12, 5e-11, 2e-11, 1e-11, [7] = 3e-6}, .known = true};
    r.price[TR_OP_JOIN][0] = (struct tr_kernel_price){.unit_s = {1e-11, 2e-11, 0, 2e-6}, .known = true};
    return r;
}

/* Programs of different sizes; `off` of them take so much longer than the truth says. */
static void make_samples(struct tr_kernel_sample sample[SAMPLES], int slow_program, double slow)
{
    struct tr_kernel_rates r = truth();
    for (int i = 0; i < SAMPLES; i++) {
        int p = i / KINDS;
        int64_t tokens = 64 << p % 5, in = 64 + 96 * (p % 7), out = 128 + 64 * (p % 3);
        struct tr_kernel_sample *s = &sample[i];
        *s = (struct tr_kernel_sample){.program = p, .present = kinds[i % KINDS] == TR_OP_JOIN ? 3 : 0, .calls = 1 + p % 2, .state_bytes = 1e6 * (1 << p)};
        s->op = (struct tr_op){.kind = kinds[i % KINDS], .act = TR_F32, .weight = TR_F32, .seqs = 1, .seq_len = tokens, .in = in,
                               .segments = 1, .out = {out}, .count = in * out, .context = tr_all_parts(1),
                               .part = tr_all_parts(1), .quantum = {1, 1, 1}};
        s->time_s = tr_kernel_time(&r, &s->op, s->present, s->state_bytes) * (p == slow_program ? slow : 1);
    }
}

static void rates_come_out_of_samples_that_obey_them(void **state)
{
    (void)state;
    struct tr_kernel_sample sample[SAMPLES];
    struct tr_kernel_rates was = truth(), is = {.threads = 2};
    make_samples(sample, -1, 1);
    assert_int_equal(tr_kernel_fit(sample, SAMPLES, &is, &err), TR_OK);
    for (int i = 0; i < SAMPLES; i++) {
        double said = tr_kernel_time(&is, &sample[i].op, sample[i].present, sample[i].state_bytes);
        double wanted = tr_kernel_time(&was, &sample[i].op, sample[i].present, sample[i].state_bytes);
        assert_true(fabs(said / wanted - 1) < .01);
    }
    assert_true(is.step_error < .05);
    for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++)
        for (int i = 0; i < TR_KERNEL_TERMS_MAX; i++) { /* what was not seen has no rate, instead of one that no file may have */
            double unit_s = is.price[kind][0].unit_s[i];
            assert_true(unit_s == 0 || (unit_s > 1e-20 && unit_s < 1));
        }
    assert_false(is.price[TR_OP_ATTN][0].known);
    assert_false(is.price[TR_OP_LINEAR][1].known);
}

static void the_error_is_that_of_programs_left_out(void **state)
{
    (void)state;
    struct tr_kernel_sample sample[SAMPLES];
    struct tr_kernel_rates even = {.threads = 2}, uneven = {.threads = 2};
    make_samples(sample, -1, 1);
    assert_int_equal(tr_kernel_fit(sample, SAMPLES, &even, &err), TR_OK);
    for (int i = 0; i < SAMPLES; i++) /* every second program is a third slower: nobody can tell from its shape */
        sample[i].time_s *= sample[i].program % 2 ? 1.33 : 1;
    assert_int_equal(tr_kernel_fit(sample, SAMPLES, &uneven, &err), TR_OK);
    assert_true(uneven.step_error > .08 && uneven.step_error > 2 * even.step_error);
}

/* A round that took nearly nothing beside the others: the profile is a bad one, and can be read. */
static void an_error_beyond_all_reason_is_one_that_a_file_may_have(void **state)
{
    (void)state;
    struct tr_kernel_sample sample[SAMPLES];
    struct tr_kernel_rates wild = {.threads = 2};
    make_samples(sample, -1, 1);
    for (int i = 0; i < SAMPLES; i++)
        for (sample[i].rounds = 0; sample[i].rounds < 3; sample[i].rounds++)
            sample[i].round_s[sample[i].rounds] = sample[i].time_s * (sample[i].rounds == 2 ? 1e-6 : 1);
    assert_int_equal(tr_kernel_fit(sample, SAMPLES, &wild, &err), TR_OK);
    assert_true(wild.step_error == TR_KERNEL_ERROR_MAX);
}

static void the_error_is_that_of_rounds_too(void **state)
{
    (void)state;
    struct tr_kernel_sample sample[SAMPLES];
    struct tr_kernel_rates even = {.threads = 2}, uneven = {.threads = 2};
    make_samples(sample, -1, 1);
    assert_int_equal(tr_kernel_fit(sample, SAMPLES, &even, &err), TR_OK);
    for (int i = 0; i < SAMPLES; i++) { /* the middle is as before */
        sample[i].rounds = 3;
        for (int round = 0; round < 3; round++)
            sample[i].round_s[round] = sample[i].time_s * (.9 + .1 * round);
    }
    assert_int_equal(tr_kernel_fit(sample, SAMPLES, &uneven, &err), TR_OK);
    assert_true(even.step_error < .05 && uneven.step_error > .08 && uneven.step_error < .15);
}

static void other_programs_widen_the_error_by_the_time_that_they_took(void **state)
{
    (void)state;
    struct tr_kernel_sample sample[SAMPLES];
    make_samples(sample, -1, 1);
    for (int i = 0; i < SAMPLES; i++)
        for (sample[i].rounds = 0; sample[i].rounds < TR_CALIBRATE_ROUNDS;) /* slowed down alike: nothing else would show it */
            sample[i].round_s[sample[i].rounds++] = sample[i].time_s;
    for (int busy = 0; busy < 2; busy++) {
        struct tr_samples samples = {.threads = 2, .at = sample, .count = SAMPLES, .waiting = .5 * busy};
        struct tr_kernel_rates is = {.threads = 2};
        assert_int_equal(tr_calibrate_fit(&samples, &is, &err), TR_OK);
        assert_true(busy ? is.machine.waiting == .5 && is.step_error == .5 : is.step_error < .05);
    }
}

static void bursts_after_the_work_count_as_those_before_it(void **state)
{
    (void)state;
    struct tr_kernel_machine m = {.noise = 0};
    tr_calibrate_burst(90, &m);
    tr_calibrate_burst(100, &m);
    assert_true(m.peak_flop_s[0] == 100 && fabs(m.noise - .1) < 1e-12);
    tr_calibrate_burst(80, &m); /* a clock that fell */
    assert_true(m.peak_flop_s[0] == 100 && fabs(m.noise - .2) < 1e-12);
    tr_calibrate_burst(160, &m); /* or rose */
    assert_true(m.peak_flop_s[0] == 160 && fabs(m.noise - .5) < 1e-12);
}

/* What a machine is that was {100, 200 FLOP/s, 10 byte/s at all levels, 40 ns}. */
static void says(struct tr_kernel_machine now, const char *differs, const char *likely)
{
    const struct tr_kernel_machine was = {.peak_flop_s = {100, 200}, .read_byte_s = {10, 10, 10, 10}, .hand_s = 40e-9, .disk_byte_s = 10};
    struct tr_text why = {0};
    const char *said = tr_calibrate_compare(&was, &now, &why);
    assert_int_equal(differs != NULL, said != NULL);
    if (differs && (!strstr(tr_text_str(&why), differs) || !strstr(said, likely)))
        fail_msg("it says: %s, likely %s", tr_text_str(&why), said);
    tr_text_free(&why);
}

static void a_machine_that_differs_is_told_why_and_what_to_do(void **state)
{
    (void)state;
    struct tr_kernel_machine same = {.peak_flop_s = {95, 205}, .read_byte_s = {10, 10, 10.5, 9.5}, .hand_s = 60e-9, .waiting = .05}, now;
    says(same, NULL, NULL);
    now = same, now.peak_flop_s[1] = 150;
    says(now, "; peak in bf16 is 150 FLOP/s, was 200 FLOP/s", "a lower clock");
    now = same, now.read_byte_s[TR_READ_MEMORY] = 5;
    says(now, "; reading memory is 5 B/s, was 10 B/s", "uses memory or the last cache");
    now = same, now.hand_s = 190e-9, now.read_byte_s[TR_READ_MEMORY] = 15; /* each has its own way to memory */
    says(now, "; a line of a cache takes 190 ns from one core to another, took 40: they have no cache in common now", "moved the cores of this virtual machine");
    now = same, now.hand_s = 9e-9;
    says(now, "; a line of a cache takes 9 ns from one core to another, took 40: they have a cache in common now", "moved the cores of this virtual machine");
    now = same, now.disk_byte_s = 6; /* or where nothing can be written 0 */
    says(now, NULL, NULL);
    now.disk_byte_s = 3;
    says(now, "; writing to the disk is 3 B/s, was 10 B/s", "another disk, or one that others write to");
    now = same, now.peak_flop_s[0] = 130;
    says(now, "; peak in fp32 is 130 FLOP/s", "something slowed this machine down while it was calibrated");
    now.waiting = .7;
    says(now, "; threads waited 0.70 s a second for a core", "other programs are at work here");
}

/* "-threads-4" and "-mpi-128" come behind it, and an id has 63 letters at most. */
static void a_chip_s_id_is_one_that_a_catalog_takes(void **state)
{
    (void)state;
    static const struct {
        const char *processor, *id;
        int cores;
    } chips[] = {{"AMD EPYC", "amd-epyc-2-cores", 2},
                 {"Intel(R) Xeon(R) CPU @ 2.20GHz ", "intel-r-xeon-r-cpu-2-20ghz-1-core", 1},
                 {"--", "processor-4-cores", 4},
                 {"AMD Ryzen Threadripper PRO 7995WX 96-Cores and more", "amd-ryzen-threadripper-pro-7995wx-96-65536-cores", 65536}};
    for (size_t i = 0; i < sizeof chips / sizeof *chips; i++) {
        char id[TR_PROFILE_NAME_BYTES];
        tr_calibrate_chip_id(chips[i].processor, chips[i].cores, id, sizeof id);
        assert_string_equal(id, chips[i].id);
        assert_true(strlen(id) + strlen("-threads-4") < TR_CATALOG_ID_BYTES);
    }
}

static void a_folder_whose_files_would_have_no_name_is_refused(void **state)
{
    (void)state;
    static char folder[TR_PATH_BYTES];
    struct tr_kernel_machine m;
    memset(folder, 'x', sizeof folder - 8);
    assert_int_equal(tr_calibrate_disk(folder, &m, &err), TR_BAD_INPUT);
    assert_non_null(strstr(err.text, "a path of more than"));
}

static void who_interrupts_the_exchanges_is_heard(void **state)
{
    (void)state;
    const atomic_int stop = SIGINT;
    const struct tr_calibrate_options options = {.scale = .05, .stop = &stop};
    struct tr_exchange_rates out = {.ranks = 0};
    double begin_s = tr_clock_s();
    assert_int_equal(tr_calibrate_threads(2, &options, NULL, &out, &err), TR_FAILED);
    assert_string_equal(err.text, "interrupted by SIGINT: nothing was written");
    assert_true(tr_clock_s() - begin_s < 10); /* not after all of it, nor after what ranks wait for each other at most */
}

static void ranks_are_measured_up_to_one_a_core(void **state)
{
    (void)state;
    int ranks[TR_PROFILE_EXCHANGES_MAX];
    assert_int_equal(tr_calibrate_rank_counts(1, ranks), 0);
    for (int cores = 2; cores < 8; cores++)
        assert_int_equal(tr_calibrate_rank_counts(cores, ranks), 2);
    assert_int_equal(ranks[0], 2);
    assert_int_equal(ranks[1], 4);
    assert_int_equal(tr_calibrate_rank_counts(8, ranks), 3);
    assert_int_equal(ranks[2], 8);
    assert_int_equal(tr_calibrate_rank_counts(48, ranks), 3);
    assert_int_equal(ranks[2], 32);
    assert_int_equal(tr_calibrate_rank_counts(4096, ranks), 3);
    assert_int_equal(ranks[2], TR_RANKS_THREADS_MAX);
}

static void a_visit_beside_other_programs_is_made_again_but_not_for_ever(void **state)
{
    (void)state;
    int left = 2;
    assert_false(tr_calibrate_again(.02, &left));
    assert_int_equal(left, 2);
    assert_true(tr_calibrate_again(.5, &left) && tr_calibrate_again(.2, &left));
    assert_false(tr_calibrate_again(.5, &left));
    assert_int_equal(left, 0);
}

/* Rounds as they are while two cores have a cache in common, but for `apart` of them (bits), which take so many times as long; in `changing`
 * ones the host moved a core, and nothing fits. */
static void make_rounds(struct tr_kernel_sample *sample, unsigned apart, unsigned changing, double times)
{
    for (sample->rounds = 0; sample->rounds < TR_CALIBRATE_ROUNDS; sample->rounds++) {
        bool is_apart = apart >> sample->rounds & 1, changes = changing >> sample->rounds & 1;
        sample->hand_s[sample->rounds] = changes ? -1 : is_apart ? 190e-9 : 40e-9;
        sample->round_s[sample->rounds] = sample->time_s * (changes ? 7 : is_apart ? times : 1);
    }
}

static void rounds_with_cores_apart_have_prices_of_their_own(void **state)
{
    (void)state;
    struct tr_kernel_sample sample[SAMPLES];
    struct tr_samples samples = {.threads = 2, .at = sample, .count = SAMPLES};
    struct tr_kernel_rates is = {.threads = 2}, was = truth();
    make_samples(sample, -1, 1);
    for (int i = 0; i < SAMPLES; i++) /* all programs have been seen near, two of three apart too */
        make_rounds(&sample[i], sample[i].program % 3 ? 6 : 0, 8, 1.3);
    assert_int_equal(tr_calibrate_fit(&samples, &is, &err), TR_OK);
    assert_true(fabs(is.machine.hand_s - 40e-9) < 1e-10 && fabs(is.machine.hand_apart_s - 190e-9) < 1e-10 && is.step_error < .05);
    struct tr_kernel_rates apart = is;
    assert_true(tr_kernel_set_apart(&apart, 150e-9));
    for (int i = 0; i < SAMPLES; i++) {
        double truth_s = tr_kernel_time(&was, &sample[i].op, sample[i].present, sample[i].state_bytes);
        assert_true(fabs(tr_kernel_time(&is, &sample[i].op, sample[i].present, sample[i].state_bytes) / truth_s - 1) < .01);
        assert_true(fabs(tr_kernel_time(&apart, &sample[i].op, sample[i].present, sample[i].state_bytes) / truth_s - 1.3) < .02);
    }
}

static void few_rounds_with_cores_apart_say_little_of_other_programs(void **state)
{
    (void)state;
    struct tr_kernel_sample sample[SAMPLES];
    struct tr_samples samples = {.threads = 2, .at = sample, .count = SAMPLES};
    for (int programs = 2; programs <= 3; programs++) { /* two are too few to say anything */
        struct tr_kernel_rates is = {.threads = 2};
        double seen = 0, others = 0;
        make_samples(sample, -1, 1);
        for (int i = 0; i < SAMPLES; i++)
            make_rounds(&sample[i], sample[i].program < programs ? 6 : 0, 0, 1.3);
        assert_int_equal(tr_calibrate_fit(&samples, &is, &err), TR_OK);
        struct tr_kernel_rates apart = is;
        assert_int_equal(tr_kernel_set_apart(&apart, 150e-9), programs == 3);
        for (int i = 0; i < SAMPLES && programs == 3; i++) {
            double near_s = tr_kernel_time(&is, &sample[i].op, sample[i].present, sample[i].state_bytes);
            double times = tr_kernel_time(&apart, &sample[i].op, sample[i].present, sample[i].state_bytes) / near_s;
            *(sample[i].program < programs ? &seen : &others) += times / (KINDS * (sample[i].program < programs ? programs : PROGRAMS - programs));
        }
        assert_true(programs < 3 || (seen > 1.03 && seen < 1.3 && others > .97 && others < seen));
    }
}

static void what_ranks_do_to_each_other_is_told_by_kind_and_the_whole_stays(void **state)
{
    (void)state;
    double alone_s[TR_OP_KIND_COUNT] = {[TR_OP_LINEAR] = 3, [TR_OP_ADAMW] = 1, [TR_OP_CLIP] = 1e-6}, all_s[TR_OP_KIND_COUNT] = {[TR_OP_LINEAR] = 3, [TR_OP_ADAMW] = 2, [TR_OP_CLIP] = 1e-4};
    double times[TR_OP_KIND_COUNT];
    tr_calibrate_work_times(alone_s, all_s, times);
    assert_true(fabs(times[TR_OP_LINEAR] - .8) < 1e-4 && fabs(times[TR_OP_ADAMW] - 1.6) < 1e-4 && times[TR_OP_GELU] == 0 && times[TR_OP_CLIP] == 0);
    struct tr_exchange_rates rates = {.shared = 5. / 4};
    memcpy(rates.work_times, times, sizeof times);
    assert_true(fabs(3 * tr_exchange_shared(&rates, TR_OP_LINEAR) + tr_exchange_shared(&rates, TR_OP_ADAMW) - 5) < 1e-3);
}

static void memory_is_not_slower_than_it_was_measured(void **state)
{
    (void)state;
    struct tr_kernel_sample sample[SAMPLES];
    struct tr_kernel_rates is = {.threads = 2, .machine = {.read_byte_s = {1e12, 5e11, 2e11, 1e11}}};
    make_samples(sample, -1, 1);
    for (int i = 0; i < SAMPLES; i++) /* what a disturbed calibration would have seen */
        sample[i].time_s *= sample[i].state_bytes > 5e8 ? 3 : 1;
    assert_int_equal(tr_kernel_fit(sample, SAMPLES, &is, &err), TR_OK);
    assert_true(is.price[TR_OP_LINEAR][0].unit_s[4] <= 1.5e-11 * 1.0001);
    assert_true(is.price[TR_OP_JOIN][0].unit_s[1] <= 1.5e-11 * 1.0001);
}

/* Short bursts beside others: all that few rows took seems to be the start of the threads. */
static void weights_of_few_rows_are_read_no_faster_than_the_nearest_cache(void **state)
{
    (void)state;
    struct tr_kernel_sample sample[SAMPLES];
    struct tr_kernel_rates is = {.threads = 2, .machine = {.read_byte_s = {1e12, 5e11, 2e11, 1e11}}};
    make_samples(sample, -1, 1);
    for (int i = 0; i < SAMPLES; i++)
        if (sample[i].program % 2) {
            sample[i].op.seq_len = 2;
            sample[i].time_s = tr_kernel_is_of_few_rows(&sample[i].op) ? 1e-7 : sample[i].time_s;
        }
    assert_int_equal(tr_kernel_fit(sample, SAMPLES, &is, &err), TR_OK);
    assert_true(is.price[TR_OP_LINEAR][0].unit_s[5] >= 1e-12 * .999);
}

static void a_step_is_the_sum_of_its_operations_as_often_as_they_are_scheduled(void **state)
{
    (void)state;
    struct tr_model_config model;
    struct tr_step_config step = {.dtype = TR_F32, .form = TR_FORM_ROWS, .batch = 8, .seq_len = 32, .micro_batch = 2,
                                  .widths = {.lanes = 2, .context = 1, .tensor = 1, .vocab = 1},
                                  .recompute = TR_RECOMPUTE_ELEMENTWISE, .optimizer = TR_OPTIMIZER_ADAMW};
    struct tr_machine machine = {.kernels = tr_kernel_set(TR_ISA_REF), .threads = 1};
    struct tr_kernel_rates rates = {.threads = 1, .between_s = 1};
    struct tr_program program;
    struct tr_here_time time;
    assert_int_equal(tr_model_from_depth(&model, 1, 256, 32, &err), TR_OK);
    assert_int_equal(tr_program_train(&program, &model, &step, machine, &err), TR_OK);
    int64_t ops = 0;
    for (int i = 0; i < program.schedule_count; i++)
        ops += program.section[program.schedule[i].section].op_count;
    tr_here_step(&rates, &program, &time); /* operations cost nothing, and a second lies between two */
    assert_true(time.between_s == (double)ops && time.step_s == (double)ops);
    rates.between_s = 0;
    rates.price[TR_OP_LINEAR][0] = (struct tr_kernel_price){.unit_s = {1}, .known = true}; /* a FLOP a second */
    tr_here_step(&rates, &program, &time);
    double flop = 0;
    for (int i = 0; i < program.schedule_count; i++)
        for (int k = 0; k < program.section[program.schedule[i].section].op_count; k++) {
            const struct tr_program_op *op = &program.op[program.section[program.schedule[i].section].first_op + k];
            if (op->op.kind == TR_OP_LINEAR)
                flop += (double)tr_op_work(&op->op, tr_program_op_present(op), 0).flop;
        }
    assert_true(flop > 0 && time.step_s == flop);
    tr_program_free(&program);
}

static void a_sample_is_its_tokens_one_by_one(void **state)
{
    (void)state;
    struct tr_model_config model;
    struct tr_step_config step = {.dtype = TR_F32, .form = TR_FORM_ROWS, .batch = 2, .seq_len = 32, .micro_batch = 2, .widths = {1, 1, 1, 1},
                                  .recompute = TR_RECOMPUTE_ELEMENTWISE, .optimizer = TR_OPTIMIZER_ADAMW};
    struct tr_machine machine = {.kernels = tr_kernel_set(TR_ISA_REF), .threads = 1};
    struct tr_kernel_rates rates = {.threads = 1, .price = {[TR_OP_LINEAR] = {{.unit_s = {[5] = 1}, .known = true}}}}; /* a byte a second of what is read as it lies */
    struct tr_program program;
    assert_int_equal(tr_model_from_depth(&model, 2, 256, 32, &err), TR_OK);
    assert_int_equal(tr_program_train(&program, &model, &step, machine, &err), TR_OK);
    double read = 4. * model.width * (double)model.vocab; /* the logits, which training has in its head */
    for (int i = 0; i < program.op_count; i++)
        if (program.op[i].op.kind == TR_OP_LINEAR && program.op[i].phase == TR_PHASE_FORWARD)
            read += 2 * (double)tr_op_work(&program.op[i].op, tr_program_op_present(&program.op[i]), 0).flop / 64; /* 4 bytes a multiply-add of a token */
    read += model.layers * 4. * (1 + 2 * 3) * model.width; /* a query, and keys and values of the two before it, in the mean, and of itself */
    double sample_s = tr_here_sample_s(&rates, &program, machine, 5);
    assert_true(sample_s == 5 * read);
    const struct tr_train_ahead ahead = {.program = &program, .fit = {.machine = machine}, .steps = 10, .evaluations = 2, .samples = 3, .sample_tokens = 5,
                                         .saves = 1, .save_bytes = 100};
    struct tr_train_predicted said = {.step_s = 1};
    rates.machine.disk_byte_s = 50, rates.machine.disk_sync_s = .5;
    tr_here_end(&rates, &ahead, 4, &said);
    assert_true(said.run_s == 10 + 2 * 4 + 3 * sample_s + 2.5);
    tr_program_free(&program);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_come_out_of_samples_that_obey_them),
        cmocka_unit_test(the_error_is_that_of_programs_left_out),
        cmocka_unit_test(an_error_beyond_all_reason_is_one_that_a_file_may_have),
        cmocka_unit_test(the_error_is_that_of_rounds_too),
        cmocka_unit_test(other_programs_widen_the_error_by_the_time_that_they_took),
        cmocka_unit_test(bursts_after_the_work_count_as_those_before_it),
        cmocka_unit_test(a_machine_that_differs_is_told_why_and_what_to_do),
        cmocka_unit_test(a_chip_s_id_is_one_that_a_catalog_takes),
        cmocka_unit_test(a_folder_whose_files_would_have_no_name_is_refused),
        cmocka_unit_test(who_interrupts_the_exchanges_is_heard),
        cmocka_unit_test(ranks_are_measured_up_to_one_a_core),
        cmocka_unit_test(a_visit_beside_other_programs_is_made_again_but_not_for_ever),
        cmocka_unit_test(rounds_with_cores_apart_have_prices_of_their_own),
        cmocka_unit_test(few_rounds_with_cores_apart_say_little_of_other_programs),
        cmocka_unit_test(what_ranks_do_to_each_other_is_told_by_kind_and_the_whole_stays),
        cmocka_unit_test(memory_is_not_slower_than_it_was_measured),
        cmocka_unit_test(weights_of_few_rows_are_read_no_faster_than_the_nearest_cache),
        cmocka_unit_test(a_sample_is_its_tokens_one_by_one),
        cmocka_unit_test(a_step_is_the_sum_of_its_operations_as_often_as_they_are_scheduled),
    };
    return cmocka_run_group_tests_name("plan/calibrate", tests, NULL, NULL);
}
