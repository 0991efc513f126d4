#include "lib/wide.h"

#if defined(__x86_64__)
#include "silicon/kernel/packed/packed_body.h"
#endif
