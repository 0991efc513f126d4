#include "lib/wide.h"

#if defined(__x86_64__)
#include "silicon/kernel/embed/embed_body.h"
#endif
