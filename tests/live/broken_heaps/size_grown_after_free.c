/* The same after the piece was freed: its size stands at its end, too, where the library looks when it takes it.
 *
 * Broken: a write behind the end of a piece, eight bytes.
 * Impossible: malloc ends the program.
 *
 * expect rule overflow
 * expect sign abort
 * expect says malloc(): mismatching next->prev_size (unsorted)
 * expect ends SIGABRT
 */
#include "chunk.h"

int main(void)
{
    size_t *before = malloc(24), *grown = malloc(0x4f8);

    malloc(0x88);
    malloc(24);
    free(grown);
    before[3] = 0x591;                                  /* deed */
    malloc(0x588);                                      /* impossible */
    return 0;
}
