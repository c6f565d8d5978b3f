/* first_malloc.c: ten pieces, one after the other. Which of these calls enter the kernel? */
#include <stdlib.h>

#include "parameters.h"

int main(void)
{
    char *piece[10];

    for (int i = 0; i < 10; i++)
        piece[i] = malloc(SIZE / 10); // @LOOP
    for (int i = 0; i < 10; i++)
        free(piece[i]);
    return 0;
}
