/* The backward link of a chunk that waits unsorted leads to a variable. Once malloc wrote a bin's address there; since
 * 2.29 it looks whether the links agree.
 *
 * Broken: a write to a piece after its free.
 * Impossible: malloc ends the program.
 *
 * expect rule write-after-free
 * expect sign abort
 * expect says malloc(): unsorted double linked list corrupted
 * expect ends SIGABRT
 */
#include "chunk.h"

static size_t target[4];

int main(void)
{
    size_t *piece = malloc(0x418);

    malloc(24);
    free(piece);
    piece[1] = (size_t)target;                          /* deed */
    malloc(0x418);                                      /* impossible */
    return 0;
}
