/* How long the passes of meshes take, from search to search. */
#include "plan/search/space_walk.h"

#include <stdlib.h>
#include <string.h>

enum { PASSES_MAX = 1 << 17, KEYS = 12 };

struct passes_of {
    int64_t key[KEYS]; /* all that blocks depend on; zeros: none */
    double s;
};
struct tr_passes {
    struct passes_of at[PASSES_MAX]; /* the newer takes the place of the older */
};

struct tr_passes *tr_passes_make(void) { return calloc(1, sizeof(struct tr_passes)); }

void tr_passes_free(struct tr_passes *passes) { free(passes); }

static struct passes_of *place_of(const struct tr_space_walk *w, int64_t key[KEYS])
{
    const struct tr_layout *l = &w->layout;
    const struct tr_task *task = w->task;
    const int64_t now[KEYS] = {l->micro_batch, l->tp, l->sp, l->cp, l->context, l->ep, l->etp, task->batch.seq_len, task->mtp, task->lora_rank,
                               (intptr_t)task->model, tr_site_tiers_around(w->site, w->space->chips[w->from])};
    uint64_t hash = 1;
    for (int i = 0; i < KEYS; i++)
        hash = (hash ^ (uint64_t)now[i]) * 0x9E3779B97F4A7C15u ^ hash >> 29;
    memcpy(key, now, sizeof now);
    return &w->space->passes->at[hash >> 32 & (PASSES_MAX - 1)];
}

void tr_passes_keep(const struct tr_space_walk *w)
{
    int64_t key[KEYS];
    if (!w->space->passes)
        return;
    struct passes_of *place = place_of(w, key);
    memcpy(place->key, key, sizeof key);
    place->s = w->passes_s;
}

bool tr_passes_recall(struct tr_space_walk *w)
{
    int64_t key[KEYS];
    if (!w->space->passes)
        return false;
    const struct passes_of *place = place_of(w, key);
    if (memcmp(place->key, key, sizeof key) != 0)
        return false;
    w->passes_s = place->s;
    return true;
}
