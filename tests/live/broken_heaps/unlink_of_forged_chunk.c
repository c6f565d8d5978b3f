/* A chunk is forged inside a piece, and the size behind the piece overwritten so that the next one believes the forged
 * chunk to be its free neighbour. Freeing takes the forged chunk out of a list of which the program chose the ends.
 *
 * Broken: a write behind the end of a piece.
 * Impossible: a variable changes though nobody assigns it; the next malloc returns an address inside a piece in use.
 *
 * expect rule overflow
 * expect sign overlap
 * expect ends exit 0
 */
#include "chunk.h"

static size_t *holder;

int main(void)
{
    size_t *next, *piece;

    holder = malloc(0x428);
    next = malloc(0x428);
    size_t *live = holder;
    live[1] = 0x420;                                    /* the forged chunk: up to the next one */
    live[2] = (size_t)(&holder - 3);
    live[3] = (size_t)(&holder - 2);
    live[4] = 0;
    live[0x84] = 0x420;                                 /* still the piece's own: its last word */
    live[0x85] = 0x430;                                 /* deed */
    free(next);
    piece = malloc(104);                                /* impossible */
    fact("impossible", holder == (size_t *)(&holder - 3) && piece == live + 2);
    return 0;
}
