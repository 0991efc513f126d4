/* The step programs: which buffers and sections each has, and sums over them. */
#include "lab/model/program.h"

#include "lab/model/build.h"

#include <stdlib.h>
#include <string.h>

/* ---- the programs ------------------------------------------------------------------------------------------------ */

static enum tr_status begin(struct tr_program *p, struct tr_builder *b, const struct tr_model_config *model,
                            const struct tr_step_config *step, struct tr_err *err)
{
    memset(p, 0, sizeof *p);
    *b = (struct tr_builder){.program = p, .layer = -1};
    p->model = *model;
    tr_arena_init(&p->arena, "step program", (int64_t)1 << 30);
    p->tokens = p->targets = p->starts = p->loss = p->rope_table = p->logits = p->head_panels = -1;
    p->first_weight = p->first_copy = p->first_grad = p->first_m = p->first_v = -1;
    enum tr_status status = tr_model_check(model, model->name, err);
    if (status == TR_OK)
        status = tr_weights_make(&p->weights, model, err);
    if (status == TR_OK)
        status = tr_build_check_step(model, step, err);
    if (status != TR_OK)
        return status;
    p->step = *step;
    tr_weights_set_optimizer(&p->weights, step->optimizer);
    p->seqs = step->micro_batch;
    p->seq_len = step->seq_len;
    b->layers = calloc((size_t)model->layers, sizeof *b->layers);
    if (b->layers == NULL)
        return tr_fail(err, TR_FAILED, "out of memory for the buffers of %lld layers", (long long)model->layers);
    return tr_build_place_rank(b, err);
}

/* Places what was built, if all went well, and hands it over; else nothing is left of it. */
static enum tr_status end(struct tr_builder *b, enum tr_status status, struct tr_machine machine, struct tr_program *program,
                          struct tr_err *err)
{
    struct tr_program *p = b->program;
    free(b->layers);
    if (status == TR_OK && b->out_of_memory)
        status = tr_fail(err, TR_FAILED, "out of memory while writing the step program (%d operations, %d buffers; at most "
                         "%d of each)", p->op_count, p->buffer_count, TR_BUILD_MAX);
    if (status == TR_OK)
        status = tr_build_place(b, machine, err);
    if (status == TR_OK)
        *program = *p;
    else
        tr_program_free(p);
    return status;
}

/* What a batch consists of, of `sequences` sequences. */
static void add_batch(struct tr_builder *b, int64_t sequences)
{
    struct tr_program *p = b->program;
    p->tokens = tr_build_batch_buffer(b, sequences, "tokens");
    p->targets = tr_build_batch_buffer(b, sequences, "targets");
    if (p->step.apart)
        p->starts = tr_build_batch_buffer(b, sequences, "starts");
}

static enum tr_status build_train(struct tr_builder *b, struct tr_err *err)
{
    struct tr_program *p = b->program;
    tr_build_weight_buffers(b);
    p->first_m = tr_build_moment_buffers(b, 1, "m");
    p->first_v = tr_build_moment_buffers(b, 2, "v");
    tr_build_gradient_buffers(b);
    enum tr_status status = tr_build_share(b, err);
    if (status != TR_OK)
        return status;
    tr_build_rope_buffer(b, p->step.seq_len);
    add_batch(b, p->sequences);
    tr_build_cast(b);
    tr_build_chunks(b);
    tr_build_reductions(b);
    tr_build_update(b);
    tr_build_eval(b);
    return tr_build_schedule(p, err);
}

enum tr_status tr_program_train(struct tr_program *program, const struct tr_model_config *model,
                                const struct tr_step_config *step, struct tr_machine machine, struct tr_err *err)
{
    struct tr_program p;
    struct tr_builder b;
    enum tr_status status = begin(&p, &b, model, step, err);
    if (status == TR_OK)
        status = build_train(&b, err);
    return end(&b, status, machine, program, err);
}

enum tr_status tr_program_eval(struct tr_program *program, const struct tr_model_config *model, enum tr_dtype dtype,
                               enum tr_weight_form form, const struct tr_widths *widths, int64_t seqs, int64_t seq_len, bool apart,
                               struct tr_machine machine, struct tr_err *err)
{
    struct tr_program p;
    struct tr_builder b;
    const struct tr_step_config step = {.dtype = dtype, .form = form, .batch = seqs, .seq_len = seq_len, .micro_batch = seqs,
                                        .widths = {1, widths->context, widths->tensor, widths->vocab}, .apart = apart};
    enum tr_status status = begin(&p, &b, model, &step, err);
    if (status == TR_OK) {
        tr_build_weight_buffers(&b);
        tr_build_rope_buffer(&b, seq_len);
        add_batch(&b, seqs);
        tr_build_cast(&b);
        tr_build_eval(&b);
    }
    return end(&b, status, machine, program, err);
}

static void build_infer(struct tr_builder *b, int64_t capacity)
{
    struct tr_program *p = b->program;
    b->infer = true;
    tr_build_weight_buffers(b);
    tr_build_rope_buffer(b, capacity);
    b->first_k_cache = tr_build_cache_buffers(b, capacity, "k");
    b->first_v_cache = tr_build_cache_buffers(b, capacity, "v");
    p->tokens = tr_build_batch_buffer(b, p->seqs, "tokens");
    tr_build_cast(b);
    tr_build_infer(b);
}

enum tr_status tr_program_infer(struct tr_program *program, const struct tr_model_config *model, enum tr_dtype dtype,
                                enum tr_weight_form form, const struct tr_widths *widths, int64_t seqs, int64_t tokens, int64_t capacity,
                                struct tr_machine machine, struct tr_err *err)
{
    struct tr_program p;
    struct tr_builder b;
    const struct tr_step_config step = {.dtype = dtype, .form = form, .batch = seqs, .seq_len = tokens, .micro_batch = seqs,
                                        .widths = {1, 1, widths->tensor, 1}};
    enum tr_status status = begin(&p, &b, model, &step, err);
    if (status == TR_OK && (capacity < tokens || capacity > model->positions))
        status = tr_fail(err, TR_BAD_INPUT, "%lld tokens of text are wanted; model %s has positions for %lld",
                         (long long)capacity, model->name, (long long)model->positions);
    if (status == TR_OK)
        build_infer(&b, capacity);
    return end(&b, status, machine, program, err);
}

void tr_program_free(struct tr_program *program)
{
    tr_weights_free(&program->weights);
    free(program->buffer);
    free(program->op);
    free(program->coll);
    free(program->schedule);
    tr_arena_free(&program->arena);
    memset(program, 0, sizeof *program);
}

/* ---- sums over a program ----------------------------------------------------------------------------------------- */

uint32_t tr_program_op_present(const struct tr_program_op *op)
{
    uint32_t present = 0;
    for (int i = 0; i < TR_OP_OPERANDS_MAX; i++)
        if (op->buffer[i] >= 0)
            present |= 1u << i;
    return present;
}

static void add_work(struct tr_work *sum, struct tr_work work)
{
    sum->flop += work.flop;
    sum->read_bytes += work.read_bytes;
    sum->write_bytes += work.write_bytes;
}

/* Of an entry of the schedule. */
static struct tr_work entry_work(const struct tr_program *p, const struct tr_schedule_entry *entry, int64_t position)
{
    struct tr_work sum = {0};
    const struct tr_program_section *s = &p->section[entry->section];
    for (int32_t i = s->first_op; i < s->first_op + s->op_count; i++)
        if (p->op[i].coll < 0 && tr_program_op_runs(p, &p->op[i], entry))
            add_work(&sum, tr_op_work(&p->op[i].op, tr_program_op_present(&p->op[i]), position));
    return sum;
}

struct tr_work tr_program_section_work(const struct tr_program *p, int32_t section, int64_t position)
{
    return entry_work(p, &(struct tr_schedule_entry){.section = section, .last = true}, position);
}

struct tr_work tr_program_step_work(const struct tr_program *p)
{
    struct tr_work section[TR_SECTIONS_MAX][2], sum = {0};
    for (int32_t s = 0; s < p->section_count; s++)
        for (int last = 0; last < 2; last++)
            section[s][last] = entry_work(p, &(struct tr_schedule_entry){.section = s, .last = last}, 0);
    for (int32_t i = 0; i < p->schedule_count; i++)
        if (!p->schedule[i].idle)
            add_work(&sum, section[p->schedule[i].section][p->schedule[i].last]);
    return sum;
}

const char *tr_form_name(enum tr_weight_form form)
{
    static const char *const name[TR_FORM_COUNT] = {"rows", "panels", "int8", "int4"};
    TR_ASSERT((int)form >= 0 && form < TR_FORM_COUNT);
    return name[form];
}

const char *tr_phase_name(enum tr_phase phase)
{
    static const char *const name[TR_PHASE_COUNT] = {"forward", "recompute", "backward", "reduce", "update", "eval", "load"};
    TR_ASSERT((int)phase >= 0 && phase < TR_PHASE_COUNT);
    return name[phase];
}
