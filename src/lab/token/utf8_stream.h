/* Bytes come one by one (a byte-level model writes them so), people get whole characters.
 *
 *     struct tr_utf8_stream stream = {0};
 *     char out[TR_UTF8_OUT_BYTES];
 *     int n = tr_utf8_push(&stream, byte, out);        (0 while a character is incomplete)
 *     fwrite(out, 1, n, stdout);
 *     ...
 *     n = tr_utf8_end(&stream, out);
 *
 * What comes out is always valid UTF-8, whole characters only. Bytes that can belong to no character become U+FFFD as
 * soon as that is certain, an unfinished character at the end too: one U+FFFD for each maximal beginning of a
 * character (Unicode 15, section 3.9), as browsers do. Valid text comes out as it went in. */
#ifndef TR_LAB_TOKEN_UTF8_STREAM_H
#define TR_LAB_TOKEN_UTF8_STREAM_H

#include <stdint.h>

enum { TR_UTF8_OUT_BYTES = 8 }; /* a push gives at most 6: two U+FFFD */

struct tr_utf8_stream {
    uint8_t pending[4];
    int count; /* bytes pending, 0..3 */
};

/* Returns how many bytes were written to `out`. */
int tr_utf8_push(struct tr_utf8_stream *stream, uint8_t byte, char out[TR_UTF8_OUT_BYTES]);

/* Flushes what is pending as U+FFFD; the stream is as new afterwards. */
int tr_utf8_end(struct tr_utf8_stream *stream, char out[TR_UTF8_OUT_BYTES]);

#endif
