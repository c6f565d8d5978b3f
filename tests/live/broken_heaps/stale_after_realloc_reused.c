/* realloc moved the piece; another malloc got its old place; then the old pointer is freed.
 *
 * Broken: free() of a pointer that realloc has given back already.
 * Impossible: only for the program, two of whose pieces are one. Calls alone show a piece that is given back once.
 *
 * expect rule freed-before
 * expect sign nothing
 * expect ends exit 0
 */
#include "chunk.h"

int main(void)
{
    char *old = malloc(40), *moved, *owned, *other;

    malloc(24);
    moved = realloc(old, 3000);
    owned = malloc(40);
    free(old);                                          /* deed */
    other = malloc(40);
    fact("impossible", moved != old && owned == old && other == owned);
    return 0;
}
