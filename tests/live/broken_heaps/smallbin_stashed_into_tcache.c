/* A request served by a small bin moves the bin's other chunks into the thread's cache, and there nobody compares
 * their links: a forged one leads to the stack.
 *
 * Broken: a write to a piece after its free.
 * Impossible: malloc returns an address on the stack. The library also wrote a bin's address to where the forged chunk
 * said its neighbour was.
 *
 * expect rule write-after-free
 * expect sign elsewhere
 * expect ends exit 0
 */
#include "chunk.h"

int main(void)
{
    _Alignas(16) size_t local[0x100 / 8] = {0};
    struct chunk *forged = (struct chunk *)local, neighbour = {0};
    size_t *pieces[9];
    void *first, *second;

    for (int i = 0; i < 9; i++)
        pieces[i] = malloc(0x98);
    free(pieces[1]);
    for (int i = 3; i < 9; i++)
        free(pieces[i]);
    free(pieces[0]);                                    /* the cache is full */
    free(pieces[2]);
    malloc(0xb8);                                       /* sorts both into their small bin */
    malloc(0x98);
    malloc(0x98);                                       /* two places in the cache */
    forged->bk = &neighbour;
    pieces[2][1] = (size_t)forged;                      /* deed */
    first = calloc(1, 0x98);
    second = malloc(0x98);                              /* impossible */
    fact("impossible", first == pieces[0] && second == piece_of(forged) && neighbour.fd != NULL);
    return 0;
}
