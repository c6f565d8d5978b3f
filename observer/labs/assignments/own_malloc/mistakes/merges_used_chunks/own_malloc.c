/* own_malloc.c: first fit in a list of chunks that lie one behind the other, split and merged. */
#include "own_malloc.h"

#include <unistd.h>

#define GROWTH 8192

struct header {
    size_t size; /* bytes, with this header */
    size_t used;
};

static char *start, *end;

static struct header *behind(struct header *chunk)
{
    return (struct header *)((char *)chunk + chunk->size);
}

/* Makes one chunk of a free one and all free ones behind it. */
static void merge(struct header *chunk)
{
    while ((char *)behind(chunk) < end)
        chunk->size += behind(chunk)->size;
}

static struct header *find(size_t needed, struct header **last)
{
    *last = NULL;
    for (struct header *chunk = (struct header *)start; (char *)chunk < end; chunk = behind(chunk)) {
        if (!chunk->used)
            merge(chunk);
        if (!chunk->used && chunk->size >= needed)
            return chunk;
        *last = chunk;
    }
    return NULL;
}

/* Moves the break, so that the last chunk is free and has `needed` bytes. */
static struct header *grow(size_t needed, struct header *last)
{
    int is_free = last != NULL && !last->used;
    size_t missing = is_free ? needed - last->size : needed;
    size_t growth = (missing + GROWTH - 1) / GROWTH * GROWTH;
    struct header *chunk = sbrk(growth);

    if (chunk == (void *)-1)
        return NULL;
    if (start == NULL)
        start = (char *)chunk;
    end = (char *)chunk + growth;
    chunk->size = growth;
    chunk->used = 0;
    if (!is_free)
        return chunk;
    merge(last);
    return last;
}

static void split(struct header *chunk, size_t needed)
{
    if (chunk->size < needed + 2 * sizeof *chunk)
        return;
    struct header *rest = (struct header *)((char *)chunk + needed);
    rest->size = chunk->size - needed;
    rest->used = 0;
    chunk->size = needed;
}

void *my_malloc(size_t size)
{
    size_t needed = (sizeof(struct header) + size + 15) / 16 * 16;
    struct header *last;
    struct header *chunk = find(needed, &last);

    if (chunk == NULL)
        chunk = grow(needed, last);
    if (chunk == NULL)
        return NULL;
    split(chunk, needed);
    chunk->used = 1;
    return chunk + 1;
}

void my_free(void *piece)
{
    ((struct header *)piece - 1)->used = 0;
}
