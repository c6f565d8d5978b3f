/* The size of the top chunk is made so small that malloc, asking for more, frees the old top into the thread's cache,
 * though the program never frees it. The piece before goes on running over its end, into the cache's link.
 *
 * Broken: a write behind the end of a piece.
 * Impossible: a malloc returns an address on the stack.
 *
 * expect rule overflow
 * expect sign elsewhere
 * expect ends exit 0
 */
#include "chunk.h"

int main(void)
{
    _Alignas(16) long local[32] = {0};
    char *other = malloc(0xd8);
    size_t to_page_end = 4096 - ((uintptr_t)(other + 0xd0) & 4095), asked = to_page_end - 0x100 - 8;
    size_t *last = malloc(asked), *top = last + asked / 8;
    void *first, *second;

    free(other);
    *top = 0x101;                                       /* deed */
    malloc(0x3000);
    top[1] = hidden(top + 1, local);
    first = malloc(0xd8);
    second = malloc(0xd8);                              /* impossible */
    fact("impossible", first == top + 1 && second == local);
    return 0;
}
