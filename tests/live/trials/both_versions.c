/* Calls both versions of free in LIBRARY: the old one 3 times, the new one 4 times. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>

int main(int count, char **words)
{
    void *library = count == 2 ? dlopen(words[1], RTLD_NOW) : NULL;
    if (library == NULL)
        return 1;
    void *(*take)(size_t) = dlsym(library, "malloc");
    void (*old)(void *) = dlvsym(library, "free", "V1"), (*new)(void *) = dlvsym(library, "free", "V2");
    for (int i = 0; i < 7; i++)
        (i < 3 ? old : new)(take(48));
    return 0;
}
