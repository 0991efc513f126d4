#include "lib/wide.h"

#if defined(__x86_64__)
#include "silicon/kernel/attn/attn_body.h"
#endif
