/* fits.c: how to choose a free chunk. No two free chunks are neighbours: they are merged before you are asked. */
#include "heap.h"

struct chunk *first_fit(size_t needed)
{
    for (struct chunk *chunk = heap_start; chunk < heap_end; chunk = behind(chunk))
        if (!chunk->used && chunk->size >= needed)
            return chunk;
    return NULL;
}

/* As first fit, but it begins at the rover, and goes on from the start of the heap when it has come to its end. */
struct chunk *next_fit(size_t needed)
{
    for (struct chunk *chunk = rover; chunk < heap_end; chunk = behind(chunk))
        if (!chunk->used && chunk->size >= needed)
            return chunk;
    return NULL;
}

/* The smallest chunk that is large enough; of several, the first one. */
struct chunk *best_fit(size_t needed)
{
    struct chunk *best = NULL;

    for (struct chunk *chunk = heap_start; chunk < heap_end; chunk = behind(chunk))
        if (!chunk->used && chunk->size >= needed && (best == NULL || chunk->size < best->size))
            best = chunk;
    return best;
}

fit *for_holes = best_fit, *for_window = first_fit, *for_slivers = first_fit;
