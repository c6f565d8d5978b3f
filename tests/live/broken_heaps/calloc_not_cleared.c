/* A bit of a free chunk's size says that it is mapped. calloc believes that the kernel cleared it and does not.
 *
 * Broken: a write behind the end of a piece, one bit.
 * Impossible: for the program, calloc returns old contents. The calls show nothing; in the heap at its end a chunk
 * between others says that it is a mapping of its own.
 *
 * expect rule overflow
 * expect sign final-heap
 * expect ends exit 0
 */
#include "chunk.h"

int main(void)
{
    size_t *before = malloc(24), *piece = malloc(0x428), *again;

    malloc(24);
    memset(piece, 'x', 0x428);
    free(piece);
    before[3] |= 2;                                     /* deed */
    again = calloc(1, 0x428);
    fact("impossible", again == piece && again[20] != 0);
    return 0;
}
