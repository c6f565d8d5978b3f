/* A freed piece is written to where the thread's cache keeps its link; nobody asks for one of that size again.
 *
 * Broken: a write to a piece after its free.
 * Impossible: nothing in the calls. In the heap at its end the cache counts two pieces, and the list leads nowhere.
 *
 * expect rule write-after-free
 * expect sign final-heap
 * expect ends exit 0
 */
#include "chunk.h"

int main(void)
{
    long *last = malloc(104), *head = malloc(104);

    free(last);
    free(head);
    head[0] = 1009;                                     /* deed */
    return 0;
}
