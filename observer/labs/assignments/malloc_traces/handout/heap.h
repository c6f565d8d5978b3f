/* heap.h: a heap of chunks that lie one behind the other. */
#include <stddef.h>

struct chunk {
    size_t size; /* bytes, with this header */
    size_t used;
};

extern struct chunk *heap_start, *heap_end; /* the first chunk, and where none is any more */
extern struct chunk *rover;                 /* the chunk behind the one that was given last, or heap_end */

struct chunk *behind(struct chunk *chunk); /* the chunk that follows */

/* A way to choose: gives a free chunk of at least `needed` bytes, NULL if there is none. */
typedef struct chunk *fit(size_t needed);

fit first_fit, next_fit, best_fit;

/* Which of them is to play each trace. */
extern fit *for_holes, *for_window, *for_slivers;
