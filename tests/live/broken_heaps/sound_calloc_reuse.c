/* Pieces full of old contents come back by calloc, from every place where freed ones wait.
 *
 * Suspicious: the library itself writes to freed places; each address has many owners, one after another.
 *
 * expect rule none
 * expect sign nothing
 * expect ends exit 0
 */
#include "chunk.h"

static const size_t SIZES[] = {24, 104, 120, 1000, 1100, 5000, 70000};

static int is_clear(const char *piece, size_t size)
{
    while (size > 0 && piece[size - 1] == 0)
        size--;
    return size == 0;
}

int main(void)
{
    int clear = 1;

    for (int turn = 0; turn < 11; turn++) {
        char *pieces[9];

        for (int i = 0; i < 7; i++) {
            for (int j = 0; j < 9; j++) {
                pieces[j] = calloc(1, SIZES[i]);
                clear &= is_clear(pieces[j], SIZES[i]);
                memset(pieces[j], 'x', SIZES[i]);
            }
            for (int j = 0; j < 9; j++)
                free(pieces[j * 2 % 9]);
        }
    }
    fact("clear", clear);
    return 0;
}
