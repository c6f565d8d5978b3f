/* Pieces are filled up to what malloc_usable_size says: more than was asked for, up to the next piece's size.
 *
 * Suspicious: writes behind what was asked for, also in the word that a free chunk's successor would read.
 *
 * expect rule none
 * expect sign nothing
 * expect ends exit 0
 */
#include "chunk.h"

int main(void)
{
    char *pieces[103];
    size_t more = 0;

    for (int i = 0; i < 103; i++) {
        size_t asked = 1 + i * 37, usable;

        pieces[i] = malloc(asked);
        usable = malloc_usable_size(pieces[i]);
        memset(pieces[i], 0xff, usable);
        more += usable - asked;
    }
    for (int i = 0; i < 103; i++)
        free(pieces[i * 2 % 103]);
    fact("more_than_asked", more > 0);
    return 0;
}
