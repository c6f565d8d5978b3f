/* A piece is freed twice in a row, with the thread's cache full.
 *
 * Broken: free() of a pointer that was freed already.
 * Impossible: free ends the program.
 *
 * expect rule freed-before
 * expect sign abort
 * expect says double free or corruption (fasttop)
 * expect ends SIGABRT
 */
#include "chunk.h"

int main(void)
{
    void *piece;

    take_seven(40);
    piece = malloc(40);
    give_seven();
    free(piece);
    free(piece);                                        /* deed */ /* impossible */
    return 0;
}
