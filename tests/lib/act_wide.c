#include "lib/wide.h"

#if defined(__x86_64__)
#include "silicon/kernel/act/act_body.h"
#endif
