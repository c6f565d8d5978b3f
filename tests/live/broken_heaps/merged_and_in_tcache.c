/* With the thread's cache full, two neighbours are freed and become one chunk. Then the cache has a place again, and
 * the second of them is freed once more: it waits there, and inside the merged chunk.
 *
 * Broken: free() of a pointer that was freed already.
 * Impossible: malloc returns an address inside a piece in use.
 *
 * expect rule freed-before
 * expect sign overlap
 * expect ends exit 0
 */
#include "chunk.h"

int main(void)
{
    char *before, *piece, *both, *again;

    take_seven(0x108);
    before = malloc(0x108);
    piece = malloc(0x108);
    malloc(24);
    give_seven();
    free(piece);
    free(before);
    malloc(0x108);
    free(piece);                                        /* deed */
    both = malloc(0x218);
    again = malloc(0x108);                              /* impossible */
    fact("impossible", both == before && again == piece && again < both + 0x218);
    return 0;
}
