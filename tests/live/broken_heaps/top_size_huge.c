/* The size of the top chunk becomes the largest there is, so that no request would ever ask the kernel again. Since
 * 2.29 the library knows that the heap is not so large.
 *
 * Broken: a write behind the end of a piece, eight bytes.
 * Impossible: malloc ends the program.
 *
 * expect rule overflow
 * expect sign abort
 * expect says malloc(): corrupted top size
 * expect ends SIGABRT
 */
#include "chunk.h"

int main(void)
{
    size_t *last = malloc(24);

    last[3] = SIZE_MAX;                                 /* deed */
    malloc(4000);                                       /* impossible */
    return 0;
}
