/* The link in a freed piece is overwritten by what happens to be written there; the library follows it and crashes.
 *
 * Broken: a write to the first word of a piece after its free.
 * Impossible: nothing that a call returned. The second malloc dies of SIGSEGV; the list of the thread's cache, as it
 * then stands, begins outside every mapping.
 *
 * expect rule write-after-free
 * expect sign final-heap
 * expect ends SIGSEGV
 */
#include "chunk.h"

int main(void)
{
    uintptr_t *last = malloc(40), *head = malloc(40);

    free(last);
    free(head);
    head[0] = hidden(head, (void *)0x7171717171717170); /* deed */
    malloc(40);
    malloc(40);                                         /* impossible */
    return 0;
}
