/* A local array with a size where a chunk has it is freed; the thread's cache believes it.
 *
 * Broken: free() of a pointer that no malloc returned.
 * Impossible: malloc returns an address on the stack.
 *
 * expect rule never-given
 * expect sign elsewhere
 * expect ends exit 0
 */
#include "chunk.h"

int main(void)
{
    _Alignas(16) size_t local[10] = {0, 0x41};
    void *piece;

    malloc(1);
    free(local + 2);                                    /* deed */
    piece = malloc(48);                                 /* impossible */
    fact("impossible", piece == local + 2);
    return 0;
}
