/* driver.c: asks for pieces and gives them back, in the same order for the same SEED. It is given: do not change it. */
#include <string.h>

#include "own_malloc.h"
#include "parameters.h"

#define SLOTS 40
#define LARGEST 4000

static char *piece[SLOTS];
static size_t size_of[SLOTS], held, most;
static unsigned state = SEED;

static unsigned chance(unsigned below)
{
    state = state * 1103515245u + 12345u;
    return (state >> 16) % below;
}

static void give_back(int slot)
{
    my_free(piece[slot]);
    held -= size_of[slot];
    piece[slot] = NULL;
}

int main(void)
{
    for (int request = 0; request < REQUESTS; request++) {
        int slot = chance(SLOTS);
        if (piece[slot] != NULL)
            give_back(slot);
        size_of[slot] = 1 + chance(chance(4) == 0 ? LARGEST : LARGEST / 8);
        piece[slot] = my_malloc(size_of[slot]); // @ASK
        if (piece[slot] == NULL)
            return 1;
        memset(piece[slot], slot + 1, size_of[slot]);
        held += size_of[slot];
        if (held > most)
            most = held;
    }
    for (int slot = 0; slot < SLOTS; slot++)
        if (piece[slot] != NULL)
            give_back(slot);
    char *whole = my_malloc(most); // @WHOLE
    if (whole == NULL)
        return 1;
    my_free(whole);
    return 0;
}
