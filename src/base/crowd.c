#include "base/crowd.h"

#include "base/num.h"
#include "base/os.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Much: a quarter of a core is missed. Looking at a thread takes some microseconds: with many it is done less often. */
static const double MUCH = 0.25, LOOK_S = 0.02, LOOK_THREAD_S = 0.002, PATIENCE_S = 0.1, PATIENCE_MOST_S = 8;

int tr_crowd_decide(struct tr_crowd *c, int wanted, double waiting, double now_s)
{
    /* once may be chance, but for a thread that was one too many before */
    const double sure = c->trying ? waiting : fmin(waiting, c->waiting);
    c->waiting = waiting;
    if (sure > MUCH && c->threads > 1) {
        c->patience_s = c->trying ? fmin(2 * c->patience_s, PATIENCE_MOST_S) : PATIENCE_S;
        c->threads = (int)tr_max_i64(1, c->threads - tr_max_i64(1, llround(sure)));
        c->again_s = now_s + c->patience_s;
        c->trying = false;
    } else {
        c->trying = c->threads < wanted && now_s >= c->again_s;
        c->threads += c->trying;
    }
    return c->threads;
}

static void begin(struct tr_crowd *c, int wanted, double now_s)
{
    const char *dynamic = getenv("OMP_DYNAMIC");
    *c = (struct tr_crowd){.threads = wanted, .stays = dynamic != NULL && strcmp(dynamic, "false") == 0, .looked_s = now_s,
                           .waited_s = tr_threads_waited_s()};
}

int tr_crowd_threads(struct tr_crowd *c, int wanted, double now_s)
{
    if (c->threads == 0)
        begin(c, wanted, now_s);
    const double since_s = now_s - c->looked_s;
    if (!c->stays && wanted > 1 && since_s >= LOOK_S + LOOK_THREAD_S * wanted) {
        const double before_s = c->waited_s;
        c->waited_s = tr_threads_waited_s(); /* less than before, when threads have ended, counts as none */
        c->looked_s = now_s;
        tr_crowd_decide(c, wanted, fmax(0, c->waited_s - before_s) / since_s, now_s);
    }
    return c->stays || c->threads > wanted ? wanted : c->threads;
}
