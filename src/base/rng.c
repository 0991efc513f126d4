#include "base/rng.h"

#include "base/err.h"
#include "base/fmath.h"

void tr_philox(uint32_t key0, uint32_t key1, const uint32_t counter[4], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xD2511F53u * c0;
        uint64_t b = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(b >> 32) ^ c1 ^ key0;
        c1 = (uint32_t)b;
        c2 = (uint32_t)(a >> 32) ^ c3 ^ key1;
        c3 = (uint32_t)a;
        key0 += 0x9E3779B9u; /* the golden ratio */
        key1 += 0xBB67AE85u; /* sqrt(3) - 1 */
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* FNV-1a, 64 bits: spreads short names well enough to be a Philox counter. */
static uint64_t hash_name(const char *name)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 0x100000001b3u;
    return hash;
}

static struct tr_rng_key derive(uint32_t key0, uint32_t key1, uint64_t high, uint64_t low)
{
    const uint32_t counter[4] = {(uint32_t)low, (uint32_t)(low >> 32), (uint32_t)high, (uint32_t)(high >> 32)};
    uint32_t out[4];
    tr_philox(key0, key1, counter, out);
    return (struct tr_rng_key){.key = {out[0], out[1]}, .stream = {out[2], out[3]}};
}

struct tr_rng_key tr_rng_key(uint64_t seed, const char *purpose, uint64_t step)
{
    return derive((uint32_t)seed, (uint32_t)(seed >> 32), hash_name(purpose), step);
}

struct tr_rng_key tr_rng_subkey(struct tr_rng_key key, uint64_t index)
{
    /* The stream words are inverted, so that a subkey is no block of numbers of its parent. */
    uint64_t stream = ~((uint64_t)key.stream[1] << 32 | key.stream[0]);
    return derive(key.key[0], key.key[1], stream, index);
}

void tr_rng_block(struct tr_rng_key key, uint64_t block, uint32_t out[4])
{
    const uint32_t counter[4] = {(uint32_t)block, (uint32_t)(block >> 32), key.stream[0], key.stream[1]};
    tr_philox(key.key[0], key.key[1], counter, out);
}

uint32_t tr_rng_u32(struct tr_rng_key key, uint64_t index)
{
    uint32_t words[4];
    tr_rng_block(key, index / 4, words);
    return words[index % 4];
}

uint64_t tr_rng_u64(struct tr_rng_key key, uint64_t index)
{
    uint32_t words[4];
    tr_rng_block(key, index / 2, words);
    unsigned low = 2 * (unsigned)(index % 2);
    return (uint64_t)words[low + 1] << 32 | words[low];
}

float tr_rng_float(struct tr_rng_key key, uint64_t index)
{
    return (float)(tr_rng_u32(key, index) >> 8) * 0x1p-24f;
}

double tr_rng_double(struct tr_rng_key key, uint64_t index)
{
    return (double)(tr_rng_u64(key, index) >> 11) * 0x1p-53;
}

/* Elements 2*block and 2*block + 1. The radius takes a uniform number in (0, 1], so that its logarithm is finite. */
static void normal_pair(struct tr_rng_key key, uint64_t block, double out[2])
{
    uint32_t words[4];
    tr_rng_block(key, block, words);
    uint64_t radius_bits = (uint64_t)words[1] << 32 | words[0];
    uint64_t angle_bits = (uint64_t)words[3] << 32 | words[2];
    double u = (double)((radius_bits >> 11) + 1) * 0x1p-53;
    double angle = (double)(angle_bits >> 11) * (0x1p-53 * 0x1.921fb54442d18p+2); /* 2 pi */
    double radius = __builtin_sqrt(-2 * tr_log(u));
    double s, c;
    tr_sincos(angle, &s, &c);
    out[0] = radius * c;
    out[1] = radius * s;
}

float tr_rng_normal(struct tr_rng_key key, uint64_t index)
{
    double both[2];
    normal_pair(key, index / 2, both);
    return (float)both[index % 2];
}

void tr_rng_fill_normal(struct tr_rng_key key, uint64_t first_index, int64_t count, double deviation, float *out)
{
    TR_ASSERT(count >= 0);
    double both[2];
    for (int64_t i = 0; i < count; i++) {
        uint64_t index = first_index + (uint64_t)i;
        if (i == 0 || index % 2 == 0)
            normal_pair(key, index / 2, both);
        out[i] = (float)(deviation * both[index % 2]);
    }
}

uint64_t tr_rng_below(struct tr_rng_key key, uint64_t index, uint64_t bound)
{
    TR_ASSERT(bound >= 1);
    /* The upper half of draw * bound is uniform once the (2^64 mod bound) draws that would make some values more
     * frequent are thrown away. Each index has a block of two draws; a rejected one goes on in the next stream. */
    uint64_t unfair = -bound % bound;
    for (uint32_t attempt = 0;; attempt++) {
        struct tr_rng_key stream = key;
        stream.stream[1] += attempt / 2;
        uint32_t words[4];
        tr_rng_block(stream, index, words);
        uint32_t low = 2 * (attempt % 2);
        uint64_t draw = (uint64_t)words[low + 1] << 32 | words[low];
        unsigned __int128 product = (unsigned __int128)draw * bound;
        if ((uint64_t)product >= unfair)
            return (uint64_t)(product >> 64);
    }
}

enum { FEISTEL_ROUNDS = 8 };

uint64_t tr_permute(uint64_t index, uint64_t count, struct tr_rng_key key)
{
    TR_ASSERT(index < count);
    unsigned half_bits = 1;
    while (half_bits < 32 && (count - 1) >> (2 * half_bits))
        half_bits++;
    uint64_t mask = ((uint64_t)1 << half_bits) - 1;
    /* A permutation of the 2^(2 half_bits) numbers, applied until it leads back below count: that is again a
     * permutation, because the walk from `index` follows a cycle that returns at the latest to `index` itself. */
    do {
        uint64_t left = index >> half_bits, right = index & mask;
        for (uint32_t round = 0; round < FEISTEL_ROUNDS; round++) {
            const uint32_t counter[4] = {(uint32_t)right, round, key.stream[0], key.stream[1]};
            uint32_t words[4];
            tr_philox(key.key[0], key.key[1], counter, words);
            uint64_t mixed = left ^ (words[0] & mask);
            left = right;
            right = mixed;
        }
        index = left << half_bits | right;
    } while (index >= count);
    return index;
}
