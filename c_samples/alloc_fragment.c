/*
 * alloc_fragment.c: holes that are a little too small for what comes next.
 *
 * concepts: allocators brk
 *
 * usage: alloc_fragment [PIECES]     (default 4001)
 *
 * See: small pieces that stay lie between larger ones that go. Where both come from one heap, each hole of 3000 bytes is
 * held open by its neighbours, and pieces of 3500 find no room: the heap doubles. Where each size has pages of its
 * own, the pages of the larger size are all free again, and serve the next one.
 *
 * Facts: pieces calls malloc_calls free_calls bytes_requested
 */
#include "facts.h"
#include <string.h>

enum { SMALL = 61, FIRST = 3000, SECOND = 3500, MOST = 100000 };

static char *small[MOST], *large[MOST];

static char *written(size_t bytes)
{
    return memset(malloc(bytes), 'x', bytes);
}

int main(int argc, char **argv)
{
    uint64_t pieces = 4001;

    facts_begin();
    if (argc > 1)
        pieces = strtoull(argv[1], NULL, 10);
    if (pieces > MOST)
        return 2;

    for (uint64_t i = 0; i < pieces; i++) {
        large[i] = written(FIRST);
        small[i] = written(SMALL);
    }
    for (uint64_t i = 0; i < pieces; i++)
        free(large[i]);                             /* each leaves a hole between two small ones */
    for (uint64_t i = 0; i < pieces; i++)
        large[i] = written(SECOND);
    for (uint64_t i = 0; i < pieces; i++) {
        free(large[i]);
        free(small[i]);
    }

    fact_u64("pieces", pieces);
    fact_u64("malloc_calls", 3 * pieces);
    fact_u64("free_calls", 3 * pieces);
    fact_u64("calls", 6 * pieces);
    fact_u64("bytes_requested", pieces * (SMALL + FIRST + SECOND));
    facts_end();
    return 0;
}
