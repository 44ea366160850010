/* Dray — numbers of the C library's allocator. */
/* SPDX-License-Identifier: Apache-2.0 */

#define _GNU_SOURCE
#include "CDraySystem.h"

#include <malloc.h>

void dray_heap(struct dray_heap_numbers *_Nonnull numbers) {
    struct mallinfo2 info = mallinfo2();
    *numbers = (struct dray_heap_numbers){
        info.arena,   info.ordblks, info.smblks,   info.hblks,    info.hblkhd,
        info.usmblks, info.fsmblks, info.uordblks, info.fordblks, info.keepcost,
    };
}
