/* A null byte makes a free chunk shorter, so that its neighbour never learns what becomes of it. Once the neighbour
 * merged with whatever stood there; since 2.29 the library compares the two sizes and stops.
 *
 * Broken: a write of one byte behind the end of a piece.
 * Impossible: the last free ends the program.
 *
 * expect rule overflow
 * expect sign abort
 * expect says corrupted size vs. prev_size while consolidating
 * expect ends SIGABRT
 */
#include "chunk.h"

int main(void)
{
    char *before = malloc(0x108);
    size_t *shortened = malloc(0x608), *neighbour = malloc(0x4f8), *again;

    malloc(24);
    shortened[0x5f0 / 8] = 0x600;                       /* what the allocator will look for at the new end */
    shortened[0x5f8 / 8] = 0x20;
    free(shortened);
    before[0x108] = 0;                                  /* deed */
    again = malloc(0x4f8);
    malloc(0x78);
    free(again);
    free(neighbour);                                    /* impossible */
    return 0;
}
