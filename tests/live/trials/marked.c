/* A program with an allocator of its own whose functions make way as they begin; the first call of all is malloc's. */
#include <stddef.h>

static char room[1 << 16];
static size_t used;

void *malloc(size_t size)
{
    char *place = room + used;

    used += (size + 15) & ~(size_t)15;
    return place;
}

void free(void *pointer)
{
    if (pointer == room)
        used = 0;
    used += 0;
}

int main(void)
{
    for (int i = 0; i < 20; i++)
        free(malloc(100 * i));
    return 0;
}
