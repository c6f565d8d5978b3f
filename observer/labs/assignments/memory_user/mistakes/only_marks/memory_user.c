/* memory_user.c: goes twice through MIB MiB, a page at a time. */
#include <stdlib.h>
#include <sys/mman.h>

#include "parameters.h"

#define PAGE 4096L
#define SIZE (MIB << 20)

int main(void)
{
    void *given;
    if (posix_memalign(&given, PAGE, SIZE) != 0) return 1;
    char *piece = given;
    for (long at = 0; at < SIZE; at += PAGE) piece[at] = 1; // @FIRST
    madvise(piece, AGAIN << 20, MADV_SEQUENTIAL); // @BETWEEN
    for (long at = 0; at < SIZE; at += PAGE) piece[at] = 2; // @SECOND
    free(piece);
    return 0;
}
