/*
 * brk_growth.c: the break moves when malloc has nothing left, and only then.
 *
 * concepts: brk gap story
 *
 * See: 997 mallocs, a handful of brk calls, each inside the malloc that found no free piece; all
 * other mallocs make no system call.
 *
 * Facts: calls malloc_calls bytes_requested brk_growths mallocs_without_growth
 *        heap_bytes_before heap_bytes_after line_malloc
 */
#include "facts.h"

enum { COUNT = 997, SIZE = 1009 };

int main(void)
{
    unsigned growths = 0;

    facts_begin();
    uintptr_t start = break_now();
    break_moved();

    for (int i = 0; i < COUNT; i++) {
        char *piece = malloc(SIZE);                 if (i == 0) FACT_LINE("malloc");
        piece[0] = 'x';
        growths += break_moved();
    }

    fact_u64("malloc_calls", COUNT);
    fact_u64("calls", COUNT);
    fact_u64("bytes_requested", COUNT * SIZE);
    fact_u64("brk_growths", growths);
    fact_u64("mallocs_without_growth", COUNT - growths);
    fact_u64("heap_bytes_before", 0);
    fact_u64("heap_bytes_after", break_now() - start);
    facts_end();
    return 0;
}
