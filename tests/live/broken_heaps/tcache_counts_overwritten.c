/* The thread's cache itself lies before the first piece: a write before that piece's start puts an entry into it.
 *
 * Broken: a write outside the piece, before it.
 * Impossible: malloc returns an address on the stack.
 *
 * expect rule overflow
 * expect sign elsewhere
 * expect ends exit 0
 */
#include "chunk.h"

int main(void)
{
    _Alignas(16) long local[8] = {0};
    char *first = malloc(24), *cache = first - 0x290;   /* 64 counts of two bytes, then 64 lists */
    void *piece;

    ((uint16_t *)cache)[1] = 1;                         /* deed */
    ((void **)(cache + 0x80))[1] = local;
    piece = malloc(40);                                 /* impossible */
    fact("impossible", piece == local);
    return 0;
}
