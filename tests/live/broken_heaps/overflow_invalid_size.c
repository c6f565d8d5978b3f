/* Eight bytes too many lie in the size of the next piece, which is freed.
 *
 * Broken: a write behind the end of a piece.
 * Impossible: free ends the program.
 *
 * expect rule overflow
 * expect sign abort
 * expect says free(): invalid size
 * expect ends SIGABRT
 */
#include "chunk.h"

int main(void)
{
    size_t *piece = malloc(40), *next = malloc(40);

    for (int i = 0; i <= 5; i++)
        piece[i] = 41;                                  /* deed */
    free(next);                                         /* impossible */
    return 0;
}
