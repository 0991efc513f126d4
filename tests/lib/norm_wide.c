#include "lib/wide.h"

#if defined(__x86_64__)
#include "silicon/kernel/norm/norm_body.h"
#endif
