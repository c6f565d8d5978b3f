/* The link in a freed piece of the thread's cache is made to lead to a local array: the list ends there now.
 *
 * Broken: a write to the first word of a piece after its free.
 * Impossible: the second malloc returns an address on the stack.
 *
 * expect rule write-after-free
 * expect sign elsewhere
 * expect ends exit 0
 */
#include "chunk.h"

int main(void)
{
    _Alignas(16) long local[8] = {0};
    uintptr_t *last = malloc(40), *head = malloc(40);
    void *first, *second;

    free(last);
    free(head);
    head[0] = hidden(head, local);                      /* deed */
    first = malloc(40);
    second = malloc(40);                                /* impossible */
    fact("impossible", first == head && second == local);
    return 0;
}
