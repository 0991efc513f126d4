#include "app/run_job.h"

#include "base/doc.h"
#include "base/json.h"

#include <stdio.h>
#include <string.h>

static enum tr_status read_string(const struct tr_node *root, const char *key, char *to, size_t bytes, struct tr_err *err)
{
    const char *value;
    enum tr_status status = tr_doc_string(root, key, TR_REQUIRED, &value, err);
    if (status == TR_OK && strlen(value) >= bytes)
        return tr_node_fail(root, err, "%s is longer than %zu bytes", key, bytes - 1);
    if (status == TR_OK)
        strcpy(to, value);
    return status;
}

enum tr_status tr_run_job_read(const char *run_folder, struct tr_run_job *job, struct tr_err *err)
{
    char path[TR_PATH_BYTES];
    struct tr_doc *doc = NULL;
    struct tr_run_job j = {.id = ""};
    enum tr_status status = tr_path_join(path, run_folder, "job.json", err);
    if (status == TR_OK && tr_file_exists(path)) {
        status = tr_doc_read(path, TR_DOC_JSON, &doc, err);
        if (status == TR_OK)
            status = read_string(tr_doc_root(doc), "job", j.id, sizeof j.id, err);
        if (status == TR_OK)
            status = read_string(tr_doc_root(doc), "submitted", j.submitted, sizeof j.submitted, err);
        tr_doc_free(doc);
    }
    if (status == TR_OK)
        *job = j;
    return status;
}

enum tr_status tr_run_job_write(const char *run_folder, const struct tr_run_job *job, struct tr_err *err)
{
    char path[TR_PATH_BYTES];
    struct tr_text text = {0};
    struct tr_json json = tr_json_start(&text, TR_JSON_LINE);
    tr_json_object(&json, NULL);
    tr_json_string(&json, "job", job->id);
    tr_json_string(&json, "submitted", job->submitted);
    tr_json_end(&json);
    tr_text_char(&text, '\n');
    enum tr_status status = tr_text_failed(&text, err) ? TR_FAILED : tr_path_join(path, run_folder, "job.json", err);
    if (status == TR_OK)
        status = tr_file_write(path, text.at, text.len, err);
    tr_text_free(&text);
    return status;
}
