/* Layouts of ranks that train, as words. */
#include "plan/here/choose.h"

#include "plan/layout/layout.h"

#include <stdio.h>
#include <string.h>

static void add_word(char words[TR_LAYOUT_WORDS_BYTES], const char *name, int value)
{
    size_t length = strlen(words);
    if (value > 0)
        snprintf(words + length, TR_LAYOUT_WORDS_BYTES - length, "%s%s=%d", length ? "," : "", name, value);
    else
        snprintf(words + length, TR_LAYOUT_WORDS_BYTES - length, "%s%s", length ? "," : "", name);
}

const char *tr_degrees_words(const struct tr_degrees *degrees, char words[TR_LAYOUT_WORDS_BYTES])
{
    words[0] = 0;
    for (int group = 0; group < TR_GROUP_COUNT; group++)
        if (tr_degrees_of(degrees, (enum tr_group)group) > 1)
            add_word(words, tr_group_name((enum tr_group)group), tr_degrees_of(degrees, (enum tr_group)group));
    if (degrees->sequence)
        add_word(words, "sp", 0);
    if (degrees->chunks > 1)
        add_word(words, "vpp", degrees->chunks);
    if (degrees->zero > 0)
        add_word(words, "zero", degrees->zero);
    return words;
}

const char *tr_choice_words(const struct tr_choice *choice) { return choice->words[0] ? choice->words : "one rank"; }

/* What a plan may say and a run cannot do. */
static enum tr_status check_executed(const struct tr_layout *l, uint32_t said, struct tr_err *err)
{
    const struct {
        const char *word;
        int64_t value, single;
    } not_yet[] = {{"ep", l->ep, 1}, {"etp", l->etp, 1}, {"shard", l->shard, 0},
                   {"first-layers", l->first_layers, 0}, {"last-layers", l->last_layers, 0}};
    enum tr_pipeline pipeline = l->vpp > 1 ? TR_PIPELINE_INTERLEAVED : TR_PIPELINE_1F1B;
    for (size_t i = 0; i < sizeof not_yet / sizeof *not_yet; i++)
        if (not_yet[i].value > not_yet[i].single)
            return tr_fail(err, TR_BAD_INPUT, "--layout: training has tp, sp, cp, dp, zero, pp and vpp; %s is planned (trine plan), not executed yet",
                           not_yet[i].word);
    if (said & 1u << TR_LAYOUT_CONTEXT && l->context != TR_CONTEXT_ALL_TO_ALL)
        return tr_fail(err, TR_BAD_INPUT, "--layout: context=%s is planned (trine plan), not executed yet; ranks of cp that train exchange "
                       "heads: context=%s", tr_context_name(l->context), tr_context_name(TR_CONTEXT_ALL_TO_ALL));
    if (l->pipeline != pipeline)
        return tr_fail(err, TR_BAD_INPUT, "--layout: schedule=%s is planned (trine plan), not executed yet; training runs 1f1b, and "
                       "interleaved with vpp", tr_pipeline_name(l->pipeline));
    return TR_OK;
}

enum tr_status tr_degrees_read(const char *words, struct tr_degrees *out, struct tr_err *err)
{
    static const uint32_t ours = 1u << TR_LAYOUT_MB | 1u << TR_LAYOUT_RECOMPUTE | 1u << TR_LAYOUT_RECOMPUTE_LAYERS;
    struct tr_layout layout;
    uint32_t said;
    bool open;
    if (!words)
        return TR_OK;
    enum tr_status status = tr_layout_parse_open(words, &layout, &said, &open, err);
    if (status != TR_OK) {
        tr_err_prefix(err, "--layout");
        return status;
    }
    if (open)
        return tr_fail(err, TR_BAD_INPUT, "--layout: expected what ranks share, such as dp=2, or auto alone: parts of a layout are not left open here");
    const struct {
        const char *word;
        int64_t value;
        int key;
    } counts[] = {{"tp", layout.tp, TR_LAYOUT_TP}, {"cp", layout.cp, TR_LAYOUT_CP}, {"dp", layout.dp, TR_LAYOUT_DP},
                  {"pp", layout.pp, TR_LAYOUT_PP}, {"vpp", layout.vpp, TR_LAYOUT_VPP}};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        if (said & 1u << counts[i].key && counts[i].value < 1)
            return tr_fail(err, TR_BAD_INPUT, "--layout: %s=%lld: expected 1 or more", counts[i].word, (long long)counts[i].value);
    if (said & ours)
        return tr_fail(err, TR_BAD_INPUT, "--layout: the microbatch and recomputation are train.micro_batch and train.recompute here");
    if ((status = check_executed(&layout, said, err)) == TR_OK)
        *out = (struct tr_degrees){.ranks = {[TR_GROUP_TENSOR] = layout.tp, [TR_GROUP_CONTEXT] = layout.cp, [TR_GROUP_DATA] = layout.dp,
                                             [TR_GROUP_PIPE] = layout.pp},
                                   .chunks = layout.vpp, .sequence = layout.sp, .zero = layout.zero};
    return status;
}
