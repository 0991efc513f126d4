/* Attention for AVX-512 with BF16: bf16 only. */
#if defined(__x86_64__)
#include "silicon/kernel/attn/attn_body.h"
#endif
