/* Eight bytes too many lie in the size of a free chunk. The piece before is freed and wants to merge with it.
 *
 * Broken: a write behind the end of a piece.
 * Impossible: free ends the program.
 *
 * expect rule overflow
 * expect sign abort
 * expect says corrupted size vs. prev_size
 * expect ends SIGABRT
 */
#include "chunk.h"

int main(void)
{
    size_t *piece = malloc(0x418), *next = malloc(0x428);

    calloc(1, 0x100);
    free(next);
    piece[0x418 / 8] = 0x441;                           /* deed */
    free(piece);                                        /* impossible */
    return 0;
}
