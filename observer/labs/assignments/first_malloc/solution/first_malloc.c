/* first_malloc.c: ten pieces, one after the other. Which of these calls enter the kernel? */
#include <malloc.h>
#include <stdlib.h>

#include "parameters.h"

int main(void)
{
    char *piece[10];

    mallopt(M_TOP_PAD, 10 * (SIZE + 16));
    for (int i = 0; i < 10; i++)
        piece[i] = malloc(SIZE); // @LOOP
    for (int i = 0; i < 10; i++)
        free(piece[i]);
    return 0;
}
