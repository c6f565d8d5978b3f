/* Free large chunks are chained by size as well. One of these links leads to a variable: the next chunk that is sorted
 * in has its address written there.
 *
 * Broken: a write to a piece after its free.
 * Impossible: for the program, a variable that nobody assigned holds the address of a chunk. The calls show nothing;
 * in the heap at its end a chunk's link by size leads out of the heap.
 *
 * expect rule write-after-free
 * expect sign final-heap
 * expect ends exit 0
 */
#include "chunk.h"

static size_t target[8];

int main(void)
{
    size_t *larger = malloc(0x428), *smaller;

    malloc(24);
    smaller = malloc(0x418);
    malloc(24);
    free(larger);
    malloc(0x438);                                      /* sorts the larger one in */
    free(smaller);
    larger[3] = (size_t)target;                         /* deed */
    malloc(0x438);                                      /* sorts the smaller one in */
    fact("impossible", target[4] == (size_t)chunk_of(smaller));
    return 0;
}
