/* quiet_loop.c: the same four pieces, asked for, used and given back in every round. */
#include <malloc.h>
#include <stdlib.h>

#include "parameters.h"

#define PIECES 4
#define PAGE 4096

int main(void)
{
    char *piece[PIECES];

    mallopt(M_MMAP_THRESHOLD, 16 << 20);
    mallopt(M_TRIM_THRESHOLD, 16 << 20);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < PIECES && round == 0; i++) piece[i] = malloc(SIZE); // @ASK
        for (int i = 0; i < PIECES; i++) for (int at = 0; at < SIZE; at += PAGE) piece[i][at] = 1; // @USE
        for (int i = 0; i < PIECES && round == ROUNDS - 1; i++) free(piece[i]); // @FREE
    }
    return 0;
}
