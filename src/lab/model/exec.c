#include "lab/model/exec.h"

#include "base/num.h"
#include "base/os.h"
#include "lab/model/rope.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static bool may_share(enum tr_region region)
{
    return region == TR_REGION_WEIGHTS || region == TR_REGION_COPIES || region == TR_REGION_CONSTANTS ||
           region == TR_REGION_CACHE;
}

static enum tr_status map_region(struct tr_exec *e, enum tr_region region, const struct tr_exec *share,
                                 struct tr_err *err)
{
    int64_t bytes = e->program->region_bytes[region];
    if (bytes == 0)
        return TR_OK;
    bool work = region == TR_REGION_WORK && share != NULL && share->lends_work && share->slab[region].bytes >= bytes;
    if (work || (share != NULL && may_share(region) && share->program->region_bytes[region] == bytes)) {
        e->slab[region] = share->slab[region];
        e->slab_borrowed[region] = true;
        return TR_OK;
    }
    enum tr_status status = tr_slab_map(bytes, &e->slab[region], err);
    if (status == TR_OK)
        tr_slab_touch(&e->slab[region]); /* pay for the pages before anybody times a step */
    return status;
}

enum tr_status tr_exec_open(struct tr_exec *exec, const struct tr_program *program, struct tr_machine machine,
                            const struct tr_exec *share, struct tr_err *err)
{
    struct tr_exec e = {.program = program, .machine = machine, .crowd = share ? share->crowd : NULL};
    TR_ASSERT(machine.kernels != NULL && machine.threads >= 1);
    for (int region = 0; region < TR_REGION_COUNT; region++) {
        enum tr_status status = map_region(&e, (enum tr_region)region, share, err);
        if (status != TR_OK) {
            tr_err_prefix(err, "memory for %s", tr_region_name((enum tr_region)region));
            tr_exec_close(&e);
            return status;
        }
    }
    if (program->coll_count > 0 && (e.started = calloc((size_t)program->coll_count, sizeof *e.started)) == NULL) {
        tr_exec_close(&e);
        return tr_fail(err, TR_FAILED, "out of memory for %d collectives", program->coll_count);
    }
    if (program->rope_table >= 0 && !e.slab_borrowed[TR_REGION_CONSTANTS])
        tr_rope_table(&program->model, 0, program->buffer[program->rope_table].shape.dim[0],
                      tr_exec_buffer(&e, program->rope_table));
    e.values.loss_scale = 1.0f;
    *exec = e;
    return TR_OK;
}

enum tr_status tr_exec_join(struct tr_exec *exec, struct tr_comm *world, struct tr_err *err)
{
    const struct tr_rank_place *place = &exec->program->step.place;
    TR_ASSERT(tr_comm_count(world) == tr_degrees_ranks(&place->degrees) && tr_comm_index(world) == place->rank);
    for (int g = 0; g < TR_GROUP_COUNT; g++) {
        enum tr_group group = (enum tr_group)g;
        enum tr_status status = tr_degrees_of(&place->degrees, group) == 1 ? TR_OK :
            tr_comm_split(world, tr_group_name(group), tr_rank_group_first(place, group), tr_rank_index(place, group),
                          &exec->group[group], err);
        if (status != TR_OK)
            return status;
    }
    return TR_OK;
}

enum tr_status tr_exec_failed(const struct tr_exec *exec, struct tr_err *err)
{
    if (exec->status != TR_OK)
        *err = exec->err;
    return exec->status;
}

void tr_exec_close(struct tr_exec *exec)
{
    for (int group = 0; group < TR_GROUP_COUNT; group++)
        tr_comm_free(exec->group[group]);
    free(exec->started);
    for (int region = 0; region < TR_REGION_COUNT; region++)
        if (!exec->slab_borrowed[region])
            tr_slab_unmap(&exec->slab[region]);
    memset(exec, 0, sizeof *exec);
}

void *tr_exec_buffer(const struct tr_exec *exec, int32_t buffer)
{
    TR_ASSERT(buffer >= 0 && buffer < exec->program->buffer_count);
    const struct tr_buffer *b = &exec->program->buffer[buffer];
    return (char *)exec->slab[b->region].at + b->offset;
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

/* Where operand `index` of an op lies for this entry of the schedule: gradients by slot, the batch by microbatch. */
static void *operand_address(const struct tr_exec *e, const struct tr_program_op *op, int index,
                             const struct tr_schedule_entry *entry)
{
    int32_t id = op->buffer[index];
    if (id < 0)
        return NULL;
    int32_t slot = entry->slot + op->slot + (index == TR_JOIN_SRC && op->op.kind == TR_OP_JOIN ? op->src_slot : 0);
    const struct tr_buffer *b = &e->program->buffer[id + slot * e->program->buffer[id].slot_stride];
    return (char *)e->slab[b->region].at + b->offset + entry->first_sequence * b->bytes_per_sequence +
           entry->flight * b->bytes_per_flight + entry->mail * b->bytes_per_mail;
}

static void note_time(struct tr_exec *e, struct tr_op_time *to, const struct tr_exec_seen *seen)
{
    to->time_s += seen->end_s - seen->begin_s;
    to->flop += seen->flop;
    to->bytes += seen->bytes;
    if (e->observer != NULL)
        e->observer(e->observer_context, seen);
}

/* Waits until what was sent from this place has been taken, if anything was. */
static enum tr_status wait_for_mail(struct tr_exec *e, struct tr_mail *mail)
{
    bool under_way = mail->under_way;
    mail->under_way = false;
    return under_way ? tr_message_wait(e->group[TR_GROUP_PIPE], &mail->pending, &e->err) : TR_OK;
}

static enum tr_status call_message(struct tr_exec *e, const struct tr_program_op *op, const struct tr_program_coll *coll,
                                   const struct tr_schedule_entry *entry)
{
    struct tr_mail *mail = &e->mail[coll->way][entry->mail];
    struct tr_comm *comm = e->group[coll->group];
    struct tr_pending pending;
    void *at = operand_address(e, op, 0, entry);
    if (coll->when == TR_COLL_WAIT)
        return wait_for_mail(e, mail);
    if (coll->call.kind == TR_COLL_SEND) {
        TR_ASSERT(!mail->under_way);
        mail->under_way = true;
        return tr_send_start(comm, coll->peer, coll->way, at, coll->call.count, &mail->pending, &e->err);
    }
    enum tr_status status = tr_recv_start(comm, coll->peer, coll->way, at, coll->call.count, &pending, &e->err);
    return status == TR_OK ? tr_message_wait(comm, &pending, &e->err) : status;
}

/* Nothing that was sent is under way any more. */
static void settle(struct tr_exec *e)
{
    for (int way = 0; way < TR_WAY_COUNT; way++)
        for (int i = 0; i < TR_PIPE_MAILS_MAX && e->status == TR_OK; i++)
            e->status = wait_for_mail(e, &e->mail[way][i]);
}

/* The call with its addresses; it and its nodes live in `started`. */
static struct tr_coll *complete_call(const struct tr_exec *e, const struct tr_program_op *op, const struct tr_program_coll *coll,
                                     const struct tr_schedule_entry *entry, struct tr_started *started)
{
    struct tr_coll *call = &started->call;
    *call = coll->call;
    if (coll->of_round)
        call->owners = entry->owners;
    int32_t id = op->buffer[0];
    bool slots = call->owners != NULL && coll->node_at == NULL; /* counted from 0, whatever the entry's slot is */
    char *at = call->to = slots ? tr_exec_buffer(e, id) : operand_address(e, op, 0, entry);
    char *other = operand_address(e, op, 1, entry);
    if (call->owners != NULL)
        for (int k = 0; k < tr_owners_nodes(call->owners, coll->index); k++)
            started->node[k] = slots ? tr_exec_buffer(e, id + k * e->program->buffer[id].slot_stride)
                                     : (const float *)(const void *)(at + coll->node_at[k]);
    call->node = started->node;
    if (call->kind == TR_COLL_REDUCE_SCATTER)
        call->to = other ? (void *)(other + coll->other_bytes) : (float *)(void *)at + call->at[coll->index];
    if (call->kind == TR_COLL_ALL_TO_ALL)
        call->from = other;
    if (call->kind == TR_COLL_ALL_GATHER) {
        call->to = at + coll->to_bytes;
        call->from = other ? other + coll->other_bytes : at + coll->to_bytes + call->at[coll->index];
    }
    return call;
}

static enum tr_status call_coll(struct tr_exec *e, const struct tr_program_op *op, const struct tr_program_coll *coll,
                                const struct tr_schedule_entry *entry)
{
    struct tr_comm *comm = e->group[coll->group];
    struct tr_started *started = &e->started[coll->when == TR_COLL_WAIT ? coll->started : op->coll];
    if (coll->call.kind == TR_COLL_SEND || coll->call.kind == TR_COLL_RECV)
        return call_message(e, op, coll, entry);
    if (coll->call.kind == TR_COLL_EXACT)
        return tr_exact_all(comm, coll->scalar == TR_SCALAR_LOSS ? &e->loss_sum : &e->grad_sq, &e->err);
    if (coll->when == TR_COLL_WAIT)
        return tr_coll_wait(comm, started->ticket, &e->err);
    const struct tr_coll *call = complete_call(e, op, coll, entry, started);
    if (call->kind == TR_COLL_ALL_REDUCE && coll->group == TR_GROUP_DATA && e->all_reduce != NULL)
        return e->all_reduce(e->all_reduce_context, call, &e->err);
    if (coll->when == TR_COLL_START)
        return tr_coll_start(comm, call, &started->ticket, &e->err);
    return tr_coll_run(comm, call, &e->err);
}

static void run_coll(struct tr_exec *e, const struct tr_program_op *op, const struct tr_schedule_entry *entry)
{
    const struct tr_program_coll *coll = &e->program->coll[op->coll];
    TR_ASSERT(e->group[coll->group] != NULL); /* tr_exec_join */
    struct tr_op_time *t = &e->coll_time[op->phase][coll->call.kind];
    struct tr_exec_seen seen = {.op = op, .entry = entry, .bytes = tr_program_coll_bytes(coll, entry), .begin_s = tr_clock_s()};
    e->status = call_coll(e, op, coll, entry);
    seen.end_s = tr_clock_s();
    t->calls += coll->when != TR_COLL_WAIT;
    note_time(e, t, &seen);
}

static void run_kernel(struct tr_exec *e, const struct tr_program_op *op, const struct tr_schedule_entry *entry)
{
    struct tr_call call = {.op = &op->op, .values = &e->values, .count = &e->count};
    for (int k = 0; k < tr_op_operands(op->op.kind)->operand_count; k++)
        call.operand[k] = operand_address(e, op, k, entry);
    if (op->workspace >= 0)
        call.workspace = tr_exec_buffer(e, op->workspace);
    struct tr_op_time *t = &e->time[op->phase][op->op.kind];
    struct tr_exec_seen seen = {.op = op, .entry = entry, .begin_s = tr_clock_s()};
    call.threads = e->crowd ? tr_crowd_threads(e->crowd, e->machine.threads, seen.begin_s) : e->machine.threads;
    tr_kernel_run(e->machine.kernels, &call);
    seen.end_s = tr_clock_s();
    e->crowded_s += call.threads < e->machine.threads ? seen.end_s - seen.begin_s : 0;
    const int32_t *start = op->op.flags & TR_OP_APART ? call.operand[tr_op_start_operand(op->op.kind)] : NULL;
    struct tr_work work = tr_op_work_apart(&op->op, tr_program_op_present(op), e->values.position, start);
    seen.flop = work.flop;
    seen.bytes = work.read_bytes + work.write_bytes;
    t->calls++;
    note_time(e, t, &seen);
}

static void run_ops(struct tr_exec *e, const struct tr_schedule_entry *entry, int32_t first_op, int32_t op_count)
{
    e->values.loss_sum = &e->loss_sum;
    e->values.grad_sq = &e->grad_sq;
    for (int32_t i = first_op; i < first_op + op_count && e->status == TR_OK; i++) {
        const struct tr_program_op *op = &e->program->op[i];
        if (!tr_program_op_runs(e->program, op, entry))
            continue;
        if (op->coll >= 0)
            run_coll(e, op, entry);
        else
            run_kernel(e, op, entry);
    }
}

static void run_section(struct tr_exec *e, const struct tr_schedule_entry *entry)
{
    const struct tr_program_section *section = &e->program->section[entry->section];
    run_ops(e, entry, section->first_op, section->op_count);
}

/* The update section is in two halves: up to CLIP, which only reads gradients, and the changes of weights after it. */
static int32_t clip_op(const struct tr_program *p)
{
    int32_t i = p->section[TR_SECTION_UPDATE].first_op;
    while (p->op[i].coll >= 0 || p->op[i].op.kind != TR_OP_CLIP)
        i++;
    return i;
}

struct tr_step_result tr_exec_gradients(struct tr_exec *exec, int64_t target_count)
{
    const struct tr_program *p = exec->program;
    TR_ASSERT(p->schedule_count > 0 && target_count > 0);
    tr_kernel_assert_fp_mode();
    tr_exact_clear(&exec->loss_sum, TR_EXACT_VALUES);
    tr_exact_clear(&exec->grad_sq, TR_EXACT_SQUARES);
    exec->values.loss_scale = (float)(1.0 / (double)target_count);
    exec->values.position = 0;
    for (int32_t i = 0; i < p->schedule_count - 1; i++)
        run_section(exec, &p->schedule[i]);
    settle(exec);

    const struct tr_schedule_entry *update = &p->schedule[p->schedule_count - 1];
    TR_ASSERT(update->section == TR_SECTION_UPDATE);
    int32_t first = p->section[TR_SECTION_UPDATE].first_op;
    run_ops(exec, update, first, clip_op(p) + 1 - first);
    double loss = tr_exact_value(&exec->loss_sum) / (double)target_count;
    return (struct tr_step_result){.loss = loss,
                                   .grad_norm = exec->values.grad_norm,
                                   .finite = exec->status == TR_OK && isfinite(loss) && isfinite(exec->values.grad_norm)};
}

void tr_exec_update(struct tr_exec *exec)
{
    const struct tr_program *p = exec->program;
    const struct tr_program_section *section = &p->section[TR_SECTION_UPDATE];
    int32_t first = clip_op(p) + 1;
    run_ops(exec, &p->schedule[p->schedule_count - 1], first, section->first_op + section->op_count - first);
}

void tr_exec_weights_written(struct tr_exec *exec)
{
    run_section(exec, &(struct tr_schedule_entry){.section = TR_SECTION_CAST});
    if (exec->program->step.form != TR_FORM_ROWS && !exec->slab_borrowed[TR_REGION_WEIGHTS])
        tr_slab_unmap(&exec->slab[TR_REGION_WEIGHTS]);
}

double tr_exec_evaluate(struct tr_exec *exec)
{
    tr_kernel_assert_fp_mode();
    tr_exact_clear(&exec->loss_sum, TR_EXACT_VALUES);
    exec->values.position = 0;
    run_section(exec, &(struct tr_schedule_entry){.section = TR_SECTION_EVAL});
    return tr_exact_value(&exec->loss_sum);
}

void tr_exec_attend(struct tr_exec *exec)
{
    run_section(exec, &(struct tr_schedule_entry){.section = TR_SECTION_EVAL, .idle = true});
}

struct tr_coll_times tr_exec_coll_times(const struct tr_exec *exec)
{
    struct tr_coll_times sum = {0, 0};
    for (int kind = TR_COLL_BARRIER; kind < TR_COLL_KIND_COUNT; kind++) {
        for (int group = 0; group < TR_GROUP_COUNT; group++)
            sum.busy_s += exec->group[group] ? tr_comm_counted(exec->group[group], kind)->busy_s : 0;
        for (int phase = 0; phase < TR_PHASE_COUNT; phase++)
            sum.exposed_s += exec->coll_time[phase][kind].time_s;
    }
    return sum;
}

double tr_exec_form_error(const struct tr_exec *exec)
{
    const struct tr_program *p = exec->program;
    double changed = 0.0, all = 0.0;
    for (int32_t i = 0; i < p->op_count; i++) {
        if (p->op[i].op.kind != TR_OP_PACK)
            continue;
        const float *sum = tr_exec_buffer(exec, p->op[i].buffer[TR_PACK_ERROR]);
        for (int64_t panel = 0; panel < p->buffer[p->op[i].buffer[TR_PACK_ERROR]].shape.dim[0]; panel++) {
            changed += (double)sum[2 * panel];
            all += (double)sum[2 * panel + 1];
        }
    }
    return all > 0.0 ? sqrt(changed / all) : 0.0;
}

const float *tr_exec_infer(struct tr_exec *exec, const int32_t *tokens, int64_t position)
{
    const struct tr_program *p = exec->program;
    tr_kernel_assert_fp_mode();
    memcpy(tr_exec_buffer(exec, p->tokens), tokens, (size_t)p->buffer[p->tokens].bytes);
    exec->values.position = position;
    run_section(exec, &(struct tr_schedule_entry){.section = TR_SECTION_INFER});
    return tr_exec_buffer(exec, p->logits);
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

static void init_weight(struct tr_exec *exec, int32_t index, uint64_t seed)
{
    const struct tr_weight *whole = &exec->program->weights.weight[index];
    struct tr_portion portion = tr_program_portion(exec->program, index);
    struct tr_range made = tr_program_held(exec->program, index);
    float *to = tr_exec_weight(exec, index);
    for (int64_t n, at, i = made.first; i < made.last; i += n, to += n) {
        n = tr_min_i64(tr_portion_run(whole, portion, i, &at), made.last - i);
        tr_weight_init_slice(whole, index, seed, at, n, to);
    }
}

void tr_exec_init(struct tr_exec *exec, uint64_t seed)
{
    const struct tr_program *p = exec->program;
    for (int32_t i = 0; i < p->weights.count; i++) {
        struct tr_range slice = tr_program_slice(p, i);
        init_weight(exec, i, seed);
        if (p->first_m < 0)
            continue;
        size_t bytes = (size_t)(slice.last - slice.first) * sizeof(float);
        if (tr_exec_moment_m(exec, i))
            memset(tr_exec_moment_m(exec, i), 0, bytes);
        if (tr_exec_moment_v(exec, i))
            memset(tr_exec_moment_v(exec, i), 0, bytes);
    }
    tr_exec_weights_written(exec);
}

/* base^n by squaring: n is the step, so this is exact enough (n multiplications at most) and the same everywhere. */
static double power(double base, int64_t n)
{
    double result = 1.0;
    for (; n > 0; n >>= 1, base *= base)
        if (n & 1)
            result *= base;
    return result;
}

void tr_exec_set_hyper(struct tr_exec *exec, const struct tr_hyper *hyper, int64_t step)
{
    TR_ASSERT(step >= 1);
    exec->values.lr = (float)hyper->lr;
    exec->values.beta1 = (float)hyper->beta1;
    exec->values.beta2 = (float)hyper->beta2;
    exec->values.eps = (float)hyper->eps;
    exec->values.weight_decay = (float)hyper->weight_decay;
    exec->values.momentum = (float)hyper->momentum;
    exec->values.bias1 = (float)(1.0 / (1.0 - power(hyper->beta1, step)));
    exec->values.bias2 = (float)(1.0 / (1.0 - power(hyper->beta2, step)));
    exec->values.clip_norm = (float)hyper->clip_norm;
}
