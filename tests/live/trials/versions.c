/* A library in which free has two versions, as after an incompatible change: each a function of its own. */
#include <stddef.h>

static char piece[64];

void *malloc(size_t size)
{
    return size <= sizeof piece ? piece : NULL;
}

void old_free(void *given)
{
    *(char *)given = 1;
}

void new_free(void *given)
{
    *(char *)given = 2;
}

__asm__(".symver old_free,free@V1\n.symver new_free,free@@V2");
