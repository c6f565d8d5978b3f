/* use_after_free.c: two pieces, used at the wrong time. */
#include <stdlib.h>

#include "parameters.h"

int main(void)
{
    char *small = malloc(SMALL);
    char *large = malloc(LARGE);
    free(small);
    free(large);
    return 0;
}
