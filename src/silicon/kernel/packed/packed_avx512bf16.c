/* Products with weights in panels for AVX-512 with BF16 and VNNI. */
#if defined(__x86_64__)
#include "silicon/kernel/packed/packed_body.h"
#endif
