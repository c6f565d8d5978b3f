/* A library with a malloc that needs no data of its own. */
#include <stddef.h>

void *malloc(size_t size)
{
    return size > 17 ? (char *)4096 + size : NULL;
}
