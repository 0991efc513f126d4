/* Multiply-adds of AVX-512 with BF16. */
#if defined(__x86_64__)
#include "silicon/chip/peak_body.h"
#endif
