/* realloc moved the piece, and the old pointer is freed as well.
 *
 * Broken: free() of a pointer that realloc has given back already.
 * Impossible: free ends the program.
 *
 * expect rule freed-before
 * expect sign abort
 * expect says free(): double free detected in tcache 2
 * expect ends SIGABRT
 */
#include "chunk.h"

int main(void)
{
    char *old = malloc(40), *moved;

    malloc(24);
    moved = realloc(old, 3000);
    free(old);                                          /* deed */ /* impossible */
    free(moved);
    return 0;
}
