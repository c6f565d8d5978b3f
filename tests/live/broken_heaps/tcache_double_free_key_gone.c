/* A freed piece bears a key by which the thread's cache knows it again. Who writes over the key may free twice.
 *
 * Broken: a write to a piece after its free; the second free comes after it.
 * Impossible: two mallocs in a row return one address.
 *
 * expect rule write-after-free
 * expect sign two-hands
 * expect ends exit 0
 */
#include "chunk.h"

int main(void)
{
    long *piece = malloc(40), *first, *second;

    free(piece);
    piece[1] = 0;                                       /* deed */
    free(piece);
    first = malloc(40);
    second = malloc(40);                                /* impossible */
    fact("impossible", first == piece && second == first);
    return 0;
}
