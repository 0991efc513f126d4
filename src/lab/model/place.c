#include "lab/model/place.h"

#include "lab/model/program.h"
#include "silicon/coll/coll.h"

/* A matrix of Muon belongs to the rank in whose share of all such matrices of its stage its middle lies. */
static int32_t muon_owner(const struct tr_program *p, int32_t index, int32_t members)
{
    const struct tr_weights *weights = &p->weights;
    int32_t stage = tr_program_stage_of(p, index);
    int64_t before = 0, all = 0;
    for (int32_t i = 0; i < weights->count; i++) {
        int64_t count = weights->weight[i].moments == 1 && tr_program_stage_of(p, i) == stage ? weights->weight[i].count : 0;
        before += i < index ? count : 0;
        all += count;
    }
    int64_t middle = before + weights->weight[index].count / 2;
    return (int32_t)((double)middle / (double)all * members);
}

void tr_slices_cut(const struct tr_program *p, int32_t index, int32_t tensor, int64_t *at)
{
    const struct tr_degrees *d = &p->step.place.degrees;
    const struct tr_weight *whole = &p->weights.weight[index];
    struct tr_portion portion = tr_portion_of(&p->model, whole, tr_degrees_tensor(d, p->step.widths.tensor, tensor));
    int64_t count = tr_portion_weight(whole, portion).count;
    int32_t members = tr_degrees_of(d, TR_GROUP_DATA);
    int32_t owner = whole->moments == 1 ? muon_owner(p, index, members) : -1;
    for (int32_t i = 0; i <= members; i++)
        at[i] = owner >= 0 ? (i > owner ? count : 0) : tr_cut(count, TR_SLICE_QUANTUM, members, i);
}

struct tr_lanes tr_degrees_lanes(const struct tr_degrees *degrees, int32_t lanes, int32_t index)
{
    int32_t dp = tr_degrees_of(degrees, TR_GROUP_DATA);
    if (degrees->zero >= 2)
        return (struct tr_lanes){index, dp, (lanes - index + dp - 1) / dp};
    int32_t first = (int32_t)tr_cut(lanes, 1, dp, index);
    return (struct tr_lanes){first, 1, (int32_t)tr_cut(lanes, 1, dp, index + 1) - first};
}

int32_t tr_lanes_find(const struct tr_lanes *lanes, int32_t lane)
{
    int32_t after = lane - lanes->first;
    return after >= 0 && after % lanes->step == 0 && after / lanes->step < lanes->count ? after / lanes->step : -1;
}

static enum tr_status check_zero(const struct tr_degrees *d, struct tr_err *err)
{
    if (d->zero < 0 || d->zero > 3)
        return tr_fail(err, TR_BAD_INPUT, "layout zero=%d: training shares out nothing (zero=0), the optimiser's state (zero=1), "
                       "gradients too (zero=2) or weights too (zero=3)", d->zero);
    if (d->zero > 0 && tr_degrees_of(d, TR_GROUP_DATA) == 1)
        return tr_fail(err, TR_BAD_INPUT, "layout zero=%d: there is no other rank to share with; give dp=2 or more", d->zero);
    return TR_OK;
}

/* Ranks that share logical parts of one kind: layout WORD=ranks, of layout.KIND parts. */
static enum tr_status check_parts(const char *word, int32_t ranks, const char *kind, int32_t parts, struct tr_err *err)
{
    int32_t most = parts < TR_RANKS_MAX ? parts : TR_RANKS_MAX;
    if (ranks >= 0 && ranks <= most)
        return TR_OK;
    return tr_fail(err, TR_BAD_INPUT, "layout %s=%d: the run has %d %s part%s (layout.%s), which 1 to %d ranks can share; the number of parts "
                   "decides the run's bits, so it is fixed when a run begins", word, ranks, parts, kind, parts == 1 ? "" : "s", kind, most);
}

static enum tr_status check_tensor(const struct tr_step_config *step, struct tr_err *err)
{
    int32_t tp = step->place.degrees.ranks[TR_GROUP_TENSOR];
    enum tr_status status = check_parts("tp", tp, "tensor", step->widths.tensor, err);
    if (status != TR_OK)
        return status;
    if (step->place.degrees.sequence && tp <= 1)
        return tr_fail(err, TR_BAD_INPUT, "layout sp: ranks that share tensor parts share the tokens of the stream too; give tp=2 or more, or "
                       "leave sp out");
    if (tp > 1 && step->optimizer == TR_OPTIMIZER_MUON)
        return tr_fail(err, TR_BAD_INPUT, "layout tp=%d: Muon's direction is a function of whole matrices, which tensor parallel ranks do "
                       "not have; give optimizer.kind adamw, or tp=1", tp);
    return TR_OK;
}

static enum tr_status check_pipe(const struct tr_degrees *d, int32_t layers, struct tr_err *err)
{
    int32_t pp = d->ranks[TR_GROUP_PIPE], most = layers < TR_RANKS_MAX ? layers : TR_RANKS_MAX;
    if (pp < 0 || pp > most)
        return tr_fail(err, TR_BAD_INPUT, "layout pp=%d: the model has %d layers, which 1 to %d stages can share", pp, layers, most);
    if (d->chunks > 1 && pp <= 1)
        return tr_fail(err, TR_BAD_INPUT, "layout vpp=%d: one stage has all layers; give pp=2 or more", d->chunks);
    most = pp > 1 ? layers / pp : 1;
    most = most < TR_STAGE_CHUNKS_MAX ? most : TR_STAGE_CHUNKS_MAX;
    if (d->chunks < 0 || d->chunks > most)
        return tr_fail(err, TR_BAD_INPUT, "layout pp=%d,vpp=%d: of the model's %d layers a stage can have 1 to %d chunks", pp, d->chunks,
                       layers, most);
    return TR_OK;
}

enum tr_status tr_rank_check(const struct tr_step_config *step, int32_t layers, struct tr_err *err)
{
    const struct tr_degrees *d = &step->place.degrees;
    int32_t lanes = step->widths.lanes, dp = d->ranks[TR_GROUP_DATA];
    if (dp < 0 || dp > TR_RANKS_MAX)
        return tr_fail(err, TR_BAD_INPUT, "layout dp=%d: there may be 1 to %d ranks", dp, TR_RANKS_MAX);
    if (dp > lanes)
        return tr_fail(err, TR_BAD_INPUT,
                       "layout dp=%d: the batch has %d data lanes (layout.lanes), which 1 to %d ranks can share; the number of lanes "
                       "decides the run's bits, so it is fixed when a run begins", dp, lanes, lanes);
    enum tr_status status = check_zero(d, err);
    if (status == TR_OK)
        status = check_pipe(d, layers, err);
    if (status == TR_OK)
        status = check_tensor(step, err);
    if (status == TR_OK)
        status = check_parts("cp", d->ranks[TR_GROUP_CONTEXT], "context", step->widths.context, err);
    if (status == TR_OK)
        TR_ASSERT(step->place.rank >= 0 && step->place.rank < tr_degrees_ranks(d));
    return status;
}
