#include "lab/train/profile.h"

#include "base/doc.h"
#include "base/json.h"
#include "base/os.h"
#include "silicon/coll/coll.h"

#include <math.h>
#include <string.h>

enum { OPS_MAX = TR_PHASE_COUNT * TR_OP_KIND_COUNT };
#define COUNT_MAX ((int64_t)1 << 62)
#define TIME_MAX 1e12 /* seconds */

/* ---- the layout -------------------------------------------------------------------------------------------------- */

void tr_run_layout_write(const struct tr_degrees *layout, struct tr_json *json)
{
    tr_json_object(json, "layout");
    for (int group = 0; group < TR_GROUP_COUNT; group++)
        tr_json_int(json, tr_group_name((enum tr_group)group), tr_degrees_of(layout, (enum tr_group)group));
    tr_json_int(json, "vpp", tr_degrees_pipe(layout).chunks);
    tr_json_bool(json, "sp", layout->sequence);
    tr_json_int(json, "zero", layout->zero);
    tr_json_end(json);
}

enum tr_status tr_run_layout_read(const struct tr_node *object, struct tr_degrees *out, struct tr_err *err)
{
    const struct tr_node *node;
    struct tr_degrees layout = {.zero = 0};
    int64_t ranks[TR_GROUP_COUNT], chunks, zero, product = 1;
    enum tr_status status = tr_doc_object(object, "layout", TR_REQUIRED, &node, err);
    for (int group = 0; group < TR_GROUP_COUNT && status == TR_OK; group++) {
        status = tr_doc_int(node, tr_group_name((enum tr_group)group), TR_REQUIRED, 1, TR_RANKS_MAX, &ranks[group], err);
        product *= status == TR_OK ? ranks[group] : 1;
        layout.ranks[group] = status == TR_OK ? (int32_t)ranks[group] : 0;
    }
    if (status == TR_OK && product > TR_RANKS_MAX)
        return tr_node_fail(node, err, "a layout of %lld ranks; at most %d", (long long)product, TR_RANKS_MAX);
    if (status == TR_OK)
        status = tr_doc_int(node, "vpp", TR_REQUIRED, 1, TR_STAGE_CHUNKS_MAX, &chunks, err);
    if (status == TR_OK)
        status = tr_doc_bool(node, "sp", TR_REQUIRED, &layout.sequence, err);
    if (status == TR_OK)
        status = tr_doc_int(node, "zero", TR_REQUIRED, 0, 3, &zero, err);
    if (status != TR_OK)
        return status;
    layout.chunks = (int32_t)chunks;
    layout.zero = (int32_t)zero;
    *out = layout;
    return TR_OK;
}

enum tr_status tr_run_transport_read(const struct tr_node *object, char transport[16], struct tr_err *err)
{
    static const char *const names[] = {"threads", "mpi"};
    int which = 0;
    enum tr_status status = tr_doc_enum(object, "transport", TR_OPTIONAL, names, 2, &which, err);
    if (status == TR_OK)
        strcpy(transport, names[which]);
    return status;
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

/* The names of an enumeration, as tr_doc_enum wants them. */
static void phase_names(const char *name[TR_PHASE_COUNT])
{
    for (int i = 0; i < TR_PHASE_COUNT; i++)
        name[i] = tr_phase_name((enum tr_phase)i);
}

static void kind_names(const char *name[TR_OP_KIND_COUNT])
{
    for (int i = 0; i < TR_OP_KIND_COUNT; i++)
        name[i] = tr_op_operands((enum tr_op_kind)i)->name;
}

static enum tr_status read_op(const struct tr_node *node, struct tr_run_profile *out, struct tr_err *err)
{
    const char *phases[TR_PHASE_COUNT], *kinds[TR_OP_KIND_COUNT];
    struct tr_op_time time = {0}, first = {0};
    int phase, kind;
    phase_names(phases);
    kind_names(kinds);
    enum tr_status status = tr_doc_enum(node, "phase", TR_REQUIRED, phases, TR_PHASE_COUNT, &phase, err);
    if (status == TR_OK)
        status = tr_doc_enum(node, "op", TR_REQUIRED, kinds, TR_OP_KIND_COUNT, &kind, err);
    if (status == TR_OK)
        status = tr_doc_int(node, "calls", TR_REQUIRED, 1, COUNT_MAX, &time.calls, err);
    if (status == TR_OK)
        status = tr_doc_double(node, "time_s", TR_REQUIRED, 0, TIME_MAX, &time.time_s, err);
    if (status == TR_OK)
        status = tr_doc_int(node, "flop", TR_REQUIRED, 0, COUNT_MAX, &time.flop, err);
    if (status == TR_OK)
        status = tr_doc_int(node, "bytes", TR_REQUIRED, 0, COUNT_MAX, &time.bytes, err);
    if (status == TR_OK)
        status = tr_doc_int(node, "first_calls", TR_OPTIONAL, 0, time.calls, &first.calls, err);
    if (status == TR_OK)
        status = tr_doc_double(node, "first_time_s", TR_OPTIONAL, 0, time.time_s, &first.time_s, err);
    if (status != TR_OK)
        return status;
    out->op[phase][kind] = time;
    out->first[phase][kind] = first;
    return TR_OK;
}

static enum tr_status read_ops(const struct tr_node *root, struct tr_run_profile *out, struct tr_err *err)
{
    const struct tr_node *ops;
    enum tr_status status = tr_doc_array(root, "ops", TR_REQUIRED, 0, OPS_MAX, &ops, err);
    for (int64_t i = 0; status == TR_OK && i < ops->count; i++)
        status = read_op(&ops->children[i], out, err);
    return status;
}

static enum tr_status read_coll(const struct tr_node *node, struct tr_run_profile *out, struct tr_err *err)
{
    const char *phases[TR_PHASE_COUNT], *kinds[TR_COLL_KIND_COUNT];
    struct tr_op_time time = {0};
    int phase, kind;
    phase_names(phases);
    for (int i = 0; i < TR_COLL_KIND_COUNT; i++)
        kinds[i] = tr_coll_kind_name((enum tr_coll_kind)i);
    enum tr_status status = tr_doc_enum(node, "phase", TR_REQUIRED, phases, TR_PHASE_COUNT, &phase, err);
    if (status == TR_OK)
        status = tr_doc_enum(node, "collective", TR_REQUIRED, kinds, TR_COLL_KIND_COUNT, &kind, err);
    if (status == TR_OK)
        status = tr_doc_int(node, "calls", TR_REQUIRED, 0, COUNT_MAX, &time.calls, err);
    if (status == TR_OK)
        status = tr_doc_double(node, "time_s", TR_REQUIRED, 0, TIME_MAX, &time.time_s, err);
    if (status == TR_OK)
        status = tr_doc_int(node, "sent_bytes", TR_REQUIRED, 0, COUNT_MAX, &time.bytes, err);
    if (status == TR_OK)
        out->coll[phase][kind] = time;
    return status;
}

static enum tr_status read_rank(const struct tr_node *node, struct tr_rank_sum *out, struct tr_err *err)
{
    struct tr_rank_sum sum = {0};
    enum tr_status status = tr_doc_int(node, "steps", TR_REQUIRED, 1, COUNT_MAX, &sum.steps, err);
    if (status == TR_OK)
        status = tr_doc_double(node, "steps_s", TR_REQUIRED, 0, TIME_MAX, &sum.steps_s, err);
    if (status == TR_OK)
        status = tr_doc_double(node, "work_s", TR_REQUIRED, 0, TIME_MAX, &sum.work_s, err);
    if (status == TR_OK)
        status = tr_doc_double(node, "wait_s", TR_REQUIRED, 0, TIME_MAX, &sum.wait_s, err);
    if (status == TR_OK)
        status = tr_doc_double(node, "stage_s", TR_REQUIRED, 0, TIME_MAX, &sum.stage_s, err);
    if (status == TR_OK)
        status = tr_doc_double(node, "crowded_s", TR_OPTIONAL, 0, sum.steps_s, &sum.crowded_s, err);
    if (status == TR_OK)
        status = tr_doc_int(node, "flop", TR_REQUIRED, 0, COUNT_MAX, &sum.flop, err);
    if (status == TR_OK)
        status = tr_doc_int(node, "sent_bytes", TR_REQUIRED, 0, COUNT_MAX, &sum.sent_bytes, err);
    if (status == TR_OK)
        status = tr_doc_int(node, "planned_bytes", TR_REQUIRED, 0, COUNT_MAX, &sum.planned_bytes, err);
    if (status == TR_OK)
        status = tr_doc_int(node, "needed_bytes", TR_OPTIONAL, 0, COUNT_MAX, &sum.needed_bytes, err);
    if (status == TR_OK)
        *out = sum;
    return status;
}

static enum tr_status read_colls(const struct tr_node *root, struct tr_run_profile *out, struct tr_err *err)
{
    const struct tr_node *colls;
    enum tr_status status = tr_doc_array(root, "collectives", TR_REQUIRED, 0, TR_PHASE_COUNT * TR_COLL_KIND_COUNT, &colls, err);
    for (int64_t i = 0; status == TR_OK && i < colls->count; i++)
        status = read_coll(&colls->children[i], out, err);
    return status;
}

/* Of several ranks. */
static enum tr_status read_shared(const struct tr_node *root, struct tr_run_profile *out, struct tr_err *err)
{
    const struct tr_node *each = NULL;
    enum tr_status status = tr_run_layout_read(root, &out->layout, err);
    if (status == TR_OK)
        status = tr_run_transport_read(root, out->transport, err);
    if (status == TR_OK && out->ranks != tr_degrees_ranks(&out->layout))
        status = tr_node_fail(tr_doc_find(root, "ranks"), err, "%d, and the layout beside it is of %lld", out->ranks,
                              (long long)tr_degrees_ranks(&out->layout));
    if (status == TR_OK)
        status = tr_doc_double(root, "collectives_s", TR_REQUIRED, 0, TIME_MAX, &out->collectives_s, err);
    if (status == TR_OK)
        status = read_colls(root, out, err);
    if (status == TR_OK)
        status = tr_doc_array(root, "each_rank", TR_OPTIONAL, out->ranks, out->ranks, &each, err);
    for (; status == TR_OK && each && out->each_count < each->count && out->each_count < TR_PROFILE_RANKS_MAX; out->each_count++)
        status = read_rank(&each->children[out->each_count], &out->each[out->each_count], err);
    return status;
}

static enum tr_status read_memory(const struct tr_node *root, struct tr_run_profile *out, struct tr_err *err)
{
    const struct tr_node *memory;
    enum tr_status status = tr_doc_object(root, "memory", TR_REQUIRED, &memory, err);
    if (status == TR_OK)
        status = tr_doc_int(memory, "planned_bytes", TR_REQUIRED, 0, COUNT_MAX, &out->planned_bytes, err);
    if (status == TR_OK)
        status = tr_doc_int(memory, "needed_bytes", TR_OPTIONAL, 0, COUNT_MAX, &out->needed_bytes, err);
    return status == TR_OK ? tr_doc_int(memory, "peak_bytes", TR_REQUIRED, 0, COUNT_MAX, &out->peak_bytes, err) : status;
}

/* A text that fits; "" when it is absent. */
static enum tr_status read_text(const struct tr_node *root, const char *key, char *text, size_t bytes, struct tr_err *err)
{
    const char *value = "";
    enum tr_status status = tr_doc_string(root, key, TR_OPTIONAL, &value, err);
    if (status == TR_OK && strlen(value) >= bytes)
        return tr_node_fail(tr_doc_find(root, key), err, "at most %zu bytes", bytes - 1);
    if (status == TR_OK)
        strcpy(text, value);
    return status;
}

/* Whose times these are. */
static enum tr_status read_machine(const struct tr_node *root, struct tr_run_profile *out, struct tr_err *err)
{
    int64_t cores = 0, hosts = 0;
    enum tr_status status = tr_doc_double(root, "first_step_s", TR_OPTIONAL, 0, out->steps_s, &out->first_s, err);
    if (status == TR_OK)
        status = tr_doc_double(root, "crowded_s", TR_OPTIONAL, 0, out->steps_s, &out->crowded_s, err);
    if (status == TR_OK)
        status = tr_doc_int(root, "attempt", TR_OPTIONAL, 1, COUNT_MAX, &out->attempt, err);
    if (status == TR_OK)
        status = read_text(root, "program", out->program, sizeof out->program, err);
    if (status == TR_OK)
        status = read_text(root, "processor", out->processor, sizeof out->processor, err);
    if (status == TR_OK)
        status = tr_doc_int(root, "cores", TR_OPTIONAL, 1, TR_RUN_THREADS_MAX, &cores, err);
    if (status == TR_OK)
        status = tr_doc_int(root, "hosts", TR_OPTIONAL, 1, TR_RANKS_MAX, &hosts, err);
    out->cores = (int)cores;
    out->hosts = (int)hosts;
    return status;
}

static enum tr_status read_predicted(const struct tr_node *root, struct tr_run_profile *out, struct tr_err *err)
{
    const struct tr_node *predicted = NULL;
    enum tr_status status = tr_doc_double(root, "wall_s", TR_OPTIONAL, 0, TIME_MAX, &out->wall_s, err);
    if (status == TR_OK)
        status = tr_doc_object(root, "predicted", TR_OPTIONAL, &predicted, err);
    if (status != TR_OK || !predicted)
        return status;
    status = tr_doc_double(predicted, "step_s", TR_REQUIRED, 0, TIME_MAX, &out->predicted.step_s, err);
    if (status == TR_OK)
        status = tr_doc_double(predicted, "error_80", TR_REQUIRED, 0, INFINITY, &out->predicted.error, err);
    if (status == TR_OK)
        status = tr_doc_double(predicted, "run_s", TR_REQUIRED, 0, TIME_MAX, &out->predicted.run_s, err);
    out->predicted.run_error = out->predicted.error; /* as runs of before had it */
    return status == TR_OK ? tr_doc_double(predicted, "run_error_80", TR_OPTIONAL, 0, INFINITY, &out->predicted.run_error, err) : status;
}

static enum tr_status read_profile(const struct tr_node *root, struct tr_run_profile *out, struct tr_err *err)
{
    const char *isas[TR_ISA_COUNT];
    int isa;
    int64_t threads, ranks = 1;
    for (int i = 0; i < TR_ISA_COUNT; i++)
        isas[i] = tr_isa_name((enum tr_isa)i);
    enum tr_status status = tr_doc_int(root, "steps_computed", TR_REQUIRED, 0, COUNT_MAX, &out->steps, err);
    if (status == TR_OK)
        status = tr_doc_double(root, "steps_s", TR_REQUIRED, 0, TIME_MAX, &out->steps_s, err);
    if (status == TR_OK)
        status = tr_doc_int(root, "resumed_at", TR_OPTIONAL, 0, COUNT_MAX, &out->resumed_at, err);
    if (status == TR_OK)
        status = tr_doc_double(root, "peak_flop_s", TR_OPTIONAL, 0, INFINITY, &out->peak_flop_s, err);
    if (status == TR_OK)
        status = tr_doc_double(root, "read_byte_s", TR_OPTIONAL, 0, INFINITY, &out->read_byte_s, err);
    if (status == TR_OK)
        status = tr_doc_double(root, "hand_s", TR_OPTIONAL, 0, TIME_MAX, &out->hand_s, err);
    if (status == TR_OK)
        status = tr_looks_read(root, &out->looks, err);
    if (status == TR_OK)
        status = tr_doc_int(root, "threads", TR_REQUIRED, 1, TR_RUN_THREADS_MAX, &threads, err);
    if (status == TR_OK)
        status = tr_doc_int(root, "ranks", TR_OPTIONAL, 1, TR_RANKS_MAX, &ranks, err);
    if (status == TR_OK)
        status = tr_doc_enum(root, "isa", TR_REQUIRED, isas, TR_ISA_COUNT, &isa, err);
    if (status == TR_OK)
        status = read_memory(root, out, err);
    if (status == TR_OK)
        status = read_machine(root, out, err);
    if (status == TR_OK)
        status = read_predicted(root, out, err);
    if (status == TR_OK)
        status = read_ops(root, out, err);
    if (status != TR_OK)
        return status;
    out->threads = (int)threads;
    out->ranks = (int)ranks;
    out->isa = (enum tr_isa)isa;
    return ranks > 1 ? read_shared(root, out, err) : TR_OK;
}

double tr_run_profile_crowded(const struct tr_run_profile *profile)
{
    double most = profile->steps_s > 0 ? profile->crowded_s / profile->steps_s : 0;
    for (int i = 0; i < profile->each_count; i++)
        if (profile->each[i].steps_s > 0)
            most = fmax(most, profile->each[i].crowded_s / profile->each[i].steps_s);
    return most;
}

/* ---- another rank ------------------------------------------------------------------------------------------------ */

static int slowest(const struct tr_run_profile *profile)
{
    int most = 0;
    for (int i = 1; i < profile->each_count && tr_degrees_of(&profile->layout, TR_GROUP_PIPE) > 1; i++)
        if (profile->each[i].work_s > profile->each[most].work_s)
            most = i;
    return most;
}

/* Its operations in place of those of rank 0. */
static enum tr_status read_own(const struct tr_node *root, int rank, struct tr_run_profile *out, struct tr_err *err)
{
    const struct tr_node *each, *own;
    enum tr_status status = tr_doc_array(root, "each_rank", TR_REQUIRED, out->ranks, out->ranks, &each, err);
    if (status == TR_OK)
        status = tr_doc_object(&each->children[rank], "own", TR_REQUIRED, &own, err);
    memset(out->op, 0, sizeof out->op);
    memset(out->first, 0, sizeof out->first);
    memset(out->coll, 0, sizeof out->coll);
    if (status == TR_OK)
        status = tr_doc_double(own, "steps_s", TR_REQUIRED, 0, TIME_MAX, &out->steps_s, err);
    if (status == TR_OK)
        status = tr_doc_double(own, "first_step_s", TR_REQUIRED, 0, out->steps_s, &out->first_s, err);
    if (status == TR_OK)
        status = read_ops(own, out, err);
    if (status == TR_OK)
        status = read_colls(own, out, err);
    out->rank = rank;
    return status;
}

static bool has_own(const struct tr_node *root, int rank)
{
    const struct tr_node *each = tr_doc_find(root, "each_rank");
    return each && each->kind == TR_NODE_ARRAY && rank < each->count && tr_doc_find(&each->children[rank], "own");
}

static enum tr_status take_rank(const struct tr_node *root, int rank, struct tr_run_profile *out, struct tr_err *err)
{
    if (rank == TR_RANK_SLOWEST) {
        rank = slowest(out);
        rank = has_own(root, rank) ? rank : 0; /* else an older trine made it */
    }
    if (rank < 0 || rank >= out->ranks)
        return tr_node_fail(root, err, "rank %d: the run had %d rank%s, counted from 0", rank, out->ranks, out->ranks == 1 ? "" : "s");
    return rank > 0 ? read_own(root, rank, out, err) : TR_OK;
}

enum tr_status tr_run_profile_read(const char *run_folder, int rank, struct tr_run_profile *out, struct tr_err *err)
{
    char path[TR_PATH_BYTES];
    struct tr_doc *doc = NULL;
    struct tr_run_profile profile = {0};
    enum tr_status status = tr_path_join(path, run_folder, "profile.json", err);
    if (status == TR_OK && !tr_file_exists(path))
        return tr_fail(err, TR_BAD_INPUT, "%s: no such file; `trine train` writes it when it saves, and at the end", path);
    if (status == TR_OK)
        status = tr_doc_read(path, TR_DOC_JSON, &doc, err);
    if (status == TR_BAD_INPUT)
        status = tr_fail(err, status, "%s; `trine train` writes another when it saves, and at the end", err->text);
    if (status == TR_OK)
        status = read_profile(tr_doc_root(doc), &profile, err);
    if (status == TR_OK)
        status = take_rank(tr_doc_root(doc), rank, &profile, err);
    tr_doc_free(doc);
    if (status == TR_OK)
        *out = profile;
    return status;
}
