/* Pieces of two C libraries in one process: the second is opened in a namespace of its own (dlmopen(3)). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>

int main(void)
{
    void *library = dlmopen(LM_ID_NEWLM, "libc.so.6", RTLD_NOW);
    void *(*other_malloc)(size_t) = (void *(*)(size_t))dlsym(library, "malloc");
    void (*other_free)(void *) = (void (*)(void *))dlsym(library, "free");
    void *mine[40], *theirs[40];

    for (int i = 0; i < 40; i++) {
        mine[i] = malloc(90 * i);
        theirs[i] = other_malloc(70 * i);
    }
    for (int i = 0; i < 40; i += 3) {
        free(mine[i]);
        other_free(theirs[i]);
    }
    other_free(other_malloc(400000));
    return malloc(1200) == NULL || other_malloc(1200) == NULL;
}
