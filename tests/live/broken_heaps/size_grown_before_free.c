/* The size of a piece is overwritten to cover its neighbour; it is freed and handed out again, as large as it says.
 *
 * Broken: a write behind the end of a piece, eight bytes.
 * Impossible: malloc returns a piece that covers another in use.
 *
 * expect rule overflow
 * expect sign overlap
 * expect ends exit 0
 */
#include "chunk.h"

int main(void)
{
    size_t *before = malloc(24), *grown = malloc(0x4f8);
    char *neighbour = malloc(0x88), *piece;

    malloc(24);
    before[3] = 0x591;                                  /* deed */
    free(grown);
    piece = malloc(0x588);                              /* impossible */
    neighbour[0] = 'a';
    piece[neighbour - piece] = 'b';
    fact("impossible", piece == (char *)grown && neighbour[0] == 'b');
    return 0;
}
