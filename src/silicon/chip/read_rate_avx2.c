/* The loop of read_rate.h with loads of 32 bytes. */
#if defined(__x86_64__)
#include "silicon/chip/read_rate.h"

#include <immintrin.h>

uint64_t tr_read_all_avx2(const void *memory, int64_t bytes)
{
    const __m256i *at = memory;
    __m256i sum[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256()};
    uint64_t word[4] __attribute__((aligned(32)));
    const int64_t count = bytes / (int64_t)sizeof *at / 4 * 4;
    for (int64_t i = 0; i < count; i += 4) {
        for (int j = 0; j < 4; j++) {
            __builtin_prefetch((const char *)&at[i + j] + 4096);
            sum[j] = _mm256_xor_si256(sum[j], _mm256_load_si256(&at[i + j]));
        }
    }
    _mm256_store_si256((void *)word, _mm256_xor_si256(_mm256_xor_si256(sum[0], sum[1]), _mm256_xor_si256(sum[2], sum[3])));
    return word[0] ^ word[1];
}
#endif
