/* A piece is freed twice, another one between: the fast bin only looks at its first entry and takes it again.
 *
 * Broken: free() of a pointer that was freed already, at the third free below.
 * Impossible: the third calloc returns what the first returned and nobody gave back.
 *
 * expect rule freed-before
 * expect sign two-hands
 * expect ends exit 0
 */
#include "chunk.h"

int main(void)
{
    long *one, *other, *first, *second, *third;

    take_seven(40);
    one = malloc(40);
    other = malloc(40);
    give_seven();                                       /* the thread's cache is full: what follows goes to the bin */
    free(one);
    free(other);
    free(one);                                          /* deed */
    first = calloc(1, 40);
    second = calloc(1, 40);
    third = calloc(1, 40);                              /* impossible */
    fact("impossible", first == one && second == other && third == first);
    return 0;
}
