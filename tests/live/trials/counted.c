/* Asks for SIZE bytes TIMES times and gives them back. Before that, it may take its own file away or put another there. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#ifndef TIMES
#define TIMES 5
#endif
#ifndef SIZE
#define SIZE 777
#endif

int main(int count, char **words)
{
    if (count == 2 && unlink(words[0]) != 0)
        return 1;
    if (count == 3 && rename(words[2], words[0]) != 0)
        return 1;
    for (int i = 0; i < TIMES; i++)
        free(malloc(SIZE)); /* here */
    return 0;
}
