/* The link in a freed piece is made to lead to a variable of the program, which a later malloc gives away.
 *
 * Broken: a write to the first word of a piece after its free.
 * Impossible: malloc returns the address of a static variable; what is written there changes the variable.
 *
 * expect rule write-after-free
 * expect sign elsewhere
 * expect ends exit 0
 */
#include "chunk.h"

static _Alignas(16) long balance[4] = {17, 17, 17, 17};

int main(void)
{
    uintptr_t *last = malloc(24), *head = malloc(24);
    long *first, *second;

    free(last);
    free(head);
    head[0] = hidden(head, balance);                    /* deed */
    first = malloc(24);
    second = malloc(24);                                /* impossible */
    second[2] = 1009;
    fact("impossible", second == balance && balance[2] == 1009);
    return 0;
}
