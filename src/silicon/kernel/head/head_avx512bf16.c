/* The head for AVX-512 with BF16: bf16 factors. */
#if defined(__x86_64__)
#include "silicon/kernel/head/head_body.h"
#endif
