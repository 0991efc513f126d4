#include "lab/train/trace.h"

#include "base/doc.h"
#include "base/json.h"
#include "lab/train/profile.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIME_MAX_US 1e15
#define COUNT_MAX ((int64_t)1 << 62)
static const char format[] = "trine-trace-1";

static const char *const pass_names[TR_SECTION_KINDS] = {
    [TR_SECTION_CAST] = "cast",         [TR_SECTION_LANE_BEGIN] = "lane begin", [TR_SECTION_FORWARD] = "forward",
    [TR_SECTION_BACKWARD] = "backward", [TR_SECTION_LANE_END] = "lane end",     [TR_SECTION_ROUND] = "round",
    [TR_SECTION_JOIN] = "join",         [TR_SECTION_UPDATE] = "update",         [TR_SECTION_EVAL] = "evaluation",
    [TR_SECTION_INFER] = "generation"};
static const char *const when_names[] = {"now", "start", "wait"};
static const char *const what_names[TR_TRACE_WHATS] = {"step", "pass", "operation", "collective", "beside"};

/* Rows of a rank: Perfetto sorts them by number. */
enum { ROWS = TR_TRACE_ROW_BESIDE + TR_GROUP_COUNT };

static int row_of(const struct tr_trace_event *e)
{
    return e->what <= TR_TRACE_PASS ? TR_TRACE_ROW_STEPS : e->what <= TR_TRACE_COLL ? TR_TRACE_ROW_OPERATIONS : TR_TRACE_ROW_BESIDE + (int)e->group;
}

enum tr_status tr_trace_path(char path[TR_PATH_BYTES], const char *run_folder, int rank, struct tr_err *err)
{
    char name[40];
    snprintf(name, sizeof name, "trace/rank-%d.json", rank);
    return tr_path_join(path, run_folder, name, err);
}

void tr_trace_free(struct tr_trace *trace)
{
    free(trace->event);
    *trace = (struct tr_trace){.event = NULL};
}

/* ---- of a step program ------------------------------------------------------------------------------------------- */

struct tr_trace_event tr_trace_pass_of(const struct tr_program *program, const struct tr_schedule_entry *entry, double begin_s)
{
    int kind = entry->section % TR_SECTION_KINDS;
    bool of_micro = kind == TR_SECTION_FORWARD || kind == TR_SECTION_BACKWARD;
    return (struct tr_trace_event){.what = TR_TRACE_PASS, .kind = kind, .begin_s = begin_s, .end_s = begin_s,
                                   .chunk = program->pipe.chunks > 1 ? entry->section / TR_SECTION_KINDS : -1,
                                   .micro = of_micro ? entry->first_sequence / program->seqs : -1};
}

struct tr_trace_event tr_trace_event_of(const struct tr_program *program, const struct tr_program_op *op,
                                        const struct tr_schedule_entry *entry, double begin_s, double end_s)
{
    struct tr_trace_event e = {.phase = op->phase, .layer = op->layer, .begin_s = begin_s, .end_s = end_s};
    if (op->coll < 0) {
        struct tr_work work = tr_op_work(&op->op, tr_program_op_present(op), 0);
        e.what = TR_TRACE_OP;
        e.kind = (int)op->op.kind;
        e.flop = work.flop;
        e.bytes = work.read_bytes + work.write_bytes;
        return e;
    }
    const struct tr_program_coll *coll = &program->coll[op->coll];
    e.what = TR_TRACE_COLL;
    e.kind = (int)coll->call.kind;
    e.group = coll->group;
    e.when = coll->when;
    e.bytes = tr_program_coll_bytes(coll, entry);
    return e;
}

bool tr_trace_beside_of(const struct tr_program *program, const struct tr_program_op *op, const struct tr_schedule_entry *entry,
                        double begin_s, double end_s, struct tr_trace_event *out)
{
    const struct tr_program_coll *wait = op->coll >= 0 ? &program->coll[op->coll] : NULL;
    if (!wait || wait->when != TR_COLL_WAIT || wait->call.kind == TR_COLL_SEND)
        return false;
    const struct tr_program_coll *started = &program->coll[wait->started];
    *out = tr_trace_event_of(program, op, entry, begin_s, end_s);
    out->what = TR_TRACE_BESIDE;
    out->bytes = started->of_round && !entry->owners ? 0 : tr_program_coll_bytes(started, entry);
    return true;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

/* Each end by itself to a nanosecond, so that what lies within stays within. */
static double microseconds(double time_s) { return floor(time_s * 1e9 + .5) / 1e3; }

static void name_event(const struct tr_trace_event *e, char name[64])
{
    static const char *const before[] = {"", "start ", "wait "};
    bool message = e->kind == TR_COLL_SEND && e->when == TR_COLL_START;
    if (e->what == TR_TRACE_STEP)
        snprintf(name, 64, "step %lld", (long long)e->step);
    else if (e->what == TR_TRACE_PASS && e->micro >= 0)
        snprintf(name, 64, "%s %lld", pass_names[e->kind], (long long)e->micro);
    else if (e->what == TR_TRACE_PASS)
        snprintf(name, 64, "%s", pass_names[e->kind]);
    else if (e->what == TR_TRACE_OP)
        snprintf(name, 64, "%s", tr_op_operands((enum tr_op_kind)e->kind)->name);
    else
        snprintf(name, 64, "%s%s %s", e->what == TR_TRACE_BESIDE || message ? "" : before[e->when],
                 tr_coll_kind_name((enum tr_coll_kind)e->kind), tr_group_name(e->group));
}

static void put_args(struct tr_json *json, const struct tr_trace_event *e)
{
    tr_json_object(json, "args");
    if (e->what == TR_TRACE_STEP)
        tr_json_int(json, "step", e->step);
    if (e->what == TR_TRACE_PASS) {
        tr_json_string(json, "pass", pass_names[e->kind]);
        if (e->chunk >= 0)
            tr_json_int(json, "chunk", e->chunk);
        if (e->micro >= 0)
            tr_json_int(json, "microbatch", e->micro);
    }
    if (e->what == TR_TRACE_OP && e->layer >= 0)
        tr_json_int(json, "layer", e->layer);
    if (e->what == TR_TRACE_OP)
        tr_json_int(json, "flop", e->flop);
    if (e->what >= TR_TRACE_OP) {
        tr_json_string(json, "phase", tr_phase_name(e->phase));
        tr_json_int(json, "bytes", e->bytes);
    }
    if (e->what >= TR_TRACE_COLL) {
        tr_json_string(json, "collective", tr_coll_kind_name((enum tr_coll_kind)e->kind));
        tr_json_string(json, "group", tr_group_name(e->group));
    }
    if (e->what == TR_TRACE_COLL)
        tr_json_string(json, "when", when_names[e->when]);
    tr_json_end(json);
}

void tr_trace_put(struct tr_json *json, int process, const struct tr_trace_event *event)
{
    char name[64];
    double begin_us = microseconds(event->begin_s);
    name_event(event, name);
    tr_json_object(json, NULL);
    tr_json_string(json, "name", name);
    tr_json_string(json, "cat", what_names[event->what]);
    tr_json_string(json, "ph", "X");
    tr_json_double(json, "ts", begin_us);
    tr_json_double(json, "dur", floor((microseconds(event->end_s) - begin_us) * 1e3 + .5) / 1e3);
    tr_json_int(json, "pid", process);
    tr_json_int(json, "tid", row_of(event));
    put_args(json, event);
    tr_json_end(json);
}

static void put_name(struct tr_json *json, const char *of, int process, int row, const char *name)
{
    tr_json_object(json, NULL);
    tr_json_string(json, "name", of);
    tr_json_string(json, "ph", "M");
    tr_json_int(json, "pid", process);
    tr_json_int(json, "tid", row);
    tr_json_object(json, "args");
    tr_json_string(json, "name", name);
    tr_json_end(json);
    tr_json_end(json);
}

/* Where the process stands among the others. */
static void put_place(struct tr_json *json, int process)
{
    tr_json_object(json, NULL);
    tr_json_string(json, "name", "process_sort_index");
    tr_json_string(json, "ph", "M");
    tr_json_int(json, "pid", process);
    tr_json_int(json, "tid", 0);
    tr_json_object(json, "args");
    tr_json_int(json, "sort_index", process);
    tr_json_end(json);
    tr_json_end(json);
}

void tr_trace_put_rows(struct tr_json *json, int process, const char *name, const struct tr_trace_event *event, int64_t count)
{
    bool used[ROWS] = {false};
    char beside[32];
    for (int64_t i = 0; i < count; i++)
        used[row_of(&event[i])] = true;
    put_name(json, "process_name", process, 0, name);
    put_place(json, process);
    for (int row = TR_TRACE_ROW_STEPS; row < ROWS; row++) {
        if (row >= TR_TRACE_ROW_BESIDE)
            snprintf(beside, sizeof beside, "%s beside", tr_group_name((enum tr_group)(row - TR_TRACE_ROW_BESIDE)));
        if (used[row])
            put_name(json, "thread_name", process, row, row == TR_TRACE_ROW_STEPS ? "steps" : row == TR_TRACE_ROW_OPERATIONS ? "operations" : beside);
    }
}

static void put_head(struct tr_json *json, const struct tr_trace *trace)
{
    const struct tr_trace_head *h = &trace->head;
    tr_json_object(json, "otherData");
    tr_json_string(json, "format", format);
    tr_json_string(json, "config_sha256", h->config_sha256);
    tr_json_int(json, "attempt", h->attempt);
    tr_json_int(json, "rank", h->rank);
    tr_json_int(json, "ranks", h->ranks);
    if (h->ranks > 1)
        tr_json_string(json, "transport", h->transport);
    tr_run_layout_write(&h->layout, json);
    tr_json_int(json, "threads", h->threads);
    tr_json_int(json, "host_ranks", h->host_ranks);
    tr_json_string(json, "isa", tr_isa_name(h->isa));
    tr_json_double(json, "hand_s", h->hand_s);
    tr_json_double(json, "clock_offset_s", h->clock_offset_s);
    tr_json_double(json, "clock_error_s", h->clock_error_s);
    tr_json_int(json, "events", trace->count);
    tr_json_end(json);
}

void tr_trace_text(const struct tr_trace *trace, struct tr_text *out)
{
    char name[32];
    struct tr_json json = tr_json_start(out, TR_JSON_LINE);
    snprintf(name, sizeof name, "rank %d", trace->head.rank);
    tr_json_object(&json, NULL);
    tr_json_string(&json, "displayTimeUnit", "ms");
    put_head(&json, trace);
    tr_json_array(&json, "traceEvents");
    tr_trace_put_rows(&json, trace->head.rank, name, trace->event, trace->count);
    for (int64_t i = 0; i < trace->count; i++)
        tr_trace_put(&json, trace->head.rank, &trace->event[i]);
    tr_json_end(&json);
    tr_json_end(&json);
    tr_text_char(out, '\n');
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* An enumeration by its names, as tr_doc_enum wants them. */
static enum tr_status read_name(const struct tr_node *object, const char *key, const char *(*name_of)(int), int count, int *out,
                                struct tr_err *err)
{
    const char *names[TR_OP_KIND_COUNT + TR_COLL_KIND_COUNT];
    TR_ASSERT(count <= (int)(sizeof names / sizeof *names));
    for (int i = 0; i < count; i++)
        names[i] = name_of(i);
    return tr_doc_enum(object, key, TR_REQUIRED, names, count, out, err);
}

static const char *op_name(int i) { return tr_op_operands((enum tr_op_kind)i)->name; }
static const char *coll_name(int i) { return tr_coll_kind_name((enum tr_coll_kind)i); }
static const char *phase_name(int i) { return tr_phase_name((enum tr_phase)i); }
static const char *group_name(int i) { return tr_group_name((enum tr_group)i); }
static const char *isa_name(int i) { return tr_isa_name((enum tr_isa)i); }

static enum tr_status read_digest(const struct tr_node *head, char hex[TR_SHA256_HEX_BYTES], struct tr_err *err)
{
    const char *text;
    enum tr_status status = tr_doc_string(head, "config_sha256", TR_REQUIRED, &text, err);
    if (status == TR_OK && (strlen(text) != TR_SHA256_HEX_BYTES - 1 || strspn(text, "0123456789abcdef") != strlen(text)))
        return tr_node_fail(tr_doc_find(head, "config_sha256"), err, "expected 64 hexadecimal digits");
    if (status == TR_OK)
        memcpy(hex, text, TR_SHA256_HEX_BYTES);
    return status;
}

static enum tr_status read_format(const struct tr_node *head, struct tr_err *err)
{
    const char *text;
    enum tr_status status = tr_doc_string(head, "format", TR_REQUIRED, &text, err);
    if (status == TR_OK && strcmp(text, format) != 0)
        return tr_node_fail(tr_doc_find(head, "format"), err, "expected \"%s\", which `trine train --trace-steps` writes", format);
    return status;
}

static enum tr_status read_ranks(const struct tr_node *head, struct tr_trace_head *out, struct tr_err *err)
{
    int64_t rank, ranks, threads, host_ranks;
    enum tr_status status = tr_run_layout_read(head, &out->layout, err);
    if (status == TR_OK)
        status = tr_run_transport_read(head, out->transport, err);
    if (status == TR_OK)
        status = tr_doc_int(head, "ranks", TR_REQUIRED, 1, TR_RANKS_MAX, &ranks, err);
    if (status == TR_OK && ranks != tr_degrees_ranks(&out->layout))
        status = tr_node_fail(tr_doc_find(head, "ranks"), err, "%lld, and the layout beside it is of %lld", (long long)ranks,
                              (long long)tr_degrees_ranks(&out->layout));
    if (status == TR_OK)
        status = tr_doc_int(head, "rank", TR_REQUIRED, 0, ranks - 1, &rank, err);
    if (status == TR_OK)
        status = tr_doc_int(head, "threads", TR_REQUIRED, 1, TR_RUN_THREADS_MAX, &threads, err);
    if (status == TR_OK)
        status = tr_doc_int(head, "host_ranks", TR_REQUIRED, 1, ranks, &host_ranks, err);
    if (status != TR_OK)
        return status;
    out->rank = (int)rank;
    out->ranks = (int)ranks;
    out->threads = (int)threads;
    out->host_ranks = (int)host_ranks;
    return TR_OK;
}

static enum tr_status read_head(const struct tr_node *root, struct tr_trace_head *out, int64_t *events, struct tr_err *err)
{
    const struct tr_node *head;
    int isa;
    enum tr_status status = tr_doc_object(root, "otherData", TR_REQUIRED, &head, err);
    if (status == TR_OK)
        status = read_format(head, err);
    if (status == TR_OK)
        status = read_digest(head, out->config_sha256, err);
    if (status == TR_OK)
        status = tr_doc_int(head, "attempt", TR_REQUIRED, 0, COUNT_MAX, &out->attempt, err);
    if (status == TR_OK)
        status = read_ranks(head, out, err);
    if (status == TR_OK)
        status = read_name(head, "isa", isa_name, TR_ISA_COUNT, &isa, err);
    if (status == TR_OK)
        status = tr_doc_double(head, "hand_s", TR_OPTIONAL, 0, 3600, &out->hand_s, err);
    if (status == TR_OK)
        status = tr_doc_double(head, "clock_offset_s", TR_REQUIRED, -INFINITY, INFINITY, &out->clock_offset_s, err);
    if (status == TR_OK)
        status = tr_doc_double(head, "clock_error_s", TR_REQUIRED, 0, 3600, &out->clock_error_s, err);
    if (status == TR_OK)
        status = tr_doc_int(head, "events", TR_REQUIRED, 0, TR_TRACE_EVENTS_MAX, events, err);
    if (status == TR_OK)
        out->isa = (enum tr_isa)isa;
    return status;
}

static enum tr_status read_pass(const struct tr_node *args, struct tr_trace_event *out, struct tr_err *err)
{
    enum tr_status status = tr_doc_enum(args, "pass", TR_REQUIRED, pass_names, TR_SECTION_KINDS, &out->kind, err);
    if (status == TR_OK)
        status = tr_doc_int(args, "chunk", TR_OPTIONAL, 0, TR_STAGE_CHUNKS_MAX - 1, &out->chunk, err);
    return status == TR_OK ? tr_doc_int(args, "microbatch", TR_OPTIONAL, 0, COUNT_MAX, &out->micro, err) : status;
}

static enum tr_status read_coll(const struct tr_node *args, struct tr_trace_event *out, struct tr_err *err)
{
    int group, when = TR_COLL_NOW;
    enum tr_status status = read_name(args, "collective", coll_name, TR_COLL_KIND_COUNT, &out->kind, err);
    if (status == TR_OK)
        status = read_name(args, "group", group_name, TR_GROUP_COUNT, &group, err);
    if (status == TR_OK && out->what == TR_TRACE_COLL)
        status = tr_doc_enum(args, "when", TR_REQUIRED, when_names, sizeof when_names / sizeof *when_names, &when, err);
    if (status != TR_OK)
        return status;
    out->group = (enum tr_group)group;
    out->when = (enum tr_coll_when)when;
    return TR_OK;
}

static enum tr_status read_op(const struct tr_node *event, const struct tr_node *args, struct tr_trace_event *out, struct tr_err *err)
{
    enum tr_status status = read_name(event, "name", op_name, TR_OP_KIND_COUNT, &out->kind, err);
    if (status == TR_OK)
        status = tr_doc_int(args, "layer", TR_OPTIONAL, 0, INT32_MAX, &out->layer, err);
    return status == TR_OK ? tr_doc_int(args, "flop", TR_REQUIRED, 0, COUNT_MAX, &out->flop, err) : status;
}

/* What the kinds of events differ in. */
static enum tr_status read_args(const struct tr_node *event, struct tr_trace_event *out, struct tr_err *err)
{
    const struct tr_node *args;
    int phase = 0;
    enum tr_status status = tr_doc_object(event, "args", TR_REQUIRED, &args, err);
    if (status == TR_OK && out->what == TR_TRACE_STEP)
        return tr_doc_int(args, "step", TR_REQUIRED, 1, COUNT_MAX, &out->step, err);
    if (status == TR_OK && out->what == TR_TRACE_PASS)
        return read_pass(args, out, err);
    if (status == TR_OK)
        status = out->what == TR_TRACE_OP ? read_op(event, args, out, err) : read_coll(args, out, err);
    if (status == TR_OK)
        status = read_name(args, "phase", phase_name, TR_PHASE_COUNT, &phase, err);
    if (status == TR_OK)
        status = tr_doc_int(args, "bytes", TR_REQUIRED, 0, COUNT_MAX, &out->bytes, err);
    out->phase = (enum tr_phase)phase;
    return status;
}

static enum tr_status read_event(const struct tr_node *event, struct tr_trace_event *out, struct tr_err *err)
{
    int what;
    double begin_us, long_us;
    struct tr_trace_event e = {.layer = -1, .chunk = -1, .micro = -1};
    enum tr_status status = tr_doc_enum(event, "cat", TR_REQUIRED, what_names, TR_TRACE_WHATS, &what, err);
    if (status == TR_OK)
        status = tr_doc_double(event, "ts", TR_REQUIRED, 0, TIME_MAX_US, &begin_us, err);
    if (status == TR_OK)
        status = tr_doc_double(event, "dur", TR_REQUIRED, 0, TIME_MAX_US, &long_us, err);
    if (status != TR_OK)
        return status;
    e.what = (enum tr_trace_what)what;
    e.begin_s = begin_us * 1e-6;
    e.end_s = (begin_us + long_us) * 1e-6;
    status = read_args(event, &e, err);
    if (status == TR_OK)
        *out = e;
    return status;
}

/* What a rank did one after the other stands so, and a step before what is of it; what ran beside stands where it was waited for. */
static enum tr_status check_order(const struct tr_node *node, const struct tr_trace *trace, const struct tr_trace_event *e,
                                  double last_s[ROWS], struct tr_err *err)
{
    double *last = &last_s[row_of(e)];
    if (e->what != TR_TRACE_BESIDE && e->begin_s < *last)
        return tr_node_fail(node, err, "begins before the event before it in its row");
    if (trace->count == 0 && e->what != TR_TRACE_STEP)
        return tr_node_fail(node, err, "expected a step before what is of one");
    *last = e->begin_s;
    return TR_OK;
}

static enum tr_status read_events(const struct tr_node *root, int64_t expected, struct tr_trace *trace, struct tr_err *err)
{
    static const char *const phs[] = {"M", "X"};
    double last_s[ROWS] = {0};
    const struct tr_node *events;
    int ph;
    enum tr_status status = tr_doc_array(root, "traceEvents", TR_REQUIRED, expected, expected + ROWS + 2, &events, err);
    for (int64_t i = 0; status == TR_OK && i < events->count; i++) {
        const struct tr_node *node = &events->children[i];
        status = tr_doc_enum(node, "ph", TR_REQUIRED, phs, 2, &ph, err);
        if (status != TR_OK || ph == 0)
            continue;
        if (trace->count == expected)
            return tr_node_fail(events, err, "has more events than the %lld that otherData.events says", (long long)expected);
        struct tr_trace_event *e = &trace->event[trace->count];
        status = read_event(node, e, err);
        if (status == TR_OK)
            status = check_order(node, trace, e, last_s, err);
        trace->steps += e->what == TR_TRACE_STEP;
        trace->count++;
    }
    if (status == TR_OK && trace->count != expected)
        return tr_node_fail(events, err, "has %lld events, and otherData.events says %lld: it is not whole", (long long)trace->count,
                            (long long)expected);
    return status;
}

/* The trainer makes the folder when it begins to trace, and the files when the last traced step is done. */
static enum tr_status no_file(const char *path, struct tr_err *err)
{
    char folder[TR_PATH_BYTES];
    snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(path, '/') ? strrchr(path, '/') - path : 0), path);
    if (tr_folder_exists(folder))
        return tr_fail(err, TR_BAD_INPUT, "%s: no such file, and %s is there: the run ended before the steps to be traced were done; "
                       "give the same command again, or fewer `--trace-steps`", path, folder);
    return tr_fail(err, TR_BAD_INPUT, "%s: no such file; `trine train --trace-steps N` writes one of each rank", path);
}

enum tr_status tr_trace_read(const char *path, struct tr_trace *out, struct tr_err *err)
{
    struct tr_doc *doc = NULL;
    struct tr_trace trace = {.event = NULL};
    int64_t events = 0;
    if (!tr_file_exists(path))
        return no_file(path, err);
    enum tr_status status = tr_doc_read(path, TR_DOC_JSON, &doc, err);
    if (status == TR_BAD_INPUT)
        status = tr_fail(err, status, "%s; `trine train --trace-steps N` writes another", err->text);
    if (status == TR_OK)
        status = read_head(tr_doc_root(doc), &trace.head, &events, err);
    if (status == TR_OK && (trace.event = calloc((size_t)events + 1, sizeof *trace.event)) == NULL)
        status = tr_fail(err, TR_FAILED, "out of memory for %lld events", (long long)events);
    if (status == TR_OK)
        status = read_events(tr_doc_root(doc), events, &trace, err);
    tr_doc_free(doc);
    if (status == TR_OK)
        *out = trace;
    else
        tr_trace_free(&trace);
    return status;
}
