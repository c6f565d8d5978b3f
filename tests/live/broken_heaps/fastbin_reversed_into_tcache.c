/* When the thread's cache is empty, a request served by a fast bin moves the rest of the bin into it, last one first.
 * The link of the last one leads to the stack, so that is where the cache then begins.
 *
 * Broken: a write to a piece after its free.
 * Impossible: the very next malloc returns an address on the stack.
 *
 * expect rule write-after-free
 * expect sign elsewhere
 * expect ends exit 0
 */
#include "chunk.h"

int main(void)
{
    _Alignas(16) uintptr_t local[8] = {0};
    uintptr_t *pieces[7];
    void *first, *second;

    take_seven(40);
    for (int i = 0; i < 7; i++)
        pieces[i] = malloc(40);
    give_seven();
    for (int i = 0; i < 7; i++)
        free(pieces[i]);
    local[2] = hidden(local + 2, NULL);
    pieces[0][0] = hidden(pieces[0], local);            /* deed */
    take_seven(40);
    first = malloc(40);
    second = malloc(40);                                /* impossible */
    fact("impossible", first == pieces[6] && second == local + 2);
    return 0;
}
