/* Products with weights in panels for AVX2 and FMA. */
#if defined(__x86_64__)
#include "silicon/kernel/packed/packed_body.h"
#endif
