/* Multiply-adds of AVX2 and FMA. */
#if defined(__x86_64__)
#include "silicon/chip/peak_body.h"
#endif
