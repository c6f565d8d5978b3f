/* A local array is freed.
 *
 * Broken: free() of a pointer that no malloc returned.
 * Impossible: free ends the program.
 *
 * expect rule never-given
 * expect sign abort
 * expect says free(): invalid pointer
 * expect ends SIGABRT
 */
#include "chunk.h"

int main(void)
{
    _Alignas(16) long local[8] = {0};

    malloc(24);
    free(local + 2);                                    /* deed */ /* impossible */
    return 0;
}
