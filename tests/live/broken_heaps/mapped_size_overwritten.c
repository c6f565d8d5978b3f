/* A mapped piece says that it is twice as long: its free unmaps the neighbour, too. What is mapped next lies there.
 *
 * Broken: a write behind the end of a piece.
 * Impossible: a free unmaps a piece in use; the last malloc returns a piece that covers it.
 *
 * expect rule overflow
 * expect sign overlap
 * expect ends exit 0
 */
#include "chunk.h"

enum { ASKED = 0x40000, MAPPED = 0x41000, MOST = 32 };

int main(void)
{
    char *pieces[MOST], *above, *large;
    size_t *below, *middle, words;
    int i = 0;

    do {                                                /* until three lie side by side */
        if (i == MOST)
            return 2;
        pieces[i] = malloc(ASKED);
    } while (++i < 3 || pieces[i - 1] + MAPPED != pieces[i - 2] || pieces[i - 2] + MAPPED != pieces[i - 3]);
    above = pieces[i - 3];
    middle = (size_t *)pieces[i - 2];
    below = (size_t *)pieces[i - 1];
    words = malloc_usable_size(below) / sizeof *below;
    below[words + 1] = 2 * MAPPED | 2;                  /* deed */
    free(below);
    free(middle);
    large = malloc(0xb0000);                            /* impossible */
    fact("impossible", large < above && above < large + 0xb0000);
    return 0;
}
