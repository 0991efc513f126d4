#include "lib/wide.h"

#if defined(__x86_64__)
#include "silicon/kernel/update/update_body.h"
#endif
