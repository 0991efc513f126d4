/* Calls beside what the rank goes on to do: a queue, and one thread a group that runs it in order. Groups do not
 * wait for each other, so that ranks which start calls of two groups in different orders do not block one another. */
#include "silicon/coll/inside.h"

#include "base/os.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct started {
    const struct tr_coll *call;
    struct tr_coll_span span;
    enum tr_status status;
    bool done, waited;
};

struct tr_background {
    struct tr_comm *comm;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;                    /* something was started, or done, or it is to end */
    int64_t first_kept, next_run, next_ticket; /* tickets; those from first_kept on are in the ring */
    bool ends;
    struct tr_err err; /* of the first call that failed: the group fails with it */
    struct started ring[TR_STARTS_MAX];
};

static struct started *started_at(struct tr_background *background, int64_t ticket)
{
    return &background->ring[ticket % TR_STARTS_MAX];
}

/* The next call to run; NULL: there is none, and the thread is to end. */
static struct started *next_call(struct tr_background *background)
{
    struct started *next = NULL;
    pthread_mutex_lock(&background->lock);
    while (background->next_run == background->next_ticket && !background->ends)
        pthread_cond_wait(&background->changed, &background->lock);
    if (background->next_run < background->next_ticket)
        next = started_at(background, background->next_run);
    pthread_mutex_unlock(&background->lock);
    return next;
}

static void *run_calls(void *context)
{
    struct tr_background *background = context;
    struct started *next;
    while ((next = next_call(background)) != NULL) {
        struct tr_err err = {""};
        struct tr_coll_span span = {.begin_s = tr_clock_s()};
        enum tr_status status = tr_coll_run_now(background->comm, next->call, &err);
        span.end_s = tr_clock_s();
        pthread_mutex_lock(&background->lock);
        next->status = status;
        next->span = span;
        next->done = true;
        if (status != TR_OK)
            background->err = err;
        background->next_run++;
        pthread_cond_broadcast(&background->changed);
        pthread_mutex_unlock(&background->lock);
    }
    return NULL;
}

static enum tr_status begin_thread(struct tr_comm *comm, struct tr_err *err)
{
    struct tr_background *background = calloc(1, sizeof *background);
    if (background == NULL)
        return tr_fail(err, TR_FAILED, "group %s: no memory for its thread", comm->name);
    background->comm = comm;
    pthread_mutex_init(&background->lock, NULL);
    pthread_cond_init(&background->changed, NULL);
    int reason = tr_thread_start(&background->thread, run_calls, background);
    if (reason != 0) {
        free(background);
        return tr_fail(err, TR_FAILED, "group %s: no thread for what runs in the background: %s", comm->name,
                       strerror(reason));
    }
    comm->background = background;
    return TR_OK;
}

enum tr_status tr_coll_start(struct tr_comm *comm, const struct tr_coll *call, int64_t *ticket, struct tr_err *err)
{
    enum tr_status status = comm->background == NULL ? begin_thread(comm, err) : TR_OK;
    if (status != TR_OK)
        return status;
    struct tr_background *background = comm->background;
    pthread_mutex_lock(&background->lock);
    TR_ASSERT(background->next_ticket - background->first_kept < TR_STARTS_MAX);
    *ticket = background->next_ticket++;
    *started_at(background, *ticket) = (struct started){.call = call};
    pthread_cond_broadcast(&background->changed);
    pthread_mutex_unlock(&background->lock);
    return TR_OK;
}

enum tr_status tr_coll_wait(struct tr_comm *comm, int64_t ticket, struct tr_err *err)
{
    struct tr_background *background = comm->background;
    TR_ASSERT(background != NULL);
    pthread_mutex_lock(&background->lock);
    TR_ASSERT(ticket >= background->first_kept && ticket < background->next_ticket);
    struct started *started = started_at(background, ticket);
    TR_ASSERT(!started->waited);
    while (!started->done)
        pthread_cond_wait(&background->changed, &background->lock);
    enum tr_status status = started->status;
    if (status != TR_OK)
        *err = background->err;
    started->waited = true;
    while (background->first_kept < background->next_ticket && started_at(background, background->first_kept)->waited)
        background->first_kept++;
    pthread_mutex_unlock(&background->lock);
    return status;
}

struct tr_coll_span tr_coll_waited(const struct tr_comm *comm, int64_t ticket)
{
    TR_ASSERT(comm->background != NULL && ticket >= 0 && ticket < comm->background->next_ticket);
    const struct started *started = started_at(comm->background, ticket);
    TR_ASSERT(started->waited);
    return started->span;
}

void tr_background_drain(struct tr_comm *comm)
{
    struct tr_background *background = comm->background;
    if (background == NULL)
        return;
    pthread_mutex_lock(&background->lock);
    while (background->next_run < background->next_ticket)
        pthread_cond_wait(&background->changed, &background->lock);
    pthread_mutex_unlock(&background->lock);
}

void tr_background_end(struct tr_comm *comm)
{
    struct tr_background *background = comm->background;
    if (background == NULL)
        return;
    pthread_mutex_lock(&background->lock);
    background->ends = true;
    pthread_cond_broadcast(&background->changed);
    pthread_mutex_unlock(&background->lock);
    TR_ASSERT(pthread_join(background->thread, NULL) == 0);
    pthread_mutex_destroy(&background->lock);
    pthread_cond_destroy(&background->changed);
    free(background);
    comm->background = NULL;
}
