/* Random mallocs and frees in several threads, then SIGSTOP, then what glibc itself says of its heap.

   heap_said STEPS THREADS [SEED]: after SIGCONT prints `mallinfo NAME VALUE` lines and malloc_info(3)'s XML. */
#define _GNU_SOURCE
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum { SLOTS = 499 };
static pthread_barrier_t meeting;
static int steps, seed = 1;

static void churn(unsigned state)
{
    void **slots = calloc(SLOTS, sizeof *slots);
    for (int i = 0; i < steps; i++) {
        unsigned drawn = rand_r(&state), slot = drawn % SLOTS;
        size_t size = rand_r(&state) % (drawn >> 20 & 7 ? 200 : drawn >> 23 & 3 ? 3000 : 70000);
        free(slots[slot]);
        slots[slot] = drawn >> 16 & 1 ? malloc(size) : drawn >> 17 & 1 ? memalign(64, size) : NULL;
    }
}

static void *thread(void *number)
{
    churn(seed * 100 + (unsigned)(long)number);
    pthread_barrier_wait(&meeting);
    pthread_barrier_wait(&meeting);
    return NULL;
}

int main(int argc, char **argv)
{
    static char buffer[1 << 16];
    int threads = argc > 2 ? atoi(argv[2]) : 0;
    pthread_t made[64];
    steps = argc > 1 ? atoi(argv[1]) : 1000;
    seed = argc > 3 ? atoi(argv[3]) : 1;
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    pthread_barrier_init(&meeting, NULL, threads + 1);
    for (long i = 0; i < threads; i++)
        pthread_create(&made[i], NULL, thread, (void *)(i + 2));
    churn(seed * 100 + 1);
    pthread_barrier_wait(&meeting);
    raise(SIGSTOP);
    struct mallinfo said = mallinfo();
    printf("mallinfo arena %u\nmallinfo ordblks %u\nmallinfo smblks %u\nmallinfo fsmblks %u\n"
           "mallinfo uordblks %u\nmallinfo fordblks %u\nmallinfo keepcost %u\nmallinfo hblkhd %u\n",
           said.arena, said.ordblks, said.smblks, said.fsmblks, said.uordblks, said.fordblks, said.keepcost, said.hblkhd);
    malloc_info(0, stdout);
    fflush(stdout);
    pthread_barrier_wait(&meeting);
    return 0;
}
