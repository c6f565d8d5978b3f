/* zero_page.c: pages of zeros, read and then written. */
#include <stdlib.h>
#include <string.h>

#include "parameters.h"

#define PAGE 4096L

int main(void)
{
    volatile char sum = 0;
    char *zeros = calloc(COUNT, PAGE);
    memset(zeros, 0, COUNT * PAGE);
    for (long page = 0; page < COUNT; page++) sum += zeros[page * PAGE]; // @READ
    for (long page = 0; page < COUNT; page++) zeros[page * PAGE] = 1; // @WRITE
    free((void *)zeros);
    return 0;
}
