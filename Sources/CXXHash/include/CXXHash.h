#pragma once
#include <stddef.h>
#include <stdint.h>

/* The three xxHash variants that rsync negotiates, compiled from the library's own header so that they inline and
   need no shared library. States are opaque, heap allocated and reused for many files. */
typedef struct dray_xxh_state dray_xxh_state;

dray_xxh_state *_Nullable dray_xxh_new(void);
void dray_xxh_free(dray_xxh_state *_Nonnull s);

void dray_xxh64_reset(dray_xxh_state *_Nonnull s, uint64_t seed);
void dray_xxh64_update(dray_xxh_state *_Nonnull s, const void *_Nullable p, size_t n);
uint64_t dray_xxh64_digest(const dray_xxh_state *_Nonnull s);
uint64_t dray_xxh64(const void *_Nullable p, size_t n, uint64_t seed);

void dray_xxh3_reset(dray_xxh_state *_Nonnull s, uint64_t seed);
void dray_xxh3_update(dray_xxh_state *_Nonnull s, const void *_Nullable p, size_t n);
uint64_t dray_xxh3_64_digest(const dray_xxh_state *_Nonnull s);
/* out: 16 bytes, low half little-endian then high half little-endian */
void dray_xxh3_128_digest(const dray_xxh_state *_Nonnull s, uint8_t *_Nonnull out);
uint64_t dray_xxh3_64(const void *_Nullable p, size_t n, uint64_t seed);
void dray_xxh3_128(const void *_Nullable p, size_t n, uint64_t seed, uint8_t *_Nonnull out);
/* The 128-bit stream consumes with the same state layout but its own update entry. */
void dray_xxh128_reset(dray_xxh_state *_Nonnull s, uint64_t seed);
void dray_xxh128_update(dray_xxh_state *_Nonnull s, const void *_Nullable p, size_t n);
