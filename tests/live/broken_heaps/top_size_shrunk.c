/* The last piece runs over the size of the top chunk, which seems too small now: malloc asks the kernel for more, and
 * frees what it believes is left of the old top.
 *
 * Broken: a write behind the end of a piece, eight bytes.
 * Impossible: nothing in the calls, though the break moves while there is room. In the heap at its end lies, between
 * two marks as only a foreign sbrk leaves them, a stretch that is in no chunk.
 *
 * expect rule overflow
 * expect sign final-heap
 * expect ends exit 0
 */
#include "chunk.h"

int main(void)
{
    size_t *last = malloc(0x408), *top = last + 0x408 / 8, *piece;

    *top = *top & 0xfff;                                /* deed */
    malloc(0x3000);
    piece = malloc(0x508);                              /* of the old top */
    fact("freed_by_malloc", piece == top + 1);
    return 0;
}
