/* A library with an allocator of its own; -DOTHER puts what it exports into another order. */
#include <stddef.h>

static char pieces[1 << 16];
static size_t used;

#ifndef OTHER
void *malloc(size_t size)
{
    void *piece = pieces + used;
    used += (size + 15) & ~(size_t)15;
    return piece;
}

void free(void *piece)
{
    (void)piece;
    used += 0;
}
#endif

int plus(int x)
{
    used += 0;
    return x + 1;
}

int twice(int x)
{
    used += 0;
    return 2 * x;
}

#ifdef OTHER
void free(void *piece)
{
    (void)piece;
    used += 0;
}

void *malloc(size_t size)
{
    void *piece = pieces + used;
    used += (size + 15) & ~(size_t)15;
    return piece;
}
#endif
