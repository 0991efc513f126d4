/* The linear layers and the engine of matrix products for AVX-512 with BF16: bf16 factors. */
#if defined(__x86_64__)
#include "silicon/kernel/linear/linear_body.h"
#endif
