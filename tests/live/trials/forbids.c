/* Forbids others to look at it; then it loads LIBRARY, uses its malloc and free, and attaches shared memory. */
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/shm.h>

int main(int count, char **words)
{
    free(malloc(5));
    if (count != 2 || prctl(PR_SET_DUMPABLE, 0) != 0)
        return 1;
    void *library = dlopen(words[1], RTLD_NOW);
    int id = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
    void *attached = shmat(id, NULL, 0);
    shmctl(id, IPC_RMID, NULL);
    if (library == NULL || attached == (void *)-1)
        return 1;
    void *(*take)(size_t) = dlsym(library, "malloc");
    void (*give)(void *) = dlsym(library, "free");
    for (int i = 0; i < 20; i++)
        give(take(96));
    return 0;
}
