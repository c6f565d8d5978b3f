/* A freed piece is written to where the allocator keeps nothing of its own, and handed out again.
 *
 * Broken: a write to a piece after its free.
 * Impossible: nothing, ever.
 *
 * expect rule write-after-free
 * expect sign nothing
 * expect ends exit 0
 */
#include "chunk.h"

int main(void)
{
    long *piece = malloc(104), *again;

    free(piece);
    piece[5] = 23;                                      /* deed */
    again = malloc(104);
    again[5] = 0;
    free(again);
    return 0;
}
