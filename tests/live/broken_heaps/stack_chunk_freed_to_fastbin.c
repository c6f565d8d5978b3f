/* The same with the thread's cache full: the fast bin also looks at the size behind, which is forged as well.
 *
 * Broken: free() of a pointer that no malloc returned.
 * Impossible: calloc returns an address on the stack.
 *
 * expect rule never-given
 * expect sign elsewhere
 * expect ends exit 0
 */
#include "chunk.h"

int main(void)
{
    _Alignas(16) size_t local[12] = {0, 0x41, 0, 0, 0, 0, 0, 0, 0, 0x1230};
    void *piece;

    take_seven(48);
    give_seven();
    free(local + 2);                                    /* deed */
    piece = calloc(1, 48);                              /* impossible */
    fact("impossible", piece == local + 2);
    return 0;
}
