#include "lib/wide.h"

#if defined(__x86_64__)
#include "silicon/kernel/head/head_body.h"
#endif
