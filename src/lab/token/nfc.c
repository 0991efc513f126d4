/* Normal form C (Unicode, section 3.11; UAX 15). A run is a character that begins anew and all that may join with it;
 * only runs with such a joiner are decomposed, ordered and composed. */
#include "lab/token/unicode.h"

#include <stdlib.h>
#include <string.h>

enum {
    HANGUL_S = 0xAC00, HANGUL_L = 0x1100, HANGUL_V = 0x1161, HANGUL_T = 0x11A7,
    HANGUL_L_COUNT = 19, HANGUL_V_COUNT = 21, HANGUL_T_COUNT = 28,
    HANGUL_S_COUNT = HANGUL_L_COUNT * HANGUL_V_COUNT * HANGUL_T_COUNT,
    CLASS_COUNT = 256
};

struct item {
    int32_t c;        /* a byte that belongs to no character: -1 - byte */
    int32_t combining;
};

struct run {
    struct item *item, *spare;
    int64_t count, room;
    bool failed;
};

static int32_t combining_class(int32_t c)
{
    int32_t low = 0, high = tr_unicode_combining_count;
    while (low < high) {
        int32_t mid = (low + high) / 2;
        if (tr_unicode_combining[mid].last < c)
            low = mid + 1;
        else
            high = mid;
    }
    bool found = low < tr_unicode_combining_count && tr_unicode_combining[low].first <= c;
    return found ? tr_unicode_combining[low].value : 0;
}

static void push(struct run *run, int32_t c, int32_t combining)
{
    if (run->failed)
        return;
    if (run->count == run->room) {
        int64_t room = run->room ? 2 * run->room : 64;
        struct item *item = realloc(run->item, (size_t)room * sizeof *item);
        run->item = item ? item : run->item;
        struct item *spare = item ? realloc(run->spare, (size_t)room * sizeof *spare) : NULL;
        run->spare = spare ? spare : run->spare;
        run->failed = !item || !spare;
        if (run->failed)
            return;
        run->room = room;
    }
    run->item[run->count++] = (struct item){c, combining};
}

static const struct tr_unicode_pair *find_decomposed(int32_t c)
{
    int32_t low = 0, high = tr_unicode_decomposed_count;
    while (low < high) {
        int32_t mid = (low + high) / 2;
        if (tr_unicode_decomposed[mid].whole < c)
            low = mid + 1;
        else
            high = mid;
    }
    bool found = low < tr_unicode_decomposed_count && tr_unicode_decomposed[low].whole == c;
    return found ? &tr_unicode_decomposed[low] : NULL;
}

/* The second part of a pair is never decomposed further; the first may be, a few times. */
static void push_decomposed(struct run *run, int32_t c)
{
    int32_t s = c - HANGUL_S;
    if (s >= 0 && s < HANGUL_S_COUNT) {
        push(run, HANGUL_L + s / (HANGUL_V_COUNT * HANGUL_T_COUNT), 0);
        push(run, HANGUL_V + s / HANGUL_T_COUNT % HANGUL_V_COUNT, 0);
        if (s % HANGUL_T_COUNT)
            push(run, HANGUL_T + s % HANGUL_T_COUNT, 0);
        return;
    }
    const struct tr_unicode_pair *pair = c < 0x80 ? NULL : find_decomposed(c);
    if (!pair) {
        push(run, c, combining_class(c));
        return;
    }
    push_decomposed(run, pair->first);
    if (pair->second)
        push_decomposed(run, pair->second);
}

/* Marks between two others stand in the order of their classes, those of one class as they came. */
static void order_marks(struct run *run, int64_t first, int64_t end)
{
    int64_t place[CLASS_COUNT + 1] = {0};
    if (end - first < 2)
        return;
    for (int64_t i = first; i < end; i++)
        place[run->item[i].combining + 1]++;
    for (int i = 0; i < CLASS_COUNT; i++)
        place[i + 1] += place[i];
    for (int64_t i = first; i < end; i++)
        run->spare[place[run->item[i].combining]++] = run->item[i];
    memcpy(run->item + first, run->spare, (size_t)(end - first) * sizeof *run->item);
}

static void order(struct run *run)
{
    int64_t first = 0;
    for (int64_t i = 0; i <= run->count; i++)
        if (i == run->count || run->item[i].combining == 0) {
            order_marks(run, first, i);
            first = i + 1;
        }
}

/* The character that a and b make together, -1 when there is none. */
static int32_t compose_pair(int32_t a, int32_t b)
{
    int32_t l = a - HANGUL_L, v = b - HANGUL_V, s = a - HANGUL_S, t = b - HANGUL_T;
    if (l >= 0 && l < HANGUL_L_COUNT && v >= 0 && v < HANGUL_V_COUNT)
        return HANGUL_S + (l * HANGUL_V_COUNT + v) * HANGUL_T_COUNT;
    if (s >= 0 && s < HANGUL_S_COUNT && s % HANGUL_T_COUNT == 0 && t > 0 && t < HANGUL_T_COUNT)
        return a + t;
    int32_t low = 0, high = tr_unicode_composed_count;
    while (low < high) {
        int32_t mid = (low + high) / 2;
        const struct tr_unicode_pair *pair = &tr_unicode_composed[mid];
        if (pair->first < a || (pair->first == a && pair->second < b))
            low = mid + 1;
        else
            high = mid;
    }
    const struct tr_unicode_pair *pair = &tr_unicode_composed[low];
    return low < tr_unicode_composed_count && pair->first == a && pair->second == b ? pair->whole : -1;
}

static void compose(struct run *run)
{
    int64_t starter = -1, kept = 0;
    int32_t last = 0;
    for (int64_t i = 0; i < run->count; i++) {
        struct item item = run->item[i];
        bool open = starter >= 0 && (kept - 1 == starter || (last != 0 && last < item.combining));
        int32_t whole = open ? compose_pair(run->item[starter].c, item.c) : -1;
        if (whole >= 0) {
            run->item[starter].c = whole;
            continue;
        }
        if (item.combining == 0)
            starter = kept;
        last = item.combining;
        run->item[kept++] = item;
    }
    run->count = kept;
}

static void append(struct tr_text *out, int32_t c)
{
    if (c < 0)
        tr_text_char(out, (char)(-1 - c));
    else if (c < 0x80)
        tr_text_char(out, (char)c);
    else {
        char bytes[4];
        int count = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        for (int i = count - 1; i > 0; i--, c >>= 6)
            bytes[i] = (char)(0x80 | (c & 0x3F));
        bytes[0] = (char)((0xF00 >> count & 0xFF) | c);
        tr_text_append_bytes(out, bytes, (size_t)count);
    }
}

static void push_text(struct run *run, const uint8_t *at, const uint8_t *end)
{
    while (at < end) {
        int length;
        int32_t c = tr_utf8_next(at, end, &length);
        bool none = c == TR_NO_CHARACTER && !(length == 3 && at[0] == 0xEF && at[1] == 0xBF && at[2] == 0xBD);
        for (int i = 0; none && i < length; i++)
            push(run, -1 - at[i], 0);
        if (!none)
            push_decomposed(run, c);
        at += length;
    }
}

/* The end of the run that begins at `at`; *plain when nothing in it can change. */
static const uint8_t *run_end(const uint8_t *at, const uint8_t *end, bool *plain)
{
    int length;
    *plain = (tr_unicode_classes(tr_utf8_next(at, end, &length)) & TR_NFC) == 0;
    at += length;
    while (at < end && (tr_unicode_classes(tr_utf8_next(at, end, &length)) & TR_NFC)) {
        at += length;
        *plain = false;
    }
    return at;
}

bool tr_nfc_is_quick(const char *text, size_t bytes)
{
    const uint8_t *at = (const uint8_t *)text, *end = at + bytes;
    while (at < end) {
        uint64_t eight;
        if (end - at >= 8 && (memcpy(&eight, at, 8), (eight & 0x8080808080808080u) == 0)) {
            at += 8;
            continue;
        }
        int length;
        if (tr_unicode_classes(tr_utf8_next(at, end, &length)) & TR_NFC)
            return false;
        at += length;
    }
    return true;
}

enum tr_status tr_nfc(const char *text, size_t bytes, struct tr_text *out, struct tr_err *err)
{
    struct run run = {0};
    const uint8_t *at = (const uint8_t *)text, *end = at + bytes;
    while (at < end && !run.failed) {
        bool plain;
        const uint8_t *next = run_end(at, end, &plain);
        if (plain) {
            tr_text_append_bytes(out, at, (size_t)(next - at));
        } else {
            run.count = 0;
            push_text(&run, at, next);
            if (!run.failed) {
                order(&run);
                compose(&run);
            }
            for (int64_t i = 0; i < run.count && !run.failed; i++)
                append(out, run.item[i].c);
        }
        at = next;
    }
    free(run.item);
    free(run.spare);
    if (run.failed)
        return tr_fail(err, TR_FAILED, "out of memory for a run of %lld combining characters", (long long)run.room);
    return tr_text_failed(out, err) ? TR_FAILED : TR_OK;
}
