#include "lib/wide.h"

#if defined(__x86_64__)
#include "silicon/kernel/linear/linear_body.h"
#endif
