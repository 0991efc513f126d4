/* A layout as people write it, "tp=8,pp=16,vpp=6,mb=1,zero=1,sp,recompute=selective", and as it is printed. */
#include "plan/layout/layout.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS_MAX = 32, WORD_BYTES = 40 };

enum kind { WHOLE, WHOLE_WIDE, FLAG, CONTEXT, PIPELINE, RERUN };

/* In the order in which they are printed. */
static const struct key {
    const char *name;
    enum kind kind;
    size_t offset;
} keys[TR_LAYOUT_KEYS] = {
    [TR_LAYOUT_TP] = {"tp", WHOLE, offsetof(struct tr_layout, tp)},
    [TR_LAYOUT_CP] = {"cp", WHOLE, offsetof(struct tr_layout, cp)},
    [TR_LAYOUT_PP] = {"pp", WHOLE, offsetof(struct tr_layout, pp)},
    [TR_LAYOUT_VPP] = {"vpp", WHOLE, offsetof(struct tr_layout, vpp)},
    [TR_LAYOUT_DP] = {"dp", WHOLE, offsetof(struct tr_layout, dp)},
    [TR_LAYOUT_EP] = {"ep", WHOLE, offsetof(struct tr_layout, ep)},
    [TR_LAYOUT_ETP] = {"etp", WHOLE, offsetof(struct tr_layout, etp)},
    [TR_LAYOUT_MB] = {"mb", WHOLE_WIDE, offsetof(struct tr_layout, micro_batch)},
    [TR_LAYOUT_SP] = {"sp", FLAG, offsetof(struct tr_layout, sp)},
    [TR_LAYOUT_ZERO] = {"zero", WHOLE, offsetof(struct tr_layout, zero)},
    [TR_LAYOUT_SHARD] = {"shard", WHOLE, offsetof(struct tr_layout, shard)},
    [TR_LAYOUT_CONTEXT] = {"context", CONTEXT, offsetof(struct tr_layout, context)},
    [TR_LAYOUT_SCHEDULE] = {"schedule", PIPELINE, offsetof(struct tr_layout, pipeline)},
    [TR_LAYOUT_RECOMPUTE] = {"recompute", RERUN, offsetof(struct tr_layout, rerun)},
    [TR_LAYOUT_RECOMPUTE_LAYERS] = {"recompute-layers", WHOLE, offsetof(struct tr_layout, rerun_layers)},
    [TR_LAYOUT_FIRST_LAYERS] = {"first-layers", WHOLE, offsetof(struct tr_layout, first_layers)},
    [TR_LAYOUT_LAST_LAYERS] = {"last-layers", WHOLE, offsetof(struct tr_layout, last_layers)},
};

enum { KEYS = TR_LAYOUT_KEYS };

/* One word of the text: a key and what stands behind it ("" when nothing does). */
struct word {
    char text[WORD_BYTES], key[WORD_BYTES], value[WORD_BYTES];
};

static enum tr_status unknown(const struct word *word, struct tr_err *err)
{
    const char *names[KEYS];
    for (int i = 0; i < KEYS; i++)
        names[i] = keys[i].name;
    int near = tr_nearest(word->key, names, KEYS);
    return tr_fail(err, TR_BAD_INPUT, "layout: unknown key \"%s\"%s%s%s (for example tp=8,pp=16,vpp=6,mb=1,zero=1,sp)",
                   word->key, near < 0 ? "" : "; did you mean ", near < 0 ? "" : names[near], near < 0 ? "" : "?");
}

static enum tr_status read_whole(const struct word *word, int64_t *out, struct tr_err *err)
{
    size_t digits = strspn(word->value, "0123456789");
    bool may_be_none = strcmp(word->key, keys[TR_LAYOUT_ZERO].name) == 0;
    if (digits == 0 || digits > 9 || word->value[digits])
        return tr_fail(err, TR_BAD_INPUT, "layout: \"%s\": expected a whole number, such as %s=8", word->text,
                       word->key);
    *out = strtol(word->value, NULL, 10);
    if (*out == 0 && !may_be_none)
        return tr_fail(err, TR_BAD_INPUT, "layout: \"%s\": expected 1 or more; what is not wanted is left out", word->text);
    return TR_OK;
}

/* The index of the name; refused by listing them. */
static enum tr_status read_name(const struct word *word, const char *(*name_of)(int), int count, int *out,
                                struct tr_err *err)
{
    char all[160] = "";
    for (int i = 0; i < count; i++) {
        if (strcmp(word->value, name_of(i)) == 0) {
            *out = i;
            return TR_OK;
        }
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i ? ", " : "", name_of(i));
    }
    return tr_fail(err, TR_BAD_INPUT, "layout: \"%s\": %s is one of %s", word->text, word->key, all);
}

static const char *pipeline_name(int i) { return tr_pipeline_name((enum tr_pipeline)i); }
static const char *context_name(int i) { return tr_context_name((enum tr_context)i); }
static const char *rerun_name(int i) { return tr_rerun_name((enum tr_rerun)i); }

static enum tr_status read_value(const struct key *key, const struct word *word, struct tr_layout *layout,
                                 struct tr_err *err)
{
    char *at = (char *)layout + key->offset;
    int64_t whole = 0;
    int which = 0;
    enum tr_status status = TR_OK;
    switch (key->kind) {
    case WHOLE:
    case WHOLE_WIDE:
        status = read_whole(word, &whole, err);
        if (status == TR_OK && key->kind == WHOLE)
            memcpy(at, &(int32_t){(int32_t)whole}, sizeof(int32_t));
        else if (status == TR_OK)
            memcpy(at, &whole, sizeof whole);
        return status;
    case FLAG:
        if (word->value[0])
            return tr_fail(err, TR_BAD_INPUT, "layout: \"%s\": %s stands alone; leave it out for none", word->text,
                           word->key);
        memcpy(at, &(bool){true}, sizeof(bool));
        return TR_OK;
    case CONTEXT:
        status = read_name(word, context_name, TR_CONTEXT_COUNT, &which, err);
        layout->context = (enum tr_context)which;
        return status;
    case PIPELINE:
        status = read_name(word, pipeline_name, TR_PIPELINE_COUNT, &which, err);
        layout->pipeline = (enum tr_pipeline)which;
        return status;
    case RERUN:
    default:
        status = read_name(word, rerun_name, TR_RERUN_COUNT, &which, err);
        layout->rerun = (enum tr_rerun)which;
        return status;
    }
}

/* "tp=8" and "tp8"; names that hold digits are written with '=' only. */
static void cut_word(struct word *word)
{
    size_t key = strcspn(word->text, "=");
    if (!word->text[key]) {
        key = strcspn(word->text, "0123456789");
        snprintf(word->value, sizeof word->value, "%s", word->text + key);
    } else {
        snprintf(word->value, sizeof word->value, "%s", word->text + key + 1);
    }
    snprintf(word->key, sizeof word->key, "%.*s", (int)key, word->text);
}

static enum tr_status read_word(struct word *word, uint32_t *seen, struct tr_layout *layout, struct tr_err *err)
{
    cut_word(word);
    for (int i = 0; i < KEYS; i++) {
        if (strcmp(word->key, keys[i].name) != 0)
            continue;
        if (*seen & 1u << i)
            return tr_fail(err, TR_BAD_INPUT, "layout: %s is said twice", keys[i].name);
        *seen |= 1u << i;
        return read_value(&keys[i], word, layout, err);
    }
    return unknown(word, err);
}

/* What follows from what is said: chunks are interleaved, and a number of layers is of full recomputation. */
static enum tr_status follow(struct tr_layout *layout, uint32_t *said, struct tr_err *err)
{
    const uint32_t rerun = 1u << TR_LAYOUT_RECOMPUTE;
    if (!(*said & 1u << TR_LAYOUT_SCHEDULE) && layout->vpp > 1)
        layout->pipeline = TR_PIPELINE_INTERLEAVED;
    if (!layout->rerun_layers)
        return TR_OK;
    if (!(*said & rerun))
        *said |= rerun, layout->rerun = TR_RERUN_FULL;
    if (layout->rerun != TR_RERUN_FULL)
        return tr_fail(err, TR_BAD_INPUT, "layout: recompute-layers=%d is of recompute=full, and recompute is %s; leave one of them out",
                       layout->rerun_layers, tr_rerun_name(layout->rerun));
    return TR_OK;
}

enum tr_status tr_layout_parse_open(const char *text, struct tr_layout *out, uint32_t *said, bool *open,
                                    struct tr_err *err)
{
    struct tr_layout layout = tr_layout_single();
    uint32_t seen = 0;
    bool found = false;
    layout.dp = 0;
    for (const char *at = text; *at;) {
        size_t length = strcspn(at, ", ");
        struct word word;
        if (length >= sizeof word.text)
            return tr_fail(err, TR_BAD_INPUT, "layout: \"%.20s...\" is no part of one", at);
        snprintf(word.text, sizeof word.text, "%.*s", (int)length, at);
        bool is_auto = strcmp(word.text, "auto") == 0;
        enum tr_status status = length && !is_auto ? read_word(&word, &seen, &layout, err) : TR_OK;
        if (status != TR_OK)
            return status;
        found = found || is_auto;
        at += length + strspn(at + length, ", ");
    }
    enum tr_status status = follow(&layout, &seen, err);
    if (status != TR_OK)
        return status;
    *out = layout;
    *said = seen;
    *open = found || !seen;
    return TR_OK;
}

enum tr_status tr_layout_parse(const char *text, struct tr_layout *out, struct tr_err *err)
{
    struct tr_layout layout;
    uint32_t said;
    bool open;
    enum tr_status status = tr_layout_parse_open(text, &layout, &said, &open, err);
    if (status == TR_OK && open && text[strspn(text, ", ")])
        status = tr_fail(err, TR_BAD_INPUT, "layout: \"%.60s\": a whole layout is wanted here, and auto leaves it open",
                         text);
    if (status == TR_OK)
        *out = layout;
    return status;
}

enum tr_status tr_layout_fit_chips(struct tr_layout *layout, int64_t chips, struct tr_err *err)
{
    if (layout->tp < 1 || layout->cp < 1 || layout->pp < 1)
        return tr_fail(err, TR_BAD_INPUT, "layout: tp, cp and pp must be at least 1");
    int64_t of_replica = (int64_t)layout->tp * layout->cp;
    if (of_replica > TR_CHIPS_MAX || of_replica * layout->pp > TR_CHIPS_MAX)
        return tr_fail(err, TR_BAD_INPUT, "layout: tp %d x cp %d x pp %d is more than %d chips", layout->tp, layout->cp,
                       layout->pp, TR_CHIPS_MAX);
    of_replica *= layout->pp;
    if (chips % of_replica)
        return tr_fail(err, TR_BAD_INPUT,
                       "%lld chips do not divide into replicas of tp %d x cp %d x pp %d = %lld chips; "
                       "%lld or %lld chips would",
                       (long long)chips, layout->tp, layout->cp, layout->pp, (long long)of_replica,
                       (long long)(chips < of_replica ? of_replica : chips / of_replica * of_replica),
                       (long long)((chips / of_replica + (chips < of_replica ? 2 : 1)) * of_replica));
    if (layout->dp && layout->dp != chips / of_replica)
        return tr_fail(err, TR_BAD_INPUT,
                       "layout: dp %d contradicts %lld chips: tp %d x cp %d x pp %d leaves dp %lld; "
                       "leave one of them out",
                       layout->dp, (long long)chips, layout->tp, layout->cp, layout->pp,
                       (long long)(chips / of_replica));
    layout->dp = (int32_t)(chips / of_replica);
    return TR_OK;
}

/* ---- printing ---------------------------------------------------------------------------------------------------- */

/* "" for what need not be said: it is what a layout is that says nothing. */
static void value_text(const struct key *key, const struct tr_layout *l, const struct tr_layout *unsaid,
                       char out[WORD_BYTES])
{
    const char *at = (const char *)l + key->offset, *usual = (const char *)unsaid + key->offset;
    int32_t whole = 0, usual_whole = 0;
    out[0] = 0;
    switch (key->kind) {
    case WHOLE:
        memcpy(&whole, at, sizeof whole);
        memcpy(&usual_whole, usual, sizeof usual_whole);
        if (whole != usual_whole && !(whole == 0 && key == &keys[TR_LAYOUT_DP])) /* dp 0: as the chips say */
            snprintf(out, WORD_BYTES, "%d", whole);
        return;
    case WHOLE_WIDE:
        snprintf(out, WORD_BYTES, "%lld", (long long)l->micro_batch);
        return;
    case CONTEXT:
        if (l->context != unsaid->context)
            snprintf(out, WORD_BYTES, "%s", tr_context_name(l->context));
        return;
    case PIPELINE:
        if (l->pipeline != (l->vpp > 1 ? TR_PIPELINE_INTERLEAVED : TR_PIPELINE_1F1B))
            snprintf(out, WORD_BYTES, "%s", tr_pipeline_name(l->pipeline));
        return;
    case RERUN:
        if (l->rerun != unsaid->rerun)
            snprintf(out, WORD_BYTES, "%s", tr_rerun_name(l->rerun));
        return;
    case FLAG:
    default:
        return;
    }
}

const char *tr_layout_print(const struct tr_layout *l, char buf[TR_LAYOUT_TEXT_BYTES])
{
    struct tr_layout unsaid = tr_layout_single();
    size_t at = 0;
    for (int i = 0; i < KEYS; i++) {
        char value[WORD_BYTES];
        value_text(&keys[i], l, &unsaid, value);
        bool flag = keys[i].kind == FLAG && l->sp;
        if (!flag && !value[0])
            continue;
        bool plain = flag || (keys[i].kind <= WHOLE_WIDE && !strchr(keys[i].name, '-'));
        at += (size_t)snprintf(buf + at, TR_LAYOUT_TEXT_BYTES - at, "%s%s%s%s", at ? " " : "", keys[i].name,
                               plain ? "" : "=", value);
        TR_ASSERT(at < TR_LAYOUT_TEXT_BYTES);
    }
    return buf;
}
