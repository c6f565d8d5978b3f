/* A pointer into a piece is freed, and the bytes before it happen to look like a chunk's size.
 *
 * Broken: free() of a pointer into a piece, not to its start.
 * Impossible: malloc returns an address inside a piece in use.
 *
 * expect rule inside
 * expect sign overlap
 * expect ends exit 0
 */
#include "chunk.h"

int main(void)
{
    size_t *table = calloc(32, sizeof *table), *piece;

    table[7] = 0x61;
    free(table + 8);                                    /* deed */
    piece = malloc(88);                                 /* impossible */
    fact("impossible", piece == table + 8);
    return 0;
}
