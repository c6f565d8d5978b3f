/* A program with an allocator of its own, which never gives anything back. */
#include <stddef.h>
#include <string.h>

static char room[1 << 20];
static size_t used;

void *malloc(size_t size)
{
    char *place = room + used + 16;

    used += (size + 31) & ~(size_t)15;
    return place;
}

void free(void *pointer)
{
    (void)pointer;
}

void *calloc(size_t count, size_t size)
{
    return malloc(count * size);
}

void *realloc(void *pointer, size_t size)
{
    void *other = malloc(size);

    return pointer != NULL ? memcpy(other, pointer, size) : other;
}

int main(void)
{
    void *piece = calloc(3, 50);

    for (int i = 0; i < 20; i++)
        free(malloc(100 * i));
    piece = realloc(piece, 300);
    free(piece);
    return 0;
}
