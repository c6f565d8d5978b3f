/* A piece of 88 bytes says that it has 24 and is freed: it comes back as a small one, and 64 bytes belong to nobody.
 *
 * Broken: a write behind the end of a piece, eight bytes.
 * Impossible: nothing in the calls. Who walks the heap at its end steps from the small chunk into old contents.
 *
 * expect rule overflow
 * expect sign final-heap
 * expect ends exit 0
 */
#include "chunk.h"

int main(void)
{
    size_t *before = malloc(24), *shrunk = malloc(88);
    void *again;

    malloc(24);
    memset(shrunk, 'x', 88);
    before[3] = 0x21;                                   /* deed */
    free(shrunk);
    again = malloc(24);
    fact("reused", again == shrunk);
    return 0;
}
