/* Any bytes as a checkpoint's manifest.json and state.json: refused with a sentence, or exactly what is written for the
 * values that were read. */
#include "lab/train/manifest.h"
#include "lab/train/state.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void as_manifest(const char *data, size_t bytes)
{
    struct tr_manifest manifest;
    struct tr_text text = {0};
    struct tr_err err = {""};
    enum tr_status status = tr_manifest_parse("input", data, bytes, &manifest, &err);
    TR_ASSERT(status == TR_OK || (status == TR_BAD_INPUT && err.text[0]));
    if (status != TR_OK)
        return;
    tr_manifest_text(&manifest, &text);
    TR_ASSERT(text.len == bytes && memcmp(tr_text_str(&text), data, bytes) == 0);
    tr_text_free(&text);
    tr_manifest_free(&manifest);
}

static void as_state(const char *data, size_t bytes)
{
    static struct tr_train_state state, again;
    struct tr_text first = {0}, second = {0};
    struct tr_err err = {""};
    enum tr_status status = tr_state_parse("input", data, bytes, &state, &err);
    TR_ASSERT(status == TR_OK || (status == TR_BAD_INPUT && err.text[0]));
    if (status != TR_OK)
        return;
    tr_state_text(&state, &first);
    TR_ASSERT(tr_state_parse("again", tr_text_str(&first), first.len, &again, &err) == TR_OK);
    tr_state_text(&again, &second);
    TR_ASSERT(first.len == second.len && memcmp(first.at, second.at, first.len) == 0);
    tr_text_free(&first);
    tr_text_free(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    as_manifest((const char *)data, bytes);
    as_state((const char *)data, bytes);
    return 0;
}
