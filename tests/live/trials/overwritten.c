/* Writes over the size of a piece of its own, which then goes to where smaller ones wait; goes on with large pieces. */
#include <stdlib.h>

int main(void)
{
    long *piece = malloc(88), *behind = malloc(24);
    void *volatile again;

    piece[-1] = 0x21;
    free(piece);
    again = malloc(24);             /* it comes back as one of 24 bytes */
    for (int i = 0; i < 6; i++)
        again = malloc(60000 + 4000 * i);
    free(behind);
    return again == NULL;
}
