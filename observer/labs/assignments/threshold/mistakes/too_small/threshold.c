/* threshold.c: the smallest size that gets a mapping of its own. */
#include <malloc.h>
#include <stdlib.h>

#include "parameters.h"

#define ANSWER (LIMIT - 32)

int main(void)
{
    mallopt(M_MMAP_THRESHOLD, LIMIT);
    char *below = malloc(ANSWER - 1); // @BELOW
    char *above = malloc(ANSWER); // @ABOVE
    free(above);
    free(below);
    return 0;
}
