/* RUN/job.json: which job of Slurm a run was handed to last. */
#ifndef TR_APP_RUN_JOB_H
#define TR_APP_RUN_JOB_H

#include "base/os.h"
#include "cloud/job/job.h"

struct tr_run_job {
    char id[TR_JOB_ID_BYTES]; /* "": the run was never submitted */
    char submitted[TR_DATE_BYTES];
};

TR_MUST_CHECK enum tr_status tr_run_job_read(const char *run_folder, struct tr_run_job *job, struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_run_job_write(const char *run_folder, const struct tr_run_job *job, struct tr_err *err);

#endif
