/* A piece is freed twice in a row.
 *
 * Broken: free() of a pointer that was freed already.
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
    void *piece = malloc(40);

    free(piece);
    free(piece);                                        /* deed */ /* impossible */
    return 0;
}
