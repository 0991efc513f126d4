/* Any bytes as JSON Lines: each line is refused with a sentence that names it, or is a text no longer than itself. */
#include "lab/data/jsonl.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const char *at = (const char *)data, *end = at + bytes;
    for (int64_t line = 1; at < end; line++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t length = (size_t)((stop ? stop : end) - at);
        struct tr_doc *doc = NULL;
        struct tr_string text = {0};
        struct tr_err err = {""};
        enum tr_status status = tr_jsonl_parse("input", line, at, length, &doc, &text, &err);
        TR_ASSERT(status == TR_OK || (status == TR_BAD_INPUT && strncmp(err.text, "input:", 6) == 0));
        TR_ASSERT(status != TR_OK || (text.bytes >= 0 && (size_t)text.bytes <= length));
        tr_doc_free(doc);
        at += length + 1;
    }
    return 0;
}
