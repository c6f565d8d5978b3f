/* A string does not fit and fills the next piece's size with letters: a chunk as large as the address space.
 *
 * Broken: a write behind the end of a piece.
 * Impossible: free ends the program, with words that also speak of a double free.
 *
 * expect rule overflow
 * expect sign abort
 * expect says double free or corruption (out)
 * expect ends SIGABRT
 */
#include "chunk.h"

int main(void)
{
    char *name = malloc(24), *next = malloc(24);

    memset(name, 'A', 32);                              /* deed */
    free(next);                                         /* impossible */
    return 0;
}
