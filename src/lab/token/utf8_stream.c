#include "lab/token/utf8_stream.h"

#include <stdbool.h>
#include <string.h>

/* How long a character is whose first byte is this one; 0: no character begins so. */
static int length_of(uint8_t first)
{
    if (first < 0x80)
        return 1;
    if (first >= 0xc2 && first <= 0xdf)
        return 2;
    if (first >= 0xe0 && first <= 0xef)
        return 3;
    if (first >= 0xf0 && first <= 0xf4)
        return 4;
    return 0;
}

/* Whether `byte` may follow the pending bytes. The second byte has a tighter range after E0 (overlong), ED
 * (surrogates), F0 (overlong) and F4 (beyond U+10FFFF). */
static bool may_follow(const struct tr_utf8_stream *stream, uint8_t byte)
{
    uint8_t low = 0x80, high = 0xbf;
    if (stream->count == 1) {
        if (stream->pending[0] == 0xe0)
            low = 0xa0;
        else if (stream->pending[0] == 0xed)
            high = 0x9f;
        else if (stream->pending[0] == 0xf0)
            low = 0x90;
        else if (stream->pending[0] == 0xf4)
            high = 0x8f;
    }
    return byte >= low && byte <= high;
}

static int replacement(char *out)
{
    memcpy(out, "\xef\xbf\xbd", 3);
    return 3;
}

int tr_utf8_push(struct tr_utf8_stream *stream, uint8_t byte, char out[TR_UTF8_OUT_BYTES])
{
    int n = 0;
    if (stream->count && !may_follow(stream, byte)) {
        n = replacement(out);
        stream->count = 0;
    }
    if (stream->count == 0 && length_of(byte) == 0)
        return n + replacement(out + n);
    stream->pending[stream->count++] = byte;
    if (stream->count == length_of(stream->pending[0])) {
        memcpy(out + n, stream->pending, (size_t)stream->count);
        n += stream->count;
        stream->count = 0;
    }
    return n;
}

int tr_utf8_end(struct tr_utf8_stream *stream, char out[TR_UTF8_OUT_BYTES])
{
    int n = stream->count ? replacement(out) : 0;
    stream->count = 0;
    return n;
}
