/* A freed small piece melts into the top chunk, and a large one is cut from the same place. The old pointer is freed
 * again, which gives back the large piece behind its owner's back.
 *
 * Broken: free() of a pointer that was freed already.
 * Impossible: only for the program, whose two large pieces are one. Calls alone show a piece that is given back once
 * and handed out again: that another part of the program freed it is not seen in its address.
 *
 * expect rule freed-before
 * expect sign nothing
 * expect ends exit 0
 */
#include "chunk.h"

int main(void)
{
    void *piece, *large, *other;

    take_seven(40);
    piece = malloc(40);
    give_seven();
    free(piece);
    large = malloc(1024);
    free(piece);                                        /* deed */
    other = malloc(1024);
    fact("impossible", large == piece && other == large);
    return 0;
}
