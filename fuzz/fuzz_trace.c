/* Any bytes as a rank's trace: refused with a sentence, or a trace whose numbers are within their ranges, and which is the same
 * when it is written and read again. */
#include "lab/train/trace.h"
#include "folder.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check_event(const struct tr_trace_event *e)
{
    TR_ASSERT(e->begin_s >= 0 && e->end_s >= e->begin_s && e->flop >= 0 && e->bytes >= 0);
    TR_ASSERT(e->what != TR_TRACE_PASS || (e->kind >= 0 && e->kind < TR_SECTION_KINDS));
    TR_ASSERT(e->what != TR_TRACE_OP || (e->kind >= 0 && e->kind < TR_OP_KIND_COUNT));
    TR_ASSERT(e->what < TR_TRACE_COLL || (e->kind >= 0 && e->kind < TR_COLL_KIND_COUNT));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct tr_trace trace, again;
    struct tr_text text = {0};
    struct tr_err err = {""};
    char path[TR_PATH_BYTES];
    if (!folder[0])
        folder_make();
    folder_put("rank-0.json", (const char *)data, bytes);
    TR_ASSERT(tr_path_join(path, folder, "rank-0.json", &err) == TR_OK);
    enum tr_status status = tr_trace_read(path, &trace, &err);
    TR_ASSERT(status == TR_BAD_INPUT ? err.text[0] != 0 : status == TR_OK);
    if (status != TR_OK)
        return 0;
    for (int64_t i = 0; i < trace.count; i++)
        check_event(&trace.event[i]);
    tr_trace_text(&trace, &text);
    folder_put("rank-0.json", tr_text_str(&text), text.len);
    TR_ASSERT(tr_trace_read(path, &again, &err) == TR_OK);
    TR_ASSERT(again.count == trace.count && again.steps == trace.steps && again.head.ranks == trace.head.ranks);
    tr_trace_free(&again);
    tr_trace_free(&trace);
    tr_text_free(&text);
    return 0;
}
