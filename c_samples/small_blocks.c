/*
 * small_blocks.c: many small pieces, freed in another order.
 *
 * concepts: allocators brk
 *
 * See: 10007 small mallocs need only a few brk calls; the pieces are freed in a scattered order and asked for
 * once more, which needs no brk at all.
 *
 * Facts: calls malloc_calls free_calls bytes_requested brk_growths brk_growths_second
 *        line_*
 */
#include "facts.h"

enum { COUNT = 10007, STRIDE = 5003, AGAIN = 1009 };

static char *piece[COUNT];

int main(void)
{
    unsigned growths = 0, growths_second = 0;
    uint64_t bytes = 0;

    facts_begin();
    break_moved();

    for (int i = 0; i < COUNT; i++) {
        size_t size = 17 + (size_t)i % 113;
        piece[i] = malloc(size);                    if (i == 0) FACT_LINE("malloc");
        piece[i][0] = 'x';
        growths += break_moved();
        bytes += size;
    }
    for (int i = 0, at = 0; i < COUNT; i++, at = (at + STRIDE) % COUNT) {
        free(piece[at]);                            if (i == 0) FACT_LINE("free");
    }
    break_moved();

    for (int i = 0; i < AGAIN; i++) {
        piece[i] = malloc(17);                      if (i == 0) FACT_LINE("malloc_again");
        growths_second += break_moved();
        bytes += 17;
    }
    for (int i = 0; i < AGAIN; i++)
        free(piece[i]);

    fact_u64("malloc_calls", COUNT + AGAIN);
    fact_u64("free_calls", COUNT + AGAIN);
    fact_u64("calls", 2 * (COUNT + AGAIN));
    fact_u64("bytes_requested", bytes);
    fact_u64("brk_growths", growths);
    fact_u64("brk_growths_second", growths_second);
    facts_end();
    return 0;
}
