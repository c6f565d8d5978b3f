/* meanwhile TIMES: one thread maps and unmaps, another grows and shrinks the heap, while we fork. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096 };

static volatile int stop;

static void *maps(void *nothing)
{
    while (!stop) {
        char *area = mmap(NULL, 20 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        area[0] = 1;
        mprotect(area + PAGE, PAGE, PROT_READ);
        munmap(area + 3 * PAGE, PAGE);
        munmap(area, 20 * PAGE);
    }
    return nothing;
}

static void *breaks(void *nothing)
{
    while (!stop) {
        char *end = sbrk(5 * PAGE);
        memset(end, 1, 5 * PAGE);
        sbrk(-3 * PAGE);
    }
    return nothing;
}

int main(int argc, char **argv)
{
    pthread_t threads[2];
    pthread_create(&threads[0], NULL, maps, NULL);
    pthread_create(&threads[1], NULL, breaks, NULL);
    for (int i = argc > 1 ? atoi(argv[1]) : 0; i > 0; i--) {
        pid_t child = fork();
        if (child == 0) {
            memset(malloc(1000), 1, 1000);
            _exit(0);
        }
        waitpid(child, NULL, 0);
    }
    stop = 1;
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    return 0;
}
