/* A large request empties the fast bins into the others. The piece is no more the first entry of its fast bin, so a
 * second free puts it there again: it is in two bins.
 *
 * Broken: free() of a pointer that was freed already.
 * Impossible: two mallocs in a row return one address, once from either bin.
 *
 * expect rule freed-before
 * expect sign two-hands
 * expect ends exit 0
 */
#include "chunk.h"

int main(void)
{
    void *piece, *first, *second;

    take_seven(40);
    piece = malloc(40);
    malloc(24);                                         /* keeps it apart from the top chunk */
    give_seven();
    free(piece);
    malloc(2000);
    free(piece);                                        /* deed */
    take_seven(40);
    first = malloc(40);
    second = malloc(40);                                /* impossible */
    fact("impossible", first == piece && second == first);
    return 0;
}
