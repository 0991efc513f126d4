#include "cloud/job/job.h"

#include "base/os.h"
#include "base/process.h"
#include "base/quantity.h"

#include <signal.h>
#include <stdarg.h>
#include <time.h>

#define LOOK_S 0.25 /* how often a signal that came between two looks can wait */

static void say(const struct tr_launch *launch, const char *fmt, ...) TR_PRINTF(2, 3);
static void say(const struct tr_launch *launch, const char *fmt, ...)
{
    if (!launch->log)
        return;
    va_list args;
    va_start(args, fmt);
    fputs("launch: ", launch->log);
    vfprintf(launch->log, fmt, args);
    fputc('\n', launch->log);
    fflush(launch->log);
    va_end(args);
}

static int asked(const struct tr_launch *launch) { return launch->stop ? *launch->stop : 0; }

static int64_t kept(const struct tr_launch *launch) { return launch->kept ? launch->kept(launch->context) : -1; }

/* One attempt, to its end. A request to end is passed on once: the command ends by itself then. */
static enum tr_status attempt(const struct tr_launch *launch, struct tr_launch_result *result, struct tr_err *err)
{
    struct tr_process process = {0};
    enum tr_status status = tr_process_start(launch->words, &process, err);
    if (status != TR_OK)
        return status;
    result->attempts++;
    while (!tr_process_ended(&process, LOOK_S, &result->code)) {
        if (!result->stopped && asked(launch)) {
            say(launch, "%s: the command is asked to save and end", tr_signal_name(asked(launch)));
            tr_process_signal(&process, SIGUSR1);
            result->stopped = true;
        }
    }
    result->stopped = result->stopped || asked(launch);
    return TR_OK;
}

/* False when somebody asks to end meanwhile. */
static bool pause_for(const struct tr_launch *launch, double seconds)
{
    struct timespec nap = {.tv_nsec = 20 * 1000 * 1000};
    double until = tr_clock_s() + seconds;
    while (tr_clock_s() < until && !asked(launch))
        nanosleep(&nap, NULL);
    return !asked(launch);
}

static void say_how(const struct tr_launch *launch, const struct tr_launch_result *result)
{
    int code = result->code;
    if (code > 128)
        say(launch, "attempt %lld was ended by signal %d", (long long)result->attempts, code - 128);
    else
        say(launch, "attempt %lld ended with status %d", (long long)result->attempts, code);
}

static enum tr_status given_up(const struct tr_launch *launch, const struct tr_launch_result *result, struct tr_err *err)
{
    return tr_fail(err, TR_FAILED, "given up after %lld attempts, the last %lld of which kept nothing; the last one ended with "
                   "status %d", (long long)result->attempts, (long long)launch->restarts + 1, result->code);
}

/* What ends it, whatever attempts are left; TR_OK: nothing does. mpirun and srun end with the status of TR_NO too, where they cannot start
 * a rank or have lost a host. */
static enum tr_status ended_for_good(const struct tr_launch *launch, const struct tr_launch_result *result, int64_t has_kept, struct tr_err *err)
{
    long long attempts = (long long)result->attempts;
    if (result->stopped)
        return tr_fail(err, TR_FAILED, "asked to end by %s: the run goes on with the same command", tr_signal_name(asked(launch)));
    if (result->code == TR_BAD_INPUT)
        return tr_fail(err, TR_BAD_INPUT, "attempt %lld says that its input is wrong: see above", attempts);
    if (result->code == TR_NO && has_kept < 0)
        return tr_fail(err, TR_NO, "attempt %lld says no (it does not fit, or ranks cannot be started), and nothing was kept: see above", attempts);
    return TR_OK;
}

enum tr_status tr_launch(const struct tr_launch *launch, struct tr_launch_result *result, struct tr_err *err)
{
    struct tr_launch_result r = {0};
    double pause_s = launch->pause_s;
    int64_t before = kept(launch), in_vain = 0;
    enum tr_status status;
    while ((status = attempt(launch, &r, err)) == TR_OK && r.code != 0) {
        say_how(launch, &r);
        int64_t now = kept(launch);
        if ((status = ended_for_good(launch, &r, now, err)) != TR_OK)
            break;
        if (now > before) {
            in_vain = 0;
            pause_s = launch->pause_s;
        } else if (++in_vain > launch->restarts) {
            status = given_up(launch, &r, err);
            break;
        }
        before = now;
        char text[TR_QUANTITY_BYTES];
        say(launch, "again in %s", tr_print_time(text, pause_s));
        if (!pause_for(launch, pause_s)) {
            r.stopped = true;
            status = tr_fail(err, TR_FAILED, "asked to end by %s between two attempts: the run goes on with the same command",
                             tr_signal_name(asked(launch)));
            break;
        }
        pause_s = 2 * pause_s < launch->pause_max_s ? 2 * pause_s : launch->pause_max_s;
    }
    *result = r;
    return status;
}
