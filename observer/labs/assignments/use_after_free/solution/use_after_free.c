/* use_after_free.c: two pieces, used at the wrong time. */
#include <stdlib.h>

#include "parameters.h"

int main(void)
{
    char *small = malloc(SMALL);
    char *large = malloc(LARGE);
    small[SMALL - 1] = 1; // @SMALL
    large[LARGE - 1] = 1; // @LARGE
    free(small);
    free(large);
    return 0;
}
