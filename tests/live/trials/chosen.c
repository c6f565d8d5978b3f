/* A library whose malloc is one of two functions, chosen as it is loaded (STT_GNU_IFUNC): by an address in the code, or
 * -DTABLE, out of a table. -DSHARED_CHOICE exports the two functions. */
#include <stddef.h>

#ifdef SHARED_CHOICE
#define CHOICE
#else
#define CHOICE static
#endif

static char piece[128];

CHOICE void *simple(size_t size)
{
    return size <= sizeof piece ? piece : NULL;
}

CHOICE void *thorough(size_t size)
{
    return size <= sizeof piece / 2 ? piece + sizeof piece / 2 : simple(size);
}

static void *choose(void)
{
    __builtin_cpu_init();
#ifdef TABLE
    static void *(*const table[])(size_t) = {simple, thorough};
    return table[!!__builtin_cpu_supports("sse4.2")];
#else
    return __builtin_cpu_supports("sse4.2") ? thorough : simple;
#endif
}

void *malloc(size_t size) __attribute__((ifunc("choose")));

void free(void *given)
{
    if (given != NULL)
        *(char *)given = 1;
}

int plus(int x)
{
    return x + 1;
}

int twice(int x)
{
    return 2 * x;
}
