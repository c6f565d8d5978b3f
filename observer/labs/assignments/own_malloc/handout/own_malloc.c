/* own_malloc.c: an allocator that asks the kernel each time, and forgets what it is given back. */
#include "own_malloc.h"

#include <unistd.h>

struct header {
    size_t size; /* bytes, with this header */
};

void *my_malloc(size_t size)
{
    size_t needed = (sizeof(struct header) + size + 7) / 8 * 8;
    struct header *header = sbrk(needed);

    if (header == (void *)-1)
        return NULL;
    header->size = needed;
    return header + 1;
}

void my_free(void *piece)
{
    (void)piece;
}
