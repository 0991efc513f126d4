#include "plan/here/here.h"

double tr_here_state_bytes(const struct tr_program *program)
{
    const int64_t *bytes = program->region_bytes;
    return (double)(bytes[TR_REGION_WEIGHTS] + bytes[TR_REGION_COPIES] + bytes[TR_REGION_MOMENTS] +
                    bytes[TR_REGION_GRADIENTS]);
}

static void add_section(const struct tr_kernel_rates *rates, const struct tr_program *program,
                        const struct tr_program_section *section, int64_t times, struct tr_here_time *out)
{
    double state_bytes = tr_here_state_bytes(program);
    for (int32_t i = section->first_op; i < section->first_op + section->op_count; i++) {
        const struct tr_program_op *op = &program->op[i];
        out->op_s[op->phase][op->op.kind] +=
            (double)times * tr_kernel_time(rates, &op->op, tr_program_op_present(op), state_bytes);
    }
    out->between_s += (double)(times * section->op_count) * rates->between_s;
}

static double total_s(const struct tr_here_time *time)
{
    double sum_s = time->between_s;
    for (int phase = 0; phase < TR_PHASE_COUNT; phase++)
        for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++)
            sum_s += time->op_s[phase][kind];
    return sum_s;
}

void tr_here_step(const struct tr_kernel_rates *rates, const struct tr_program *program, struct tr_here_time *out)
{
    int64_t times[TR_SECTIONS_MAX] = {0};
    *out = (struct tr_here_time){.error = rates->step_error};
    for (int32_t i = 0; i < program->schedule_count; i++)
        times[program->schedule[i].section]++;
    for (int32_t i = 0; i < program->section_count; i++)
        add_section(rates, program, &program->section[i], times[i], out);
    out->step_s = total_s(out);
}

double tr_here_passes_alone(const struct tr_kernel_rates *rates, const struct tr_program *program, int64_t passes)
{
    struct tr_here_time pass = {0};
    add_section(rates, program, &program->section[tr_section_of(TR_SECTION_EVAL, 0)], 1, &pass);
    return (double)passes * total_s(&pass);
}

double tr_here_run_s(const struct tr_kernel_rates *rates, const struct tr_train_ahead *ahead, double step_s, double evaluation_s)
{
    const struct tr_kernel_machine *m = &rates->machine;
    double save_s = m->disk_byte_s > 0 ? (double)ahead->save_bytes / m->disk_byte_s + m->disk_sync_s : 0;
    return (double)ahead->steps * step_s + (double)ahead->evaluations * evaluation_s + (double)ahead->saves * save_s;
}
