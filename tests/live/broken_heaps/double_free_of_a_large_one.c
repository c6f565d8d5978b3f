/* A piece too large for the thread's cache is freed twice; its successor knows that it is free.
 *
 * Broken: free() of a pointer that was freed already.
 * Impossible: free ends the program.
 *
 * expect rule freed-before
 * expect sign abort
 * expect says double free or corruption (!prev)
 * expect ends SIGABRT
 */
#include "chunk.h"

int main(void)
{
    void *piece = malloc(3000);

    malloc(24);
    free(piece);
    free(piece);                                        /* deed */ /* impossible */
    return 0;
}
