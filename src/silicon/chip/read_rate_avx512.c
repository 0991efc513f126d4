/* The loop of read_rate.h with loads of 64 bytes. */
#if defined(__x86_64__)
#include "silicon/chip/read_rate.h"

#include <immintrin.h>

uint64_t tr_read_all_avx512(const void *memory, int64_t bytes)
{
    const __m512i *at = memory;
    __m512i sum[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
    uint64_t word[8] __attribute__((aligned(64)));
    const int64_t count = bytes / (int64_t)sizeof *at / 4 * 4;
    for (int64_t i = 0; i < count; i += 4) {
        for (int j = 0; j < 4; j++) {
            __builtin_prefetch((const char *)&at[i + j] + 4096);
            sum[j] = _mm512_xor_si512(sum[j], _mm512_load_si512(&at[i + j]));
        }
    }
    _mm512_store_si512((void *)word, _mm512_xor_si512(_mm512_xor_si512(sum[0], sum[1]), _mm512_xor_si512(sum[2], sum[3])));
    return word[0] ^ word[1];
}
#endif
