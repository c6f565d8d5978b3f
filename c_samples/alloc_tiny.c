/*
 * alloc_tiny.c: very many very small pieces, all alive at once.
 *
 * concepts: allocators
 *
 * usage: alloc_tiny [PIECES]     (default 60013)
 *
 * See: 8 bytes a piece, each holding the address of the one before. What an allocator adds to a piece (a header, a
 * smallest size) is now most of the memory, so `observer allocators` tells them apart by the peak.
 *
 * Facts: pieces calls malloc_calls free_calls bytes_requested
 */
#include "facts.h"

int main(int argc, char **argv)
{
    uint64_t pieces = 60013;
    void **newest = NULL;

    facts_begin();
    if (argc > 1)
        pieces = strtoull(argv[1], NULL, 10);

    for (uint64_t i = 0; i < pieces; i++) {
        void **piece = malloc(sizeof *piece);
        *piece = newest;
        newest = piece;
    }
    while (newest != NULL) {
        void **before = *newest;
        free(newest);
        newest = before;
    }

    fact_u64("pieces", pieces);
    fact_u64("malloc_calls", pieces);
    fact_u64("free_calls", pieces);
    fact_u64("calls", 2 * pieces);
    fact_u64("bytes_requested", pieces * sizeof(void *));
    facts_end();
    return 0;
}
