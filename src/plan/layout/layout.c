#include "plan/layout/layout.h"

#include "base/num.h"
#include "lab/model/pipe.h"

#include <stdio.h>
#include <string.h>

static const char *const pipeline_names[TR_PIPELINE_COUNT] = {"gpipe", "1f1b", "interleaved", "zero-bubble",
                                                              "zero-bubble-2p"};
static const char *const context_names[TR_CONTEXT_COUNT] = {"ring", "all-to-all"};
static const char *const rerun_names[TR_RERUN_COUNT] = {"none", "selective", "full"};

const char *tr_pipeline_name(enum tr_pipeline pipeline)
{
    TR_ASSERT((int)pipeline >= 0 && pipeline < TR_PIPELINE_COUNT);
    return pipeline_names[pipeline];
}

const char *tr_context_name(enum tr_context context)
{
    TR_ASSERT((int)context >= 0 && context < TR_CONTEXT_COUNT);
    return context_names[context];
}

const char *tr_rerun_name(enum tr_rerun rerun)
{
    TR_ASSERT((int)rerun >= 0 && rerun < TR_RERUN_COUNT);
    return rerun_names[rerun];
}

struct tr_layout tr_layout_single(void)
{
    return (struct tr_layout){.dp = 1, .tp = 1, .cp = 1, .pp = 1, .ep = 1, .etp = 1, .vpp = 1,
                              .pipeline = TR_PIPELINE_1F1B, .micro_batch = 1};
}

/* ---- chunks ------------------------------------------------------------------------------------------------------ */

int32_t tr_layout_chunk_layers(const struct tr_layout *l, int32_t layers, int32_t c)
{
    int32_t n = l->pp * l->vpp, first = l->first_layers, last = l->last_layers;
    TR_ASSERT(c >= 0 && c < n);
    if (first == 0 && last == 0)
        return tr_pipe_chunk_layers(layers, n, c);
    if (c == 0 && first)
        return first;
    if (c == n - 1 && last)
        return last;
    int32_t others = n - (first > 0) - (last > 0);
    return tr_pipe_share(layers - first - last, others, c - (first > 0));
}

int32_t tr_layout_longest_chunk(const struct tr_layout *l, int32_t layers)
{
    int32_t longest = 0;
    for (int32_t c = 0; c < l->pp * l->vpp; c++)
        longest = (int32_t)tr_max_i64(longest, tr_layout_chunk_layers(l, layers, c));
    return longest;
}

bool tr_layout_is_ragged(const struct tr_layout *l, int32_t layers)
{
    const int32_t chunks = l->pp * l->vpp, each = l->vpp > 1 ? tr_layout_chunk_layers(l, layers, 1) : 0;
    for (int32_t c = 0; c < chunks && l->vpp > 1; c++) {
        int32_t has = tr_layout_chunk_layers(l, layers, c);
        if (has > each || (has < each && c > 0 && c < chunks - 1))
            return true;
    }
    return false;
}

int32_t tr_layout_chunk_first(const struct tr_layout *l, int32_t layers, int32_t chunk)
{
    int32_t sum = 0;
    for (int32_t c = 0; c < chunk; c++)
        sum += tr_layout_chunk_layers(l, layers, c);
    return sum;
}

int32_t tr_layout_stage_layers(const struct tr_layout *l, int32_t layers, int32_t stage)
{
    int32_t sum = 0;
    TR_ASSERT(stage >= 0 && stage < l->pp);
    for (int32_t v = 0; v < l->vpp; v++)
        sum += tr_layout_chunk_layers(l, layers, v * l->pp + stage);
    return sum;
}

double tr_layout_in_flight(const struct tr_layout *l, int64_t m, int32_t stage)
{
    TR_ASSERT(stage >= 0 && stage < l->pp);
    switch (l->pipeline) {
    case TR_PIPELINE_GPIPE:
        return (double)m;
    case TR_PIPELINE_ZERO_BUBBLE:
        return (double)tr_min_i64(m, l->pp);
    case TR_PIPELINE_ZERO_BUBBLE_2P:
        return (double)tr_min_i64(m, 2 * l->pp - 1);
    case TR_PIPELINE_INTERLEAVED:
    case TR_PIPELINE_1F1B:
    default:
        return (double)tr_pipe_flights((struct tr_pipe){l->pp, l->vpp}, stage, m) / l->vpp;
    }
}
