/* Where every buffer lies. Regions that live as long as the run are laid out in order; WORK is planned by lifetime:
 * the largest buffer first, each into the smallest gap among the buffers that live at the same time and are placed
 * already ("greedy by size", Pisarchyk and Lee 2020, arXiv 2001.03288: within a few percent of the lower bound on
 * neural networks). The peak of the plan is the memory that is mapped, so planned and used cannot drift apart unseen.
 *
 * In front of them lies what outlives the turn that writes it: activations of microbatches in flight, one beside the other, and
 * messages that are on their way. Where one microbatch is in flight at a time its activations are like all others: the backward
 * section follows the forward one. */
#include "base/memory.h"
#include "base/num.h"
#include "base/quantity.h"
#include "lab/model/build.h"

#include <stdlib.h>
#include <string.h>

static void note_use(struct tr_program *p, int32_t id, int32_t op)
{
    struct tr_buffer *buffer = &p->buffer[p->buffer[id].part_of >= 0 ? p->buffer[id].part_of : id];
    if (buffer->region != TR_REGION_WORK)
        return;
    if (buffer->first_op < 0)
        buffer->first_op = op;
    buffer->last_op = op;
}

static void find_lifetimes(struct tr_program *p)
{
    for (int32_t i = 0; i < p->op_count; i++) {
        for (int k = 0; k < TR_OP_OPERANDS_MAX; k++)
            if (p->op[i].buffer[k] >= 0)
                note_use(p, p->op[i].buffer[k], i);
        if (p->op[i].workspace >= 0)
            note_use(p, p->op[i].workspace, i);
    }
}

static void add_workspaces(struct tr_builder *b, struct tr_machine machine)
{
    struct tr_program *p = b->program;
    for (int32_t i = 0; i < p->op_count && !b->out_of_memory; i++) {
        if (p->op[i].coll >= 0)
            continue;
        int64_t bytes = tr_kernel_workspace_bytes(machine.kernels, &p->op[i].op, machine.threads);
        if (bytes == 0)
            continue;
        struct tr_shape shape = {1, {tr_ceil_div(bytes, tr_dtype_bytes(TR_F32))}};
        p->op[i].workspace = tr_build_buffer(b, TR_BUF_WORKSPACE, TR_REGION_WORK, TR_F32, shape, "work.%s",
                                             tr_op_operands(p->op[i].op.kind)->name);
    }
}

static void place_in_order(struct tr_program *p)
{
    for (int32_t i = 0; i < p->buffer_count; i++) {
        struct tr_buffer *buffer = &p->buffer[i];
        if (buffer->region == TR_REGION_WORK || buffer->part_of >= 0)
            continue;
        int64_t *end = &p->region_bytes[buffer->region];
        buffer->offset = tr_round_up(*end, TR_BUFFER_ALIGN);
        if (buffer->bytes > 0)
            *end = buffer->offset + buffer->bytes;
    }
}

static bool is_in(const struct tr_program_section *section, int32_t op)
{
    return op >= section->first_op && op < section->first_op + section->op_count;
}

/* What a forward section of `chunk` leaves for its backward section. */
static bool is_left(const struct tr_program *p, const struct tr_buffer *buffer, int32_t chunk)
{
    return buffer->region == TR_REGION_WORK && buffer->first_op >= 0 && buffer->bytes_per_mail == 0 &&
           is_in(&p->section[tr_section_of(TR_SECTION_FORWARD, chunk)], buffer->first_op) &&
           is_in(&p->section[tr_section_of(TR_SECTION_BACKWARD, chunk)], buffer->last_op);
}

/* Chunks share the places of microbatches in flight, each of which has room for the largest. */
static void place_flights(struct tr_program *p)
{
    for (int32_t chunk = 0; chunk < p->pipe.chunks; chunk++) {
        int64_t end = 0;
        for (int32_t i = 0; i < p->buffer_count; i++) {
            struct tr_buffer *buffer = &p->buffer[i];
            if (!is_left(p, buffer, chunk))
                continue;
            buffer->offset = end;
            buffer->bytes_per_flight = 1; /* until it is known */
            end = tr_round_up(end + buffer->bytes, TR_BUFFER_ALIGN);
        }
        p->flight_bytes = tr_max_i64(p->flight_bytes, end);
    }
    for (int32_t i = 0; i < p->buffer_count; i++)
        if (p->buffer[i].bytes_per_flight > 0)
            p->buffer[i].bytes_per_flight = p->flight_bytes;
    p->region_bytes[TR_REGION_WORK] = p->flights * p->flight_bytes;
}

/* All mails of a way are of one size, and share its places. */
static int64_t mail_bytes(const struct tr_program *p, enum tr_mail_way way)
{
    int64_t most = 0;
    for (int32_t i = 0; i < p->buffer_count; i++)
        if (p->buffer[i].way == way)
            most = tr_max_i64(most, p->buffer[i].bytes_per_mail);
    return most;
}

static void place_mails(struct tr_program *p)
{
    int64_t *end = &p->region_bytes[TR_REGION_WORK];
    for (int way = 0; way < TR_WAY_COUNT; way++) {
        int64_t bytes = mail_bytes(p, (enum tr_mail_way)way);
        for (int32_t i = 0; i < p->buffer_count; i++) {
            struct tr_buffer *buffer = &p->buffer[i];
            if (buffer->bytes_per_mail > 0 && buffer->way == (enum tr_mail_way)way)
                buffer->offset = *end;
        }
        *end += tr_pipe_mails(p->pipe) * bytes;
    }
}

/* Whether it is one of many of its kind, which are placed apart. */
static bool is_apart(const struct tr_buffer *buffer) { return buffer->bytes_per_flight > 0 || buffer->bytes_per_mail > 0; }

static bool live_together(const struct tr_buffer *a, const struct tr_buffer *b)
{
    return a->first_op <= b->last_op && b->first_op <= a->last_op;
}

struct placement {
    struct tr_buffer **by_offset; /* placed so far, ascending */
    int32_t count;
    int64_t begin;                /* what is apart lies before it */
};

/* Lowest offset of the smallest gap that holds `buffer` among the placed ones that live with it. */
static int64_t find_gap(const struct placement *placed, const struct tr_buffer *buffer)
{
    int64_t end = placed->begin, best = -1, best_size = INT64_MAX;
    for (int32_t i = 0; i < placed->count; i++) {
        const struct tr_buffer *other = placed->by_offset[i];
        if (!live_together(other, buffer))
            continue;
        int64_t start = tr_round_up(end, TR_BUFFER_ALIGN);
        int64_t gap = other->offset - start;
        if (gap >= buffer->bytes && gap < best_size) {
            best = start;
            best_size = gap;
        }
        end = tr_max_i64(end, other->offset + other->bytes);
    }
    return best >= 0 ? best : tr_round_up(end, TR_BUFFER_ALIGN);
}

static void insert(struct placement *placed, struct tr_buffer *buffer)
{
    int32_t at = placed->count++;
    for (; at > 0 && placed->by_offset[at - 1]->offset > buffer->offset; at--)
        placed->by_offset[at] = placed->by_offset[at - 1];
    placed->by_offset[at] = buffer;
}

static int larger_first(const void *a, const void *b)
{
    const struct tr_buffer *x = *(struct tr_buffer *const *)a, *y = *(struct tr_buffer *const *)b;
    if (x->bytes != y->bytes)
        return x->bytes > y->bytes ? -1 : 1;
    return x < y ? -1 : x > y; /* by id: the order is the same everywhere */
}

static bool place_by_lifetime(struct tr_program *p)
{
    struct tr_buffer **order = calloc((size_t)p->buffer_count + 1, sizeof(struct tr_buffer *));
    struct placement placed = {calloc((size_t)p->buffer_count + 1, sizeof(struct tr_buffer *)), 0, p->region_bytes[TR_REGION_WORK]};
    bool enough = order != NULL && placed.by_offset != NULL;
    int32_t count = 0;
    for (int32_t i = 0; i < p->buffer_count && enough; i++)
        if (p->buffer[i].region == TR_REGION_WORK && p->buffer[i].first_op >= 0 && !is_apart(&p->buffer[i]))
            order[count++] = &p->buffer[i];
    if (count > 0)
        qsort(order, (size_t)count, sizeof(struct tr_buffer *), larger_first);
    for (int32_t i = 0; i < count; i++) {
        order[i]->offset = find_gap(&placed, order[i]);
        insert(&placed, order[i]);
        int64_t *end = &p->region_bytes[TR_REGION_WORK];
        *end = tr_max_i64(*end, order[i]->offset + order[i]->bytes);
    }
    free(order);
    free(placed.by_offset);
    return enough;
}

static void place_parts(struct tr_program *p)
{
    for (int32_t i = 0; i < p->buffer_count; i++)
        if (p->buffer[i].part_of >= 0)
            p->buffer[i].offset += p->buffer[p->buffer[i].part_of].offset;
}

enum tr_status tr_build_place(struct tr_builder *b, struct tr_machine machine, struct tr_err *err)
{
    add_workspaces(b, machine);
    find_lifetimes(b->program);
    place_in_order(b->program);
    if (b->program->flights > 1)
        place_flights(b->program);
    place_mails(b->program);
    bool placed = !b->out_of_memory && place_by_lifetime(b->program);
    place_parts(b->program);
    if (!placed)
        return tr_fail(err, TR_FAILED, "out of memory while planning %d buffers", b->program->buffer_count);
    return TR_OK;
}

int64_t tr_program_memory_bytes(const struct tr_program *p)
{
    int64_t sum = 0;
    for (int r = 0; r < TR_REGION_COUNT; r++)
        sum += p->region_bytes[r];
    return sum;
}

/* The process itself, libraries, thread stacks. */
#define OVERHEAD_BYTES ((int64_t)32 << 20)

enum tr_status tr_program_check_memory(const struct tr_program *p, int64_t beside_bytes, const char *doing, const char *remedy,
                                       struct tr_err *err)
{
    char need_text[TR_QUANTITY_BYTES], have_text[TR_MEMORY_WORDS_BYTES];
    struct tr_memory memory;
    int64_t need = tr_program_memory_bytes(p);
    tr_memory_read("", &memory);
    if (!tr_add_i64(need, beside_bytes, &need) || !tr_add_i64(need, OVERHEAD_BYTES, &need))
        need = INT64_MAX;
    if (need <= memory.free_bytes)
        return TR_OK;
    return tr_fail(err, TR_NO, "%s %s needs %s of memory, %s: %s", doing, p->model.name, tr_print_bytes(need_text, need),
                   tr_memory_words(&memory, have_text), remedy);
}

/* The op at which most of WORK is alive. */
static int32_t peak_op(const struct tr_program *p)
{
    int32_t peak = -1;
    int64_t most = -1;
    int64_t *change = calloc((size_t)p->op_count + 1, sizeof *change);
    TR_ASSERT(change != NULL);
    for (int32_t i = 0; i < p->buffer_count; i++) {
        const struct tr_buffer *buffer = &p->buffer[i];
        if (buffer->region != TR_REGION_WORK || buffer->first_op < 0 || is_apart(buffer))
            continue;
        change[buffer->first_op] += buffer->bytes;
        change[buffer->last_op + 1] -= buffer->bytes;
    }
    int64_t live = 0;
    for (int32_t i = 0; i < p->op_count; i++) {
        live += change[i];
        if (live > most) {
            most = live;
            peak = i;
        }
    }
    free(change);
    return peak;
}

void tr_program_memory_by_kind(const struct tr_program *p, int64_t bytes[TR_BUF_KIND_COUNT])
{
    memset(bytes, 0, TR_BUF_KIND_COUNT * sizeof bytes[0]);
    int32_t peak = peak_op(p);
    int64_t mails = tr_pipe_mails(p->pipe), rest = tr_program_memory_bytes(p);
    bytes[TR_BUF_ACTIVATION] = p->flights * p->flight_bytes + mails * mail_bytes(p, TR_WAY_FORWARD);
    bytes[TR_BUF_ACTIVATION_GRAD] = mails * mail_bytes(p, TR_WAY_BACKWARD);
    rest -= bytes[TR_BUF_ACTIVATION] + bytes[TR_BUF_ACTIVATION_GRAD];
    for (int32_t i = 0; i < p->buffer_count; i++) {
        const struct tr_buffer *buffer = &p->buffer[i];
        bool work = buffer->region == TR_REGION_WORK;
        if (buffer->part_of >= 0 || is_apart(buffer))
            continue;
        if (work && (buffer->first_op > peak || buffer->last_op < peak))
            continue;
        bytes[buffer->kind] += buffer->bytes;
        rest -= buffer->bytes;
    }
    bytes[TR_BUF_WORKSPACE] += rest; /* gaps and alignment */
}

const char *tr_region_name(enum tr_region region)
{
    static const char *const name[TR_REGION_COUNT] = {"weights", "copies",  "moments", "gradients", "constants",
                                                      "batch",   "cache",   "work"};
    TR_ASSERT((int)region >= 0 && region < TR_REGION_COUNT);
    return name[region];
}

const char *tr_buffer_kind_name(enum tr_buffer_kind kind)
{
    static const char *const name[TR_BUF_KIND_COUNT] = {
        "weights", "weights in bf16", "optimiser moments", "gradients", "constants", "batch", "key/value cache", "activations",
        "gradients of activations", "workspace"};
    TR_ASSERT((int)kind >= 0 && kind < TR_BUF_KIND_COUNT);
    return name[kind];
}
