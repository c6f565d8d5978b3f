/* sparse_array.c: a table of 64 MiB, of which few pages are used. */
#include <stdlib.h>

#include "parameters.h"

#define RESERVED (64 << 20)

int main(void)
{
    char *table = malloc(RESERVED); // @RESERVE
    if (table == NULL)
        return 1;
    for (long at = 0; at < RESERVED; at += 512) table[at] = 0; // @TOUCH
    (void)table; // @RETURN
    return 0;
}
