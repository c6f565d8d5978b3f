/* arenas.c: threads that ask for memory, all of them alive at once. How many arenas does glibc make for them? */
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>

#include "parameters.h"

static pthread_barrier_t all;
static char *piece[THREADS];

static void *work(void *at)
{
    pthread_barrier_wait(&all); /* every thread has begun */
    if (at == &piece[0]) *(char **)at = malloc(1000); // @THREAD
    pthread_barrier_wait(&all); /* every thread has its piece */
    return NULL;
}

int main(void)
{
    pthread_t thread[THREADS];

    mallopt(M_ARENA_MAX, MOST);
    char *own = malloc(1000); // @MAIN
    pthread_barrier_init(&all, NULL, THREADS);
    for (int i = 0; i < THREADS; i++) pthread_create(&thread[i], NULL, work, &piece[i]);
    for (int i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
    for (int i = 0; i < THREADS; i++) free(piece[i]);
    free(own);
    return 0;
}
