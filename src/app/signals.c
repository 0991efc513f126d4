#include "app/app.h"

#include <signal.h>

_Static_assert(ATOMIC_INT_LOCK_FREE == 2, "a signal handler writes it");

atomic_int tr_app_signal;

/* Only a note: whoever works looks at it now and then. A second signal writes the same variable. */
static void on_signal(int number) { tr_app_signal = number; }

enum tr_status tr_app_catch_signals(struct tr_err *err)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGUSR1};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < 3; i++)
        if (sigaction(numbers[i], &action, NULL) != 0)
            return tr_fail(err, TR_FAILED, "signal %d cannot be caught", numbers[i]);
    return TR_OK;
}
