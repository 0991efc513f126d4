/* RUN/profile.json, written; profile.c reads it back. */
#include "base/json.h"
#include "lab/train/run.h"

#include <string.h>

/* What the ranks of this process held against what there is; the process itself, which each of them has in it, is one. */
static int64_t process_needs(const struct tr_run *run)
{
    int64_t sum = run->need_bytes;
    for (int i = 1; run->world && !run->options->world && i < tr_run_ranks(run) && run->sum_of[i].needed_bytes > 0; i++)
        sum += run->sum_of[i].needed_bytes - TR_FIT_PROCESS_BYTES;
    return sum;
}

static void profile_memory(const struct tr_run *run, struct tr_json *json)
{
    int64_t bytes[TR_BUF_KIND_COUNT];
    tr_program_memory_by_kind(&run->program, bytes);
    tr_json_object(json, "memory");
    tr_json_int(json, "planned_bytes", tr_program_memory_bytes(&run->program));
    tr_json_int(json, "needed_bytes", process_needs(run));
    tr_json_int(json, "peak_bytes", tr_memory_peak_bytes());
    tr_json_int(json, "data_bytes", run->data.byte_count);
    tr_json_object(json, "by_kind");
    for (int i = 0; i < TR_BUF_KIND_COUNT; i++)
        tr_json_int(json, tr_buffer_kind_name(i), bytes[i]);
    tr_json_end(json);
    tr_json_end(json);
}

static void profile_collectives(const struct tr_rank_ops *own, struct tr_json *json)
{
    tr_json_array(json, "collectives");
    for (int phase = 0; phase < TR_PHASE_COUNT; phase++)
        for (int kind = 0; kind < TR_COLL_KIND_COUNT; kind++) {
            const struct tr_op_time *time = &own->coll[phase][kind];
            if (time->calls == 0 && time->time_s == 0) /* what is waited for in one phase may have been started in another */
                continue;
            tr_json_object(json, NULL);
            tr_json_string(json, "phase", tr_phase_name(phase));
            tr_json_string(json, "collective", tr_coll_kind_name(kind));
            tr_json_int(json, "calls", time->calls);
            tr_json_double(json, "time_s", time->time_s);
            tr_json_int(json, "sent_bytes", time->bytes);
            tr_json_end(json);
        }
    tr_json_end(json);
}

static void profile_pipe(const struct tr_run *run, struct tr_json *json)
{
    const struct tr_program *p = &run->program;
    if (p->pipe.stages == 1)
        return;
    tr_json_object(json, "pipeline");
    tr_json_int(json, "stages", p->pipe.stages);
    tr_json_int(json, "chunks", p->pipe.chunks);
    tr_json_int(json, "microbatches", tr_program_micros(p));
    tr_json_int(json, "in_flight", p->flights);
    tr_json_double(json, "bubble_planned", tr_pipe_bubble(p->pipe, tr_program_micros(p)));
    tr_json_double(json, "bubble", tr_run_bubble(run));
    tr_json_end(json);
}

/* The numbers that operations of a kind work on in a phase: all of them there have one type. */
static enum tr_dtype type_of_ops(const struct tr_program *p, enum tr_phase phase, enum tr_op_kind kind)
{
    for (int32_t i = 0; i < p->op_count; i++)
        if (p->op[i].coll < 0 && p->op[i].phase == phase && p->op[i].op.kind == kind)
            return p->op[i].op.act;
    return p->step.dtype;
}

/* `p`: whose types are said; NULL: they are not. */
static void profile_ops(const struct tr_rank_ops *own, const struct tr_program *p, struct tr_json *json)
{
    tr_json_array(json, "ops");
    for (int phase = 0; phase < TR_PHASE_COUNT; phase++)
        for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++) {
            const struct tr_op_time *time = &own->op[phase][kind];
            if (time->calls == 0)
                continue;
            tr_json_object(json, NULL);
            tr_json_string(json, "phase", tr_phase_name(phase));
            tr_json_string(json, "op", tr_op_operands(kind)->name);
            if (p)
                tr_json_string(json, "type", tr_dtype_name(type_of_ops(p, phase, kind)));
            tr_json_int(json, "calls", time->calls);
            tr_json_double(json, "time_s", time->time_s);
            tr_json_int(json, "flop", time->flop);
            tr_json_int(json, "bytes", time->bytes);
            tr_json_int(json, "first_calls", own->first[phase][kind].calls);
            tr_json_double(json, "first_time_s", own->first[phase][kind].time_s);
            tr_json_end(json);
        }
    tr_json_end(json);
}

static void profile_own(const struct tr_rank_ops *own, struct tr_json *json)
{
    tr_json_object(json, "own");
    tr_json_double(json, "steps_s", own->steps_s);
    tr_json_double(json, "first_step_s", own->first_s);
    profile_ops(own, NULL, json);
    profile_collectives(own, json);
    tr_json_end(json);
}

/* All ranks, side by side. */
static void profile_each(const struct tr_run *run, struct tr_json *json)
{
    if (run->sum_of[0].steps == 0)
        return;
    tr_json_array(json, "each_rank");
    for (int i = 0; i < tr_run_ranks(run); i++) {
        const struct tr_rank_sum *sum = &run->sum_of[i];
        tr_json_object(json, NULL);
        tr_json_int(json, "steps", sum->steps);
        tr_json_double(json, "steps_s", sum->steps_s);
        tr_json_double(json, "work_s", sum->work_s);
        tr_json_double(json, "wait_s", sum->wait_s);
        tr_json_double(json, "stage_s", sum->stage_s);
        tr_json_double(json, "crowded_s", sum->crowded_s);
        tr_json_int(json, "flop", sum->flop);
        tr_json_int(json, "sent_bytes", sum->sent_bytes);
        tr_json_int(json, "planned_bytes", sum->planned_bytes);
        tr_json_int(json, "needed_bytes", sum->needed_bytes);
        if (i > 0 && tr_run_keeps_ops(run))
            profile_own(&run->ops_of[i], json);
        tr_json_end(json);
    }
    tr_json_end(json);
}

/* What was said before it began, and how long it took until now. */
static void profile_prediction(const struct tr_run *run, struct tr_json *json)
{
    const struct tr_train_predicted *p = &run->predicted;
    tr_json_double(json, "wall_s", tr_clock_s() - run->begin_s);
    if (!(p->step_s > 0))
        return;
    tr_json_object(json, "predicted");
    tr_json_double(json, "step_s", p->step_s);
    tr_json_double(json, "error_80", p->error);
    tr_json_double(json, "run_s", p->run_s);
    tr_json_double(json, "run_error_80", p->run_error);
    tr_json_end(json);
}

/* Whose times these are. */
static void profile_machine(const struct tr_run *run, struct tr_json *json)
{
    char processor[TR_PROCESSOR_NAME_BYTES];
    tr_processor_name(processor, sizeof processor);
    tr_json_int(json, "attempt", run->attempt);
    if (run->options->program)
        tr_json_string(json, "program", run->options->program);
    tr_json_string(json, "processor", processor);
    tr_json_int(json, "cores", run->host_cores);
    tr_json_int(json, "threads", run->machine.threads);
    tr_json_string(json, "isa", tr_isa_name(run->isa));
    tr_json_string(json, "arithmetic", run->state.arithmetic);
}

enum tr_status tr_run_collect_ops(struct tr_run *run, struct tr_err *err)
{
    struct tr_rank_ops *own = run->own_ops;
    own->steps_s = run->computed_s;
    own->first_s = run->first_s;
    memcpy(own->op, run->exec.time, sizeof own->op);
    memcpy(own->first, run->first, sizeof own->first);
    memcpy(own->coll, run->exec.coll_time, sizeof own->coll);
    return run->world && tr_run_keeps_ops(run) ? tr_run_tell_lead(run, own, run->ops_of, sizeof *own, err) : TR_OK;
}

enum tr_status tr_run_write_profile(struct tr_run *run, struct tr_err *err)
{
    char path[TR_PATH_BYTES];
    struct tr_text text = {0};
    struct tr_json json = tr_json_start(&text, TR_JSON_PRETTY);
    tr_run_look(run);
    tr_json_object(&json, NULL);
    tr_json_int(&json, "steps", run->state.step - run->resumed_at);
    tr_json_double(&json, "train_s", run->attempt_s);
    tr_json_int(&json, "resumed_at", run->resumed_at);
    tr_json_int(&json, "steps_computed", run->computed_steps);
    tr_json_double(&json, "steps_s", run->computed_s);
    tr_json_double(&json, "crowded_s", run->crowded_s);
    tr_json_double(&json, "first_step_s", run->first_s);
    tr_json_string(&json, "model", run->model.name);
    tr_json_int(&json, "parameters", run->program.weights.element_count);
    tr_json_int(&json, "flop_per_token", run->flop_per_token);
    tr_json_string(&json, "type", tr_dtype_name(run->program.step.dtype));
    tr_json_double(&json, "peak_flop_s", run->peak_flop_s);
    if (run->peak_f32_flop_s > 0)
        tr_json_double(&json, "peak_f32_flop_s", run->peak_f32_flop_s);
    tr_json_double(&json, "read_byte_s", run->read_byte_s);
    tr_json_int(&json, "read_bytes", run->read_bytes);
    tr_json_double(&json, "hand_s", run->hand_s);
    if (run->read_bytes > 0) /* else nobody looked */
        tr_looks_write(&run->looks, &json);
    profile_machine(run, &json);
    profile_prediction(run, &json);
    profile_memory(run, &json);
    profile_ops(run->own_ops, &run->program, &json);
    if (run->world) {
        tr_json_int(&json, "ranks", tr_run_ranks(run));
        tr_json_int(&json, "hosts", run->hosts);
        tr_json_string(&json, "transport", tr_run_transport(run));
        tr_run_layout_write(&run->program.step.place.degrees, &json);
        tr_json_double(&json, "collectives_s", run->coll.busy_s);
        tr_json_double(&json, "exposed_s", run->coll.exposed_s);
        profile_collectives(run->own_ops, &json);
        profile_each(run, &json);
        profile_pipe(run, &json);
    }
    tr_json_end(&json);
    tr_text_char(&text, '\n');
    enum tr_status status = tr_text_failed(&text, err) ? TR_FAILED : TR_OK;
    if (status == TR_OK)
        status = tr_path_join(path, run->config.out, "profile.json", err);
    if (status == TR_OK)
        status = tr_file_write(path, tr_text_str(&text), text.len, err);
    tr_text_free(&text);
    return status;
}
