/* What a run folder's files say, as arrays. */
#ifndef TR_LAB_REPORT_RUN_FILES_H
#define TR_LAB_REPORT_RUN_FILES_H

#include "base/arena.h"
#include "base/doc.h"
#include "base/os.h"

#include <stdint.h>

enum { TR_CURVE_LOSS, TR_CURVE_GRAD_NORM, TR_CURVE_LR, TR_CURVE_TOK_S, TR_CURVE_MFU, TR_CURVE_MEMORY, TR_CURVE_STEP_S,
       TR_CURVE_COUNT };
enum { TR_EVAL_LOSS, TR_EVAL_BPB, TR_EVAL_COUNT };

struct tr_run_files {
    double *step, *value[TR_CURVE_COUNT]; /* [step_count] */
    int64_t step_count;
    double *eval_step, *eval[TR_EVAL_COUNT];
    int64_t eval_count;
    double tokens, steps_planned, skipped, eta_s; /* of the last step line */
    struct tr_doc *profile;                /* profile.json; NULL when there is none */
    struct tr_bytes config, samples;       /* texts; at NULL when there is none */
    struct tr_arena arena;
};

TR_MUST_CHECK enum tr_status tr_run_files_read(struct tr_run_files *files, const char *run_folder, struct tr_err *err);
void tr_run_files_free(struct tr_run_files *files);

#endif
