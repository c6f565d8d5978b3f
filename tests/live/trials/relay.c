/* Threads that give pieces to each other at random; with an argument, the main thread goes on alone afterwards. */
#include <pthread.h>
#include <stdlib.h>

static void *held[48];

static void *work(void *seed)
{
    unsigned state = 2654435761u * (unsigned)(long)seed;

    for (int i = 0; i < 700; i++) {
        state = state * 1664525u + 1013904223u;
        void *mine = malloc(1 + (state >> 10) % 4000);
        free(__atomic_exchange_n(&held[(state >> 24) % 48], mine, __ATOMIC_SEQ_CST));
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t other[3];

    (void)argv;
    for (long i = 0; i < 3; i++)
        pthread_create(&other[i], NULL, work, (void *)(i + 7));
    for (int i = 0; i < 3; i++)
        pthread_join(other[i], NULL);
    for (int i = 0; argc > 1 && i < 50; i++)
        held[i % 48] = malloc(5000 + 1000 * i);
    return 0;
}
