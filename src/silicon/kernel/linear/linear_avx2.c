/* The linear layers and the engine of matrix products for AVX2 and FMA. */
#if defined(__x86_64__)
#include "silicon/kernel/linear/linear_body.h"
#endif
