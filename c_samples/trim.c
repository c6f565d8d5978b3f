/*
 * trim.c: the heap shrinks again.
 *
 * concepts: brk gap
 *
 * See: as long as one piece stands at the end of the heap, nothing free below it can be given back. When that last
 * piece is freed, everything free joins into one at the end, and free itself calls brk with a lower address.
 *
 * Facts: calls malloc_calls free_calls bytes_requested brk_growths brk_shrinks shrinks_while_held
 *        heap_bytes_full heap_bytes_after line_*
 */
#include "facts.h"

enum { BLOCKS = 23, SIZE = 60013 };

int main(void)
{
    char *block[BLOCKS];
    unsigned growths = 0, shrinks = 0, held = 0;

    facts_begin();
    uintptr_t start = break_now();
    break_moved();

    for (int i = 0; i < BLOCKS; i++) {
        block[i] = malloc(SIZE);
        growths += break_moved();
    }
    fact_u64("heap_bytes_full", break_now() - start);

    for (int i = 1; i < BLOCKS - 1; i++) {
        free(block[i]);                             if (i == 1) FACT_LINE("free_below");
        held += break_moved();
    }
    free(block[BLOCKS - 1]);                        FACT_LINE("free_last");
    shrinks += break_moved();
    fact_u64("heap_bytes_after", break_now() - start);

    free(block[0]);
    shrinks += break_moved();

    fact_u64("malloc_calls", BLOCKS);
    fact_u64("free_calls", BLOCKS);
    fact_u64("calls", 2 * BLOCKS);
    fact_u64("bytes_requested", BLOCKS * SIZE);
    fact_u64("brk_growths", growths);
    fact_u64("shrinks_while_held", held);
    fact_u64("brk_shrinks", held + shrinks);
    facts_end();
    return 0;
}
