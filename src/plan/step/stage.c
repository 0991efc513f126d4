/* Stages: which layers, and the sums of their blocks. */
#include "plan/step/stage.h"

#include <string.h>

/* ---- split ------------------------------------------------------------------------------------------------------- */

static bool same_class(const struct tr_split_class *a, const struct tr_split_class *b)
{
    return a->embed == b->embed && a->head == b->head && memcmp(a->count, b->count, sizeof a->count) == 0 &&
           memcmp(a->again, b->again, sizeof a->again) == 0;
}

void tr_split_make(struct tr_split *split, struct tr_split_class *of, const struct tr_model_shape *model,
                   const struct tr_layer_kinds *kinds, const struct tr_layout *layout, int32_t mtp)
{
    int32_t layer = 0, pp = layout->pp;
    *split = (struct tr_split){.pp = pp, .vpp = layout->vpp, .rerun = layout->rerun, .of = of};
    split->shared_head = pp == 1 && model->tied;
    split->further = (double)mtp / pp;
    for (int32_t i = 0; i < pp; i++)
        of[i] = (struct tr_split_class){.first = i, .stages = 1, .embed = i == 0, .head = i == pp - 1};
    for (int32_t chunk = 0; chunk < pp * layout->vpp; chunk++) {
        int32_t layers = tr_layout_chunk_layers(layout, model->layers, chunk);
        int32_t again = layout->rerun != TR_RERUN_FULL ? 0 : layout->rerun_layers ? layout->rerun_layers : layers;
        for (int32_t l = 0; l < layers; l++, layer++) {
            int kind = kinds->of[layer];
            of[chunk % pp].count[kind]++;
            of[chunk % pp].again[kind] += l < again;
        }
    }
    for (int32_t i = 0; i < pp; i++)
        if (split->classes && same_class(&of[split->classes - 1], &of[i]))
            of[split->classes - 1].stages++;
        else
            of[split->classes++] = of[i];
}

/* ---- one stage --------------------------------------------------------------------------------------------------- */

static void add_block(struct tr_stage *stage, const struct tr_block_price *price, double count, double again,
                      enum tr_rerun rerun)
{
    double kept = count * price->kept.all, transient = 0;
    stage->forward_s += count * price->forward_pass_s;
    stage->backward_s += count * price->backward_pass_s;
    stage->weight_s += count * price->weight_pass_s;
    stage->error_s += count * (price->error_s[TR_STEP_FORWARD] + price->error_s[TR_STEP_INPUT] +
                               price->error_s[TR_STEP_WEIGHT]);
    if (rerun == TR_RERUN_FULL && again > 0) {
        stage->backward_s += again * price->forward_pass_s;
        stage->error_s += again * price->error_s[TR_STEP_FORWARD];
        kept = again * price->kept.full + (count - again) * price->kept.all;
        transient = price->kept.all - price->kept.full;
    } else if (rerun == TR_RERUN_SELECTIVE) {
        stage->backward_s += count * price->again_pass_s;
        kept = count * price->kept.selective;
        transient = price->kept.all - price->kept.selective;
    }
    stage->weights.cut += count * price->weights.cut;
    stage->weights.whole += count * price->weights.whole;
    stage->weights.expert += count * price->weights.expert;
    double dense = price->weights.cut + price->weights.whole;
    stage->largest[TR_GATHER_DENSE] = tr_larger(stage->largest[TR_GATHER_DENSE], dense);
    stage->largest[TR_GATHER_ALL] = tr_larger(stage->largest[TR_GATHER_ALL], dense + price->weights.expert);
    stage->matrix = tr_larger(stage->matrix, price->weights.largest);
    stage->kept += kept;
    stage->transient = tr_larger(stage->transient, transient);
}

void tr_stage_make(struct tr_stage *stage, const struct tr_blocks *blocks, const struct tr_split *split,
                   const struct tr_split_class *class)
{
    *stage = (struct tr_stage){0};
    for (int k = 0; k < blocks->kinds.count; k++) {
        if (!class->count[k])
            continue;
        add_block(stage, &blocks->layer[k], class->count[k], class->again[k], split->rerun);
        stage->layers += class->count[k];
    }
    if (split->further > 0)
        add_block(stage, &blocks->further, split->further, 0, TR_RERUN_NONE);
    if (class->embed)
        add_block(stage, &blocks->embed, 1, 0, TR_RERUN_NONE);
    if (!class->head)
        return;
    double kept = stage->kept;
    add_block(stage, &blocks->head, 1, 0, TR_RERUN_NONE);
    stage->logits = blocks->head.kept.all;
    stage->kept = kept;
    if (split->shared_head)
        stage->weights.cut -= blocks->head.weights.cut;
}

static void add_terms(double into[TR_TERM_COUNT], const double term_s[TR_TERM_COUNT], double count)
{
    for (int i = TR_TERM_GEMM; i <= TR_TERM_HOST; i++)
        into[i] += count * term_s[i];
}

static void add_passes(double into[TR_TERM_COUNT], const struct tr_block_price *price, double count)
{
    add_terms(into, price->forward_s, count);
    add_terms(into, price->input_s, count);
    add_terms(into, price->weight_s, count);
}

void tr_stage_terms(double term_s[TR_TERM_COUNT], const struct tr_blocks *blocks, const struct tr_split *split,
                    const struct tr_split_class *class)
{
    memset(term_s, 0, TR_TERM_COUNT * sizeof *term_s);
    for (int k = 0; k < blocks->kinds.count; k++) {
        const struct tr_block_price *price = &blocks->layer[k];
        add_passes(term_s, price, class->count[k]);
        if (split->rerun == TR_RERUN_FULL)
            add_terms(term_s, price->forward_s, class->again[k]);
        else if (split->rerun == TR_RERUN_SELECTIVE)
            add_terms(term_s, price->again_s, class->count[k]);
    }
    add_passes(term_s, &blocks->further, split->further);
    if (class->embed)
        add_passes(term_s, &blocks->embed, 1);
    if (class->head)
        add_passes(term_s, &blocks->head, 1);
}

/* ---- all stages -------------------------------------------------------------------------------------------------- */

static bool as_large(const struct tr_load *a, const struct tr_load *b)
{
    return a->dense >= b->dense && a->expert >= b->expert && a->largest[TR_GATHER_DENSE] >= b->largest[TR_GATHER_DENSE] &&
           a->largest[TR_GATHER_ALL] >= b->largest[TR_GATHER_ALL] && a->matrix >= b->matrix && a->kept >= b->kept &&
           a->transient >= b->transient && a->logits >= b->logits;
}

struct tr_load tr_load_of(const struct tr_stage *stage, int32_t index)
{
    return (struct tr_load){.index = index,
                            .dense = stage->weights.cut + stage->weights.whole,
                            .expert = stage->weights.expert,
                            .largest = {stage->largest[TR_GATHER_DENSE], stage->largest[TR_GATHER_ALL]},
                            .matrix = stage->matrix,
                            .kept = stage->kept,
                            .transient = stage->transient,
                            .logits = stage->logits};
}

static void add_load(struct tr_stages *stages, const struct tr_stage *stage, int32_t index)
{
    struct tr_load load = tr_load_of(stage, index);
    for (int i = 0; i < stages->load_count; i++)
        if (as_large(&stages->load[i], &load))
            return;
    stages->load[stages->load_count++] = load;
}

void tr_stages_make(struct tr_stages *stages, struct tr_load *load, const struct tr_blocks *blocks,
                    const struct tr_split *split)
{
    double longest = -1, forward_s = 0, all_s = 0, weight_s = 0;
    *stages = (struct tr_stages){.load = load};
    for (int c = 0; c < split->classes; c++) {
        struct tr_stage stage;
        tr_stage_make(&stage, blocks, split, &split->of[c]);
        add_load(stages, &stage, split->of[c].first);
        double both_s = stage.forward_s + stage.backward_s;
        forward_s += split->of[c].stages * stage.forward_s;
        all_s += split->of[c].stages * both_s;
        const struct tr_turning turning = {split->of[c].first + split->of[c].stages - 1, stage.forward_s, both_s, all_s - both_s};
        if (c == 0 || (c < split->classes - 1 &&
                       turning.before_s + split->pp * both_s > stages->late.before_s + split->pp * stages->late.both_s))
            stages->late = turning;
        weight_s += split->of[c].stages * stage.weight_s;
        stages->last_s = both_s;
        if (both_s > longest) {
            longest = both_s;
            stages->slowest = stage;
            stages->slowest_class = &split->of[c];
            stages->slow = turning;
            stages->before_s = forward_s - stage.forward_s;
        }
    }
    stages->others_s = all_s - longest;
    stages->others_weight_s = weight_s - stages->slowest.weight_s;
}
