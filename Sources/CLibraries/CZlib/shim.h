#pragma once
#include <zlib.h>

/* deflateInit2 and inflateInit2 are macros that pass the header's version and struct size; Swift cannot call them. */
static inline int dray_deflate_init_raw(z_stream *s, int level) {
    return deflateInit2(s, level, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY);
}
static inline int dray_inflate_init_raw(z_stream *s) { return inflateInit2(s, -15); }
