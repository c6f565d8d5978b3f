/* Threads that live one after the other: each finds the arena that the one before has left, and what it left there. */
#include <pthread.h>
#include <stdlib.h>

static void *left_over;

static void *work(void *count)
{
    void *piece[40];

    free(left_over);
    for (int i = 0; i < 40; i++)
        piece[i] = malloc(i % 4 ? 32 : 1500);
    for (int i = 0; i < 40; i += 1 + (int)(long)count % 2)
        free(piece[i]);
    left_over = malloc(2000);
    return NULL;
}

int main(int argc, char **argv)
{
    (void)argv;
    for (long i = 0; i < 4; i++) {
        pthread_t one, two;

        pthread_create(&one, NULL, work, (void *)i);
        if (argc > 1)
            pthread_create(&two, NULL, (void *(*)(void *))malloc, (void *)600);
        pthread_join(one, NULL);
        if (argc > 1)
            pthread_join(two, NULL);
        work((void *)(i + 1));
    }
    return 0;
}
