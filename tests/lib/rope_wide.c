#include "lib/wide.h"

#if defined(__x86_64__)
#include "silicon/kernel/rope/rope_body.h"
#endif
