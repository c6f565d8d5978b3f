/* The backward link of a chunk in a small bin leads to a forged chunk on the stack, whose forward link leads back.
 *
 * Broken: a write to a piece after its free.
 * Impossible: the second calloc returns an address on the stack.
 *
 * expect rule write-after-free
 * expect sign elsewhere
 * expect ends exit 0
 */
#include "chunk.h"

int main(void)
{
    _Alignas(16) size_t local[0x100 / 8] = {0};
    struct chunk *forged = (struct chunk *)local, behind = {0};
    size_t *piece;
    void *first, *second;

    take_seven(0x88);
    piece = malloc(0x88);
    malloc(24);
    give_seven();
    free(piece);
    malloc(1200);                                       /* sorts it into its small bin */
    forged->size = 0x91;
    forged->fd = chunk_of(piece);
    forged->bk = &behind;
    behind.fd = forged;
    piece[1] = (size_t)forged;                          /* deed */
    first = calloc(1, 0x88);
    second = calloc(1, 0x88);                           /* impossible */
    fact("impossible", first == piece && second == piece_of(forged));
    return 0;
}
