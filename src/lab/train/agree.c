/* Ranks that are processes of their own, on hosts of their own: whether they mean the same run, which is asked before anything
 * is written, and what each may take of a host that it shares with others. Ranks of one process have one of everything. */
#include "lab/train/run.h"

#include "base/json.h"

#include <stddef.h>
#include <stdlib.h>

#define PROGRAM_MAX_BYTES ((int64_t)1 << 30)

enum tr_status tr_run_alike(struct tr_run *run, enum tr_status mine, struct tr_err *err)
{
    return run->world ? tr_status_all(run->world, mine, err) : mine;
}

static enum tr_status agree(struct tr_run *run, const char *what, const void *data, size_t bytes, struct tr_err *err)
{
    return tr_run_alike(run, tr_agree_all(run->world, what, data, (int64_t)bytes, err), err);
}

/* The file itself: another build of the same version may lay out otherwise what ranks read of each other. */
enum tr_status tr_run_agree_program(struct tr_run *run, struct tr_err *err)
{
    struct tr_bytes file = {0};
    if (!run->options->world)
        return TR_OK;
    enum tr_status status = tr_run_alike(run, tr_file_read("/proc/self/exe", PROGRAM_MAX_BYTES, &file, err), err);
    if (status == TR_OK)
        status = agree(run, "program (the file of trine)", file.at, file.len, err);
    tr_bytes_free(&file);
    return status == TR_OK ? agree(run, "--layout", &run->options->layout, sizeof run->options->layout, err) : status;
}

/* Threads are a rank's own affair; that of all other keys the lead's value holds. */
static enum tr_status compare_config(const struct tr_run *run, const struct tr_run_config *lead, struct tr_err *err)
{
    struct tr_text its = {0}, ours = {0};
    int count, at = -1;
    const struct tr_run_key *keys = tr_run_keys(&count);
    enum tr_status status = TR_OK;
    while (status == TR_OK && (at = tr_run_config_difference(lead, &run->config, at + 1, &its, &ours)) >= 0)
        if (keys[at].offset != offsetof(struct tr_run_config, threads))
            status = tr_fail(err, TR_BAD_INPUT, "%s is %s here and %s on rank 0: all ranks must have one config", keys[at].name,
                             tr_text_str(&ours), tr_text_str(&its));
    tr_text_free(&its);
    tr_text_free(&ours);
    return status;
}

static enum tr_status agree_model(struct tr_run *run, struct tr_err *err)
{
    struct tr_text text = {0};
    struct tr_json json = tr_json_start(&text, TR_JSON_LINE);
    tr_model_config_write(&run->model, &json);
    enum tr_status status = tr_run_alike(run, tr_text_failed(&text, err) ? TR_FAILED : TR_OK, err);
    if (status == TR_OK)
        status = agree(run, "model", text.at, text.len, err);
    tr_text_free(&text);
    return status;
}

enum tr_status tr_run_agree_config(struct tr_run *run, struct tr_err *err)
{
    if (!run->options->world)
        return TR_OK;
    struct tr_run_config *lead = malloc(sizeof *lead);
    enum tr_status status = lead ? TR_OK : tr_fail(err, TR_FAILED, "out of memory for %zu bytes", sizeof *lead);
    status = tr_run_alike(run, status, err);
    if (status == TR_OK) {
        *lead = run->config;
        status = tr_run_tell(run, lead, sizeof *lead, err);
    }
    if (status == TR_OK)
        status = tr_run_alike(run, compare_config(run, lead, err), err);
    free(lead);
    return status == TR_OK ? agree_model(run, err) : status;
}

enum tr_status tr_run_agree_text(struct tr_run *run, struct tr_err *err)
{
    return run->options->world ? agree(run, "text", run->data.sha256, sizeof run->data.sha256, err) : TR_OK;
}

/* ---- what of its host is this rank's ------------------------------------------------------------------------------ */

enum tr_status tr_run_share_host(struct tr_run *run, struct tr_err *err)
{
    int index = 0, ranks = tr_run_ranks(run);
    struct tr_core_set mine, *all;
    run->hosts = run->host_ranks = 1;
    run->cores = run->host_cores = tr_cores_usable();
    if (!run->world)
        return TR_OK;
    tr_cores_allowed(&mine);
    all = calloc((size_t)ranks, sizeof *all);
    if (!all)
        return tr_fail(err, TR_FAILED, "out of memory for %d ranks", ranks);
    enum tr_status status = tr_run_tell_each(run, &mine, all, sizeof mine, err);
    run->hosts = run->host_ranks = 0;
    for (int i = 0, me = tr_comm_index(run->world); i < ranks && status == TR_OK; i++) {
        run->hosts += tr_comm_host(run->world, i) == i;
        index = i == me ? run->host_ranks : index;
        if (tr_comm_host(run->world, i) == tr_comm_host(run->world, me))
            all[run->host_ranks++] = all[i]; /* those of this host come to the front */
    }
    if (status == TR_OK)
        run->cores = tr_cores_share(all, run->host_ranks, index, tr_cores_quota(), &run->host_cores);
    if (run->host_cores == 0) /* more than can be seen */
        run->host_cores = run->cores * run->host_ranks;
    free(all);
    return status;
}
