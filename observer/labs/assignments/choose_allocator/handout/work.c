/* work.c: pieces that come and go, and one that goes for good. It is given: do not change it. */
#include "settings.h"

#include <stdlib.h>

int main(void)
{
    char *piece[PIECES], *large, *label;

    settings();
    large = malloc(LARGE); // @LARGE
    for (int round = 0; round < ROUNDS; round++) {
        for (int at = 0; at < PIECES; at++) piece[at] = malloc(SIZE); // @TAKE
        for (int at = 0; at < PIECES; at++) piece[at][0] = 1;
        for (int at = 0; at < PIECES; at++) free(piece[at]); // @GIVE
    }
    label = malloc(100); // @LABEL
    free(large); // @RETURN
    free(label);
    return 0;
}
