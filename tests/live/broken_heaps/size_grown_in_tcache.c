/* A piece of 24 bytes says that it has 56 and is freed; its neighbour is free as well, in a cache, where nothing merges.
 *
 * Broken: a write behind the end of a piece, eight bytes.
 * Impossible: 56 bytes are served by what never had more than 24; then its second half is handed out, too.
 *
 * expect rule overflow
 * expect sign wrong-size
 * expect also overlap
 * expect ends exit 0
 */
#include "chunk.h"

int main(void)
{
    size_t *before = malloc(24), *grown = malloc(24), *neighbour = malloc(24), *piece, *other;

    free(neighbour);
    before[3] = 0x41;                                   /* deed */
    free(grown);
    piece = malloc(56);                                 /* impossible */
    other = malloc(24);                                 /* also */
    fact("impossible", piece == grown && other == neighbour && other < piece + 7);
    return 0;
}
