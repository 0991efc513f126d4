/* JSON Lines: a document a line. Internal to lab/data.
 *
 *     {"text": "..."}         or, where conversations are read,
 *     {"messages": [{"role": "user", "content": "..."}, ...]}     (lab/chat/chat.h)
 *
 * Other keys of a line are passed over; empty lines too. Memory: one line. */
#ifndef TR_LAB_DATA_JSONL_H
#define TR_LAB_DATA_JSONL_H

#include "base/doc.h"
#include "lab/chat/chat.h"
#include "lab/token/token.h"

#include <stdint.h>

#define TR_JSONL_ENDING ".jsonl"
#define TR_JSONL_LINE_MAX_BYTES ((int64_t)64 << 20)
enum { TR_JSONL_LINE_MAX_NODES = 1000 * 1000 };

/* The lines of a file. */
struct tr_jsonl {
    const char *path;
    int fd;       /* -1: none */
    int64_t left; /* bytes of the file that were not read yet */
    char *buffer;
    int64_t begin, end, room; /* what is in it */
    int64_t line;             /* number of the last one, from 1 */
};

bool tr_jsonl_is_name(const char *path); /* ends in TR_JSONL_ENDING */

/* `bytes`: of the file when it was listed; what was appended since is left out. Close in any case. */
TR_MUST_CHECK enum tr_status tr_jsonl_open(struct tr_jsonl *lines, const char *path, int64_t bytes, struct tr_err *err);
void tr_jsonl_close(struct tr_jsonl *lines); /* also right on a zeroed struct */

/* The next line that is not empty, without its end; it stays where it is until the next call. TR_NO: there is none.
 * TR_BAD_INPUT: longer than the limit; the file has become shorter. */
TR_MUST_CHECK enum tr_status tr_jsonl_next(struct tr_jsonl *lines, const char **line, size_t *bytes,
                                           struct tr_err *err);

/* The text of one line: `*text` belongs to `*doc`, which is the caller's to free. TR_BAD_INPUT with path:line: no valid
 * JSON or UTF-8, no object, no "text", or one that is no string. */
TR_MUST_CHECK enum tr_status tr_jsonl_parse(const char *path, int64_t line_number, const char *line, size_t bytes,
                                            struct tr_doc **doc, struct tr_string *text, struct tr_err *err);

/* The same of a conversation; `*out` is used again from line to line, its contents belong to `*doc`. */
TR_MUST_CHECK enum tr_status tr_jsonl_parse_talk(const char *path, int64_t line_number, const char *line, size_t bytes,
                                                 struct tr_doc **doc, struct tr_conversation *out, struct tr_err *err);

/* Whether a line is one: an object with "messages". */
bool tr_jsonl_is_talk(const char *line, size_t bytes);

#endif
