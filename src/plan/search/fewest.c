/* The fewest chips that something fits on. */
#include "plan/search/space_walk.h"

#include "base/num.h"

static enum tr_status fits_on(const struct tr_site *site, const struct tr_task *task, const struct tr_space *space,
                              int64_t chips, bool *fits, struct tr_err *err)
{
    struct tr_space one = *space;
    struct tr_space_walk *w = NULL;
    one.chips = &chips, one.chips_count = 1, one.top = 1, one.visit = NULL;
    enum tr_status status = tr_space_check(site, task, &one, err);
    if (status == TR_OK)
        status = tr_space_walk_all(&w, site, task, &one, true, err);
    *fits = status == TR_OK && w->found;
    tr_space_walk_free(w);
    return status;
}

/* Every weight with its gradient and optimiser state is held by one chip at least, so the heaviest chip holds no less than
 * the mean: fewer than these chips cannot do. Weights as the planner counts them may be a hundredth less than the model's. */
static int64_t fewest_bound(const struct tr_site *site, const struct tr_task *task, const struct tr_space *space)
{
    const struct tr_stack *stack = site->stack;
    double trained = task->lora_rank ? 0 : stack->grad_bytes.value + stack->master_bytes.value;
    double bytes = .99 * tr_shape_params(task->model).total * (2 + trained);
    return (int64_t)fmin(TR_CHIPS_MAX, bytes / tr_search_capacity(site, space));
}

enum tr_status tr_search_fewest(const struct tr_site *site, const struct tr_task *task, const struct tr_space *space,
                                int64_t above, int64_t *chips, bool *exact, struct tr_err *err)
{
    enum { ONE_BY_ONE = 64 };
    int64_t node = site->system->chips_per_node, most = tr_system_max_chips(site->system);
    int64_t from = tr_max_i64(fewest_bound(site, task, space), above + 1);
    int64_t nodes = tr_max_i64(1, tr_ceil_div(tr_max_i64(1, from), node));
    if (most == 0 || most > TR_CHIPS_MAX)
        most = TR_CHIPS_MAX;
    for (int tried = 0; nodes * node <= most; nodes = tried < ONE_BY_ONE ? nodes + 1 : 2 * nodes, tried++) {
        bool fits;
        enum tr_status status = fits_on(site, task, space, nodes * node, &fits, err);
        if (status != TR_OK)
            return status;
        if (!fits)
            continue;
        *chips = nodes * node;
        *exact = tried <= ONE_BY_ONE;
        return TR_OK;
    }
    return tr_fail(err, TR_NO, "%s fits on no number of chips of %s up to %lld", task->model->name, site->system->name,
                   (long long)most);
}
