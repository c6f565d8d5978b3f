/* A double free gives one piece out while the bin still lists it: what its new owner writes is the bin's next link.
 *
 * Broken: free() of a pointer that was freed already.
 * Impossible: first the third calloc returns a piece in use; then the fourth returns an address on the stack.
 *
 * expect rule freed-before
 * expect sign two-hands
 * expect also elsewhere
 * expect ends exit 0
 */
#include "chunk.h"

int main(void)
{
    _Alignas(16) size_t local[16] = {0, 0x31};
    uintptr_t *one, *other, *first;
    void *second, *third, *fourth;

    take_seven(40);
    one = malloc(40);
    other = malloc(40);
    give_seven();
    free(one);
    free(other);
    free(one);                                          /* deed */
    first = calloc(1, 40);
    first[0] = hidden(first, local);
    second = calloc(1, 40);
    third = calloc(1, 40);                              /* impossible */
    fourth = calloc(1, 40);                             /* also */
    fact("impossible", second == other && third == first && fourth == local + 2);
    return 0;
}
