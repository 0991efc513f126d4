/* Planned = measured, and the shape of memory: what the step program says is what happens. */
#include "fixture.h"

#include <stdlib.h>

struct variant {
    struct tr_model_config model;
    struct tr_step_config step;
};

enum { F32_VARIANTS = 18, VARIANTS = 2 * F32_VARIANTS };

static struct variant variant(int i)
{
    const bool bf16 = i >= F32_VARIANTS;
    i %= F32_VARIANTS;
    struct variant v = {i % 2 == 0 ? fixture_gpt2() : fixture_llama(), fixture_step(4, 2, 67)};
    if (i / 2 == 1)
        v.step.recompute = TR_RECOMPUTE_FULL;
    if (i / 2 == 2) {
        v.step.seq_len = 130;
        v.step.widths = (struct tr_widths){4, 2, 2, 3};
        v.step.micro_batch = 1;
    }
    if (i / 2 == 3) {
        v.model.tied = !v.model.tied;
        v.model.layers = 1;
        v.step = fixture_step(3, 3, 1);
        v.step.widths.lanes = 1;
    }
    if (i / 2 == 4)
        v.step.optimizer = TR_OPTIMIZER_MUON;
    if (i / 2 == 5) {
        v.model.lora = (struct tr_lora){3, 6, tr_lora_targets(v.model.family)};
        v.step.recompute = i % 2 ? TR_RECOMPUTE_FULL : TR_RECOMPUTE_NONE;
        v.step.widths = (struct tr_widths){2, 1, 2, 3};
    }
    if (i / 2 == 6) {
        v.step = fixture_step(4, 2, 140);
        v.step.widths = (struct tr_widths){2, i % 2 + 1, 2, 3};
        v.step.apart = true;
    }
    if (i / 2 >= 7)
        v.step.recompute = TR_RECOMPUTE_ELEMENTWISE;
    if (i / 2 == 8)
        v.model.lora = (struct tr_lora){3, 6, 1u << TR_LORA_V | 1u << TR_LORA_DOWN}; /* not every input is needed again */
    v.step.dtype = bf16 ? TR_BF16 : TR_F32;
    return v;
}

static void counted(const struct tr_exec *e, struct tr_work *work)
{
    work->flop = atomic_load(&e->count.flop);
    work->read_bytes = atomic_load(&e->count.read_bytes);
    work->write_bytes = atomic_load(&e->count.write_bytes);
}

static void add_work(struct tr_work *sum, struct tr_work work)
{
    sum->flop += work.flop;
    sum->read_bytes += work.read_bytes;
    sum->write_bytes += work.write_bytes;
}

/* What a section does with the documents that begin where the batch says, from its sequence number `sequence` on. */
static struct tr_work section_work(const struct tr_exec *e, enum tr_section_kind section, int64_t sequence)
{
    const struct tr_program *p = e->program;
    struct tr_work sum = {0};
    for (int32_t i = 0; i < p->section[section].op_count; i++) {
        const struct tr_program_op *op = &p->op[p->section[section].first_op + i];
        const int32_t *starts = NULL;
        if (op->op.flags & TR_OP_APART)
            starts = (const int32_t *)tr_exec_buffer(e, p->starts) + sequence * p->seq_len;
        add_work(&sum, tr_op_work_apart(&op->op, tr_program_op_present(op), 0, starts));
    }
    return sum;
}

static struct tr_work step_work(const struct tr_exec *e)
{
    struct tr_work sum = {0};
    for (int32_t i = 0; i < e->program->schedule_count; i++)
        add_work(&sum, section_work(e, e->program->schedule[i].section, e->program->schedule[i].first_sequence));
    return sum;
}

static void check_counts(struct variant v, enum tr_isa isa, int threads)
{
    struct tr_program p;
    struct tr_exec e;
    fixture_open(&e, &p, &v.model, &v.step, fixture_machine(isa, threads));
    fixture_train(&e, 1);
    fixture_train(&e, 1); /* the same batch again */
    struct tr_work measured, bound = tr_program_step_work(&p), planned = step_work(&e);
    struct tr_work cast = section_work(&e, TR_SECTION_CAST, 0); /* of the initial weights */
    assert_int_equal(cast.write_bytes, v.step.dtype == TR_BF16 ? 2 * p.weights.element_count : 0);
    counted(&e, &measured);
    assert_true(planned.flop > 0 && (v.step.apart ? planned.flop < bound.flop : planned.flop == bound.flop));
    assert_int_equal(planned.read_bytes, bound.read_bytes);
    assert_int_equal(planned.write_bytes, bound.write_bytes);
    assert_int_equal(measured.flop, 2 * planned.flop);
    assert_int_equal(measured.read_bytes, 2 * planned.read_bytes + cast.read_bytes);
    assert_int_equal(measured.write_bytes, 2 * planned.write_bytes + cast.write_bytes);
    int64_t noted = 0;
    for (int phase = 0; phase < TR_PHASE_COUNT; phase++)
        for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++)
            noted += e.time[phase][kind].flop;
    assert_int_equal(noted, measured.flop);

    tr_exec_evaluate(&e);
    struct tr_work after, eval = section_work(&e, TR_SECTION_EVAL, 0);
    counted(&e, &after);
    assert_int_equal(after.flop - measured.flop, eval.flop);
    assert_int_equal(after.read_bytes - measured.read_bytes, eval.read_bytes);
    assert_int_equal(after.write_bytes - measured.write_bytes, eval.write_bytes);
    fixture_close(&e, &p);
}

static void work_counted_by_the_kernels_equals_the_plan(void **state)
{
    (void)state;
    for (int isa = 0; isa < TR_ISA_COUNT; isa++)
        for (int i = 0; i < (isa == TR_ISA_REF ? F32_VARIANTS : VARIANTS) && tr_isa_runs((enum tr_isa)isa); i++)
            check_counts(variant(i), (enum tr_isa)isa, 1 + i % 3);
}

static void peak_memory_touched_equals_the_plan(void **state)
{
    (void)state;
    static const enum tr_region region[] = {TR_REGION_WORK, TR_REGION_GRADIENTS};
    for (int isa = 0; isa < TR_ISA_COUNT; isa++) {
        const int first = isa % 2 * F32_VARIANTS; /* types in turn: both run the same bodies */
        for (int i = 0; i < 2 * F32_VARIANTS && tr_isa_runs((enum tr_isa)isa); i++) {
            struct variant v = variant(first + i / 2);
            struct tr_program p;
            struct tr_exec e;
            fixture_open(&e, &p, &v.model, &v.step, fixture_machine((enum tr_isa)isa, 1 + i % 3));
            assert_true(e.slab[region[i % 2]].mapped_bytes >= p.region_bytes[region[i % 2]]);
            assert_int_equal(fixture_touched(&e, region[i % 2], fixture_train), p.region_bytes[region[i % 2]]);
            fixture_close(&e, &p);
        }
    }
}

static void buffers_that_live_together_never_overlap(void **state)
{
    (void)state;
    for (int v = 0; v < VARIANTS; v++) {
        struct variant x = variant(v);
        struct tr_program p;
        struct tr_err err;
        assert_int_equal(tr_program_train(&p, &x.model, &x.step, fixture_machine(TR_ISA_REF, 2), &err), TR_OK);
        int64_t shared = 0;
        for (int32_t i = 0; i < p.buffer_count; i++) {
            const struct tr_buffer *a = &p.buffer[i];
            assert_int_equal(a->offset % TR_BUFFER_ALIGN, 0);
            assert_true(a->offset + a->bytes <= p.region_bytes[a->region]);
            for (int32_t j = 0; j < i; j++) {
                const struct tr_buffer *b = &p.buffer[j];
                bool same_time = a->region != TR_REGION_WORK ||
                                 (a->first_op <= b->last_op && b->first_op <= a->last_op);
                bool same_place = a->region == b->region && a->offset < b->offset + b->bytes &&
                                  b->offset < a->offset + a->bytes;
                shared += same_place;
                assert_false(same_time && same_place);
            }
        }
        assert_true(shared > 0); /* the plan does reuse memory */
        tr_program_free(&p);
    }
}

static void operands_have_the_size_that_their_operation_says(void **state)
{
    (void)state;
    for (int v = 0; v < VARIANTS; v++) {
        struct variant x = variant(v);
        struct tr_program p;
        struct tr_err err;
        assert_int_equal(tr_program_train(&p, &x.model, &x.step, fixture_machine(TR_ISA_REF, 1), &err), TR_OK);
        for (int32_t i = 0; i < p.op_count; i++) {
            const struct tr_program_op *o = &p.op[i];
            for (int k = 0; k < tr_op_operands(o->op.kind)->operand_count; k++) {
                if (o->buffer[k] < 0) {
                    assert_true(tr_op_operands(o->op.kind)->operand[k].optional);
                    continue;
                }
                const struct tr_buffer *b = &p.buffer[o->buffer[k]];
                assert_int_equal(tr_op_operand_dtype(&o->op, k), b->dtype);
                int64_t bytes = tr_op_operand_bytes(&o->op, k);
                bool part_of_it = b->region == TR_REGION_BATCH || b->region == TR_REGION_GRADIENTS;
                assert_true(part_of_it ? bytes <= b->bytes : bytes == b->bytes);
            }
        }
        tr_program_free(&p);
    }
}

static void memory_by_kind_sums_to_the_whole(void **state)
{
    (void)state;
    struct variant x = variant(4);
    struct tr_program p;
    struct tr_err err;
    assert_int_equal(tr_program_train(&p, &x.model, &x.step, fixture_machine(TR_ISA_REF, 1), &err), TR_OK);
    int64_t bytes[TR_BUF_KIND_COUNT], sum = 0;
    tr_program_memory_by_kind(&p, bytes);
    for (int kind = 0; kind < TR_BUF_KIND_COUNT; kind++) {
        assert_true(bytes[kind] >= 0);
        sum += bytes[kind];
    }
    assert_int_equal(sum, tr_program_memory_bytes(&p));
    tr_program_free(&p);
}

static void recompute_needs_less_memory_and_more_work(void **state)
{
    (void)state;
    struct tr_model_config model = fixture_gpt2();
    model.layers = 8;
    struct tr_step_config step = fixture_step(2, 2, 128);
    struct tr_program plain, elementwise, full;
    struct tr_err err;
    struct tr_machine machine = fixture_machine(TR_ISA_REF, 1);
    assert_int_equal(tr_program_train(&plain, &model, &step, machine, &err), TR_OK);
    step.recompute = TR_RECOMPUTE_ELEMENTWISE;
    assert_int_equal(tr_program_train(&elementwise, &model, &step, machine, &err), TR_OK);
    step.recompute = TR_RECOMPUTE_FULL;
    assert_int_equal(tr_program_train(&full, &model, &step, machine, &err), TR_OK);
    assert_true(elementwise.region_bytes[TR_REGION_WORK] < plain.region_bytes[TR_REGION_WORK] * 3 / 4);
    assert_true(full.region_bytes[TR_REGION_WORK] < plain.region_bytes[TR_REGION_WORK] / 2);
    int64_t least = tr_program_step_work(&plain).flop;
    assert_true(tr_program_step_work(&full).flop > least);
    assert_in_range(tr_program_step_work(&elementwise).flop, least, least + least / 100); /* no matrix product */
    tr_program_free(&plain);
    tr_program_free(&elementwise);
    tr_program_free(&full);
}

static void bf16_halves_activations_and_keeps_weights_moments_and_gradients(void **state)
{
    (void)state;
    struct tr_model_config model = fixture_llama();
    struct tr_step_config step = fixture_step(4, 4, 128);
    struct tr_machine machine = fixture_machine(TR_ISA_REF, 1);
    struct tr_program p;
    struct tr_err err;
    int64_t f32[TR_BUF_KIND_COUNT], bf16[TR_BUF_KIND_COUNT];
    for (int type = TR_F32; type <= TR_BF16; type++) {
        step.dtype = (enum tr_dtype)type;
        assert_int_equal(tr_program_train(&p, &model, &step, machine, &err), TR_OK);
        tr_program_memory_by_kind(&p, type == TR_F32 ? f32 : bf16);
        tr_program_free(&p);
    }
    assert_int_equal(bf16[TR_BUF_WEIGHT], f32[TR_BUF_WEIGHT]);
    assert_int_equal(bf16[TR_BUF_MOMENT], f32[TR_BUF_MOMENT]);
    assert_int_equal(bf16[TR_BUF_GRADIENT], f32[TR_BUF_GRADIENT]);
    assert_int_equal(f32[TR_BUF_COPY], 0);
    assert_int_equal(2 * bf16[TR_BUF_COPY], f32[TR_BUF_WEIGHT]);
    assert_true(bf16[TR_BUF_ACTIVATION] < f32[TR_BUF_ACTIVATION] * 6 / 10); /* losses and statistics stay fp32 */
}

static void expect_refusal(struct tr_model_config model, struct tr_step_config step, const char *words)
{
    struct tr_program p;
    struct tr_err err;
    assert_int_equal(tr_program_train(&p, &model, &step, fixture_machine(TR_ISA_REF, 1), &err), TR_BAD_INPUT);
    if (strstr(err.text, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.text, words);
}

static void impossible_steps_are_refused_with_a_sentence(void **state)
{
    (void)state;
    struct tr_model_config m = fixture_gpt2();
    struct tr_step_config s = fixture_step(4, 2, 64);
    struct tr_step_config bad = s;
    bad.seq_len = 193;
    expect_refusal(m, bad, "positions for 1 to 192");
    bad = s;
    bad.widths.lanes = 3;
    expect_refusal(m, bad, "3 or 6 would be");
    bad = s;
    bad.micro_batch = 3;
    expect_refusal(m, bad, "micro_batch 3 does not divide");
    bad = s;
    bad.widths.context = 2;
    expect_refusal(m, bad, "context is 2");
    bad = s;
    bad.widths.tensor = 4;
    expect_refusal(m, bad, "tensor is 4");
    bad = s;
    bad.widths.vocab = 0;
    expect_refusal(m, bad, "vocab is 0");
    bad = s;
    bad.batch = INT64_MAX / 2;
    expect_refusal(m, bad, "tokens in all");
    m.heads = 0;
    expect_refusal(m, s, "head");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(work_counted_by_the_kernels_equals_the_plan),
        cmocka_unit_test(peak_memory_touched_equals_the_plan),
        cmocka_unit_test(buffers_that_live_together_never_overlap),
        cmocka_unit_test(operands_have_the_size_that_their_operation_says),
        cmocka_unit_test(memory_by_kind_sums_to_the_whole),
        cmocka_unit_test(recompute_needs_less_memory_and_more_work),
        cmocka_unit_test(bf16_halves_activations_and_keeps_weights_moments_and_gradients),
        cmocka_unit_test(impossible_steps_are_refused_with_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
