/* The linear layers and the engine of matrix products for AVX-512. */
#if defined(__x86_64__)
#include "silicon/kernel/linear/linear_body.h"
#endif
