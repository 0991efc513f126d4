/* RUN/trace/rank-N.json: what rank N did when, in a few steps of a run (`trine train --trace-steps`).
 *
 * The file is a trace in Chrome's trace event format, which ui.perfetto.dev and chrome://tracing open as it is. All its events
 * are complete ones ("X"); times are microseconds since one instant of rank 0, by the clock of rank 0, so that the files of several
 * ranks lie one over the other (plan/here/timeline.h makes one of them). The process is the rank, and its rows are
 *
 *     steps        each step, and in it the passes: forward and backward of each microbatch, ends of lanes, update
 *     operations   what the rank did one after the other: operations, and of collectives what it was held up by them
 *     dp beside    one row a group: collectives that ran beside operations, from their start to their end
 *
 * "otherData" says whose trace it is (struct tr_trace_head), and how many events there are, so that a file which was cut or
 * edited is seen. */
#ifndef TR_LAB_TRAIN_TRACE_H
#define TR_LAB_TRAIN_TRACE_H

#include "base/os.h"
#include "base/text.h"
#include "lab/model/exec.h"

/* The rows (tid) of a rank; those beside follow the last. */
enum { TR_TRACE_ROW_STEPS = 1, TR_TRACE_ROW_OPERATIONS, TR_TRACE_ROW_BESIDE };

enum { TR_TRACE_EVENTS_MAX = 200 * 1000 }; /* of a rank: its file stays below what doc.h reads */

struct tr_trace_head {
    char config_sha256[TR_SHA256_HEX_BYTES]; /* of RUN/config.yaml */
    int64_t attempt;                         /* which start of the run, as in RUN/profile.json */
    int rank, ranks, threads, host_ranks;    /* threads: of each; host_ranks: on its host */
    char transport[16];                      /* of several ranks: "threads", "mpi" */
    struct tr_degrees layout;
    enum tr_isa isa;
    double hand_s;         /* of rank 0, as in RUN/profile.json; of others 0 */
    double clock_offset_s; /* what was added to its clock to have that of rank 0, in the last step; 0: it is the same clock */
    double clock_error_s;  /* how far that may be off, at most: half of a message's way there and back */
};

enum tr_trace_what {
    TR_TRACE_STEP,
    TR_TRACE_PASS,   /* an entry of the schedule */
    TR_TRACE_OP,
    TR_TRACE_COLL,   /* as the rank was held up by it */
    TR_TRACE_BESIDE, /* as it ran beside operations */
    TR_TRACE_WHATS
};

struct tr_trace_event {
    enum tr_trace_what what;
    int kind;                 /* PASS: enum tr_section_kind; OP: enum tr_op_kind; COLL, BESIDE: enum tr_coll_kind */
    enum tr_phase phase;      /* OP, COLL, BESIDE */
    enum tr_group group;      /* COLL, BESIDE */
    enum tr_coll_when when;   /* COLL */
    int64_t layer;            /* OP, -1: of none */
    int64_t chunk, micro;     /* PASS, -1: of none */
    int64_t step;             /* STEP, counted from 1; the events up to the next STEP are of it */
    int64_t flop, bytes;      /* OP: as planned for these shapes; COLL: bytes that this rank sends */
    double begin_s, end_s;
};

struct tr_trace {
    struct tr_trace_head head;
    struct tr_trace_event *event; /* [count], in the order of the file */
    int64_t count, steps;
};

/* RUN/trace/rank-N.json. */
TR_MUST_CHECK enum tr_status tr_trace_path(char path[TR_PATH_BYTES], const char *run_folder, int rank, struct tr_err *err);

/* TR_BAD_INPUT, with the place: no such file, cut short, not a trace of ours, numbers out of range or order. */
TR_MUST_CHECK enum tr_status tr_trace_read(const char *path, struct tr_trace *out, struct tr_err *err);
void tr_trace_free(struct tr_trace *trace); /* right on a zeroed struct */

/* What an entry of the schedule, one of its operations, and what was waited for at a WAIT (false: it is none) are in a trace. */
struct tr_trace_event tr_trace_pass_of(const struct tr_program *program, const struct tr_schedule_entry *entry, double begin_s);
struct tr_trace_event tr_trace_event_of(const struct tr_program *program, const struct tr_program_op *op,
                                        const struct tr_schedule_entry *entry, double begin_s, double end_s);
bool tr_trace_beside_of(const struct tr_program *program, const struct tr_program_op *op, const struct tr_schedule_entry *entry,
                        double begin_s, double end_s, struct tr_trace_event *out);

void tr_trace_text(const struct tr_trace *trace, struct tr_text *out);

/* Its parts, for whoever puts traces together: names of the process and of the rows that have events, then events. Into an
 * array that is open. */
struct tr_json;
void tr_trace_put_rows(struct tr_json *json, int process, const char *name, const struct tr_trace_event *event, int64_t count);
void tr_trace_put(struct tr_json *json, int process, const struct tr_trace_event *event);

#endif
