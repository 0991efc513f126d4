#include "base/crowd.h"

#include "base/num.h"
#include "base/os.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Much: a quarter of a core is missed. Looking takes a thread some microseconds: with many it is done less often. */
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

double tr_team_waited_s(int threads)
{
    double sum_s = 0;
#pragma omp parallel num_threads(threads)
    {
        const double mine_s = tr_thread_waited_s();
#pragma omp atomic
        sum_s += mine_s;
    }
    return sum_s;
}

/* As OpenMP reads it: in any case, spaces around it. omp_get_dynamic() says false too where nothing is said. */
static bool dynamic_is_off(void)
{
    static const char off[] = "false", spaces[] = " \t";
    const char *value = getenv("OMP_DYNAMIC");
    if (value == NULL)
        return false;
    value += strspn(value, spaces);
    if (strncasecmp(value, off, strlen(off)) != 0)
        return false;
    value += strlen(off);
    return value[strspn(value, spaces)] == 0;
}

static void begin(struct tr_crowd *c, int wanted, double now_s)
{
    *c = (struct tr_crowd){.threads = wanted, .stays = dynamic_is_off(), .looked_s = now_s};
    if (!c->stays && wanted > 1)
        c->waited_s = tr_team_waited_s(wanted);
}

static void look(struct tr_crowd *c, int wanted, double now_s)
{
    const int before = c->threads;
    const double waited_s = tr_team_waited_s(before), since_s = now_s - c->looked_s;
    tr_crowd_decide(c, wanted, fmax(0, waited_s - c->waited_s) / since_s, now_s); /* less than before: a thread was replaced */
    c->looked_s = now_s;
    c->waited_s = c->threads == before ? waited_s : tr_team_waited_s(c->threads);
}

int tr_crowd_threads(struct tr_crowd *c, int wanted, double now_s)
{
    if (c->threads == 0)
        begin(c, wanted, now_s);
    if (!c->stays && wanted > 1 && now_s - c->looked_s >= LOOK_S + LOOK_THREAD_S * wanted)
        look(c, wanted, now_s);
    return c->stays || c->threads > wanted ? wanted : c->threads;
}
