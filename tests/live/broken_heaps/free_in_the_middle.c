/* A pointer was moved while it was read through, and is freed where it then stands.
 *
 * Broken: free() of a pointer into a piece, not to its start.
 * Impossible: free ends the program.
 *
 * expect rule inside
 * expect sign abort
 * expect says free(): invalid pointer
 * expect ends SIGABRT
 */
#include "chunk.h"

int main(void)
{
    long *reader = calloc(25, sizeof *reader), sum = 0;

    for (int i = 0; i < 4; i++)
        sum += *reader++;
    free(reader);                                       /* deed */ /* impossible */
    return sum != 0;
}
