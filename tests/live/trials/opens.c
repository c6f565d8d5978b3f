/* Opens LIBRARY, takes its file away if asked to, and calls its malloc and free 20 times, and two functions beside. */
#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

int main(int count, char **words)
{
    void *library = dlopen(words[1], RTLD_NOW);
    if (library == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    if (count > 2 && unlink(words[1]) != 0)
        return 1;
    void *(*take)(size_t) = dlsym(library, "malloc");
    void (*give)(void *) = dlsym(library, "free");
    int (*plus)(int) = dlsym(library, "plus"), (*twice)(int) = dlsym(library, "twice");
    for (int i = 0; i < 20; i++) {
        give(take(96)); /* here */
        plus(i);
        twice(i);
    }
    return 0;
}
