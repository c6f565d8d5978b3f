/* own_malloc.h: an allocator of your own. */
#include <stddef.h>

/* Gives a piece of `size` bytes, NULL if there is no memory left. */
void *my_malloc(size_t size);

/* Takes a piece back that my_malloc gave. */
void my_free(void *piece);
