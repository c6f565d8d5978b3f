/* Random calls of the whole family in several threads, pieces left alive, and an end of one's choice.

   pieces STEPS THREADS END: returns, exit (while the others are at work), fork, sbrk, trim, blocked, abort, threads. */
#define _GNU_SOURCE
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SLOTS = 197 };
static int steps;

static void *churn(void *number)
{
    unsigned state = (unsigned)(long)number;
    void *slots[SLOTS] = {0};
    for (int i = 0; i < steps; i++) {
        unsigned drawn = rand_r(&state), slot = drawn % SLOTS;
        size_t size = 1 + rand_r(&state) % (drawn >> 20 & 7 ? 900 : drawn >> 23 & 3 ? 9000 : 300000);
        void *piece = slots[slot];
        switch (drawn >> 8 & 7) {
        case 0: case 1: free(piece); piece = NULL; break;
        case 2: case 3: free(piece); piece = malloc(size); break;
        case 4: free(piece); piece = calloc(1, size); break;
        case 5: piece = realloc(piece, size); break;
        case 6: free(piece); piece = memalign(16 << drawn % 9, size); break;
        case 7: free(piece); piece = NULL; if (posix_memalign(&piece, 8 << drawn % 6, size)) piece = NULL; break;
        }
        if (piece)
            memset(piece, 7, size);
        slots[slot] = piece;
    }
    return NULL;
}

static void child(void)
{
    pid_t made = fork();
    if (!made) {
        churn((void *)77L);
        _exit(0);
    }
    waitpid(made, NULL, 0);
}

/* A mapping two pages above the break: brk(2) is refused from there on. */
static void block(void)
{
    uintptr_t end = ((uintptr_t)sbrk(0) + 4095) & ~(uintptr_t)4095;
    mmap((void *)(end + 8192), 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
}

int main(int argc, char **argv)
{
    const char *end = argc > 3 ? argv[3] : "returns";
    int threads = argc > 2 ? atoi(argv[2]) : 0;
    pthread_t made[32];
    steps = argc > 1 ? atoi(argv[1]) : 300;
    if (!strcmp(end, "blocked")) {
        free(malloc(1));
        block();
    }
    for (long i = 0; i < threads; i++)
        pthread_create(&made[i], NULL, churn, (void *)(i + 5));
    if (!strcmp(end, "exit")) {
        usleep(20000);
        exit(0);
    }
    churn((void *)1L);
    if (!strcmp(end, "fork"))
        child();
    for (int i = 0; i < threads; i++)
        pthread_join(made[i], NULL);
    if (!strcmp(end, "sbrk")) {
        sbrk(10000);
        churn((void *)99L);
        sbrk(4096);
        churn((void *)101L);
    }
    if (!strcmp(end, "trim"))
        malloc_trim(0);
    if (!strcmp(end, "threads"))
        child();
    if (!strcmp(end, "abort"))
        abort();
    return 0;
}
