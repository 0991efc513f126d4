/* Which files are the data, and what is text. */
#ifndef TR_LAB_DATA_SOURCE_H
#define TR_LAB_DATA_SOURCE_H

#include "base/arena.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct tr_source_file {
    const char *path;
    int64_t bytes; /* when it was listed; > 0 */
};

struct tr_source {
    struct tr_source_file *file; /* sorted by path */
    int64_t count, room;
    int64_t bytes;               /* of all files */
    int64_t empty_count;         /* files skipped because they are empty */
    bool shards;                 /* all of them are named as shards of tokens are */
    struct tr_arena arena;
};

/* Lists the files of `path`; see data.h for which. Free with tr_source_free, also after a failure. */
TR_MUST_CHECK enum tr_status tr_source_find(struct tr_source *source, const char *path, struct tr_err *err);
void tr_source_free(struct tr_source *source);

/* Of text. Shards say themselves what they are, and JSON is UTF-8. */
enum tr_encoding {
    TR_ENCODING_UTF8, /* what is not, or has a 0 byte in it, is refused: it is another encoding, or no text */
    TR_ENCODING_BYTES /* any bytes */
};
extern const char *const tr_encoding_names[]; /* as options and keys give them; NULL at the end */

/* Reads exactly file->bytes bytes of it into `to`; a file that has become shorter is refused, what has been appended
 * is left out. */
TR_MUST_CHECK enum tr_status tr_source_read(const struct tr_source_file *file, void *to, struct tr_err *err);

/* The same of a text. TR_BAD_INPUT also, with path and offset: it is not in that encoding. */
TR_MUST_CHECK enum tr_status tr_source_read_text(const struct tr_source_file *file, enum tr_encoding encoding, void *to,
                                                 struct tr_err *err);

/* Whether all of it is as TR_ENCODING_UTF8 has it. TR_BAD_INPUT names `source` and the offset of what is not, and ends with
 * what would be `right`. */
TR_MUST_CHECK enum tr_status tr_text_check(const char *source, const char *text, int64_t bytes, const char *right,
                                           struct tr_err *err);

#endif
