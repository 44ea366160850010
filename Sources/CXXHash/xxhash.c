#define XXH_INLINE_ALL
#include <xxhash.h>

#include <stdlib.h>
#include <string.h>

#include "CXXHash.h"

struct dray_xxh_state {
    XXH3_state_t xxh3; /* needs 64-byte alignment */
    XXH64_state_t xxh64;
};

dray_xxh_state *dray_xxh_new(void) {
    void *p = NULL;
    if (posix_memalign(&p, 64, sizeof(dray_xxh_state)) != 0) return NULL;
    memset(p, 0, sizeof(dray_xxh_state));
    return p;
}
void dray_xxh_free(dray_xxh_state *s) { free(s); }

void dray_xxh64_reset(dray_xxh_state *s, uint64_t seed) { XXH64_reset(&s->xxh64, seed); }
void dray_xxh64_update(dray_xxh_state *s, const void *p, size_t n) { XXH64_update(&s->xxh64, p, n); }
uint64_t dray_xxh64_digest(const dray_xxh_state *s) { return XXH64_digest(&s->xxh64); }
uint64_t dray_xxh64(const void *p, size_t n, uint64_t seed) { return XXH64(p, n, seed); }

void dray_xxh3_reset(dray_xxh_state *s, uint64_t seed) { XXH3_64bits_reset_withSeed(&s->xxh3, seed); }
void dray_xxh3_update(dray_xxh_state *s, const void *p, size_t n) { XXH3_64bits_update(&s->xxh3, p, n); }
uint64_t dray_xxh3_64_digest(const dray_xxh_state *s) { return XXH3_64bits_digest(&s->xxh3); }
uint64_t dray_xxh3_64(const void *p, size_t n, uint64_t seed) { return XXH3_64bits_withSeed(p, n, seed); }

static void store128(XXH128_hash_t h, uint8_t *out) {
    for (int i = 0; i < 8; i++) out[i] = (uint8_t)(h.low64 >> (8 * i));
    for (int i = 0; i < 8; i++) out[8 + i] = (uint8_t)(h.high64 >> (8 * i));
}
void dray_xxh3_128(const void *p, size_t n, uint64_t seed, uint8_t *out) {
    store128(XXH3_128bits_withSeed(p, n, seed), out);
}
void dray_xxh128_reset(dray_xxh_state *s, uint64_t seed) { XXH3_128bits_reset_withSeed(&s->xxh3, seed); }
void dray_xxh128_update(dray_xxh_state *s, const void *p, size_t n) { XXH3_128bits_update(&s->xxh3, p, n); }
void dray_xxh3_128_digest(const dray_xxh_state *s, uint8_t *out) { store128(XXH3_128bits_digest(&s->xxh3), out); }
