/*
 * alloc_threads.c: one thread asks, another gives back.
 *
 * concepts: allocators gap
 *
 * usage: alloc_threads [ROUNDS [BATCH]]     (default 31 rounds of 1009 pieces)
 *
 * See: the producer fills a batch and hands it over; the consumer frees it while the next one is filled. No piece is
 * freed by the thread that asked for it, so a cache of the freeing thread fills up with pieces that only the other thread
 * has a use for, and how they come back is each allocator's own affair.
 *
 * Facts: rounds calls malloc_calls free_calls bytes_requested
 */
#include "facts.h"
#include <pthread.h>

enum { MOST = 100000 };

static char *batch[2][MOST];
static uint64_t rounds = 31, pieces = 1009;
static pthread_barrier_t handover;

static size_t bytes_of(uint64_t i)
{
    return 24 + i * 37 % 997;
}

/* Fills one half while the other is emptied; at the barrier the halves change hands. */
static void *produce(void *unused)
{
    (void)unused;
    for (uint64_t round = 0; round < rounds; round++) {
        for (uint64_t i = 0; i < pieces; i++) {
            batch[round % 2][i] = malloc(bytes_of(i));
            batch[round % 2][i][0] = 'x';
        }
        pthread_barrier_wait(&handover);
    }
    return NULL;
}

static void *consume(void *unused)
{
    (void)unused;
    for (uint64_t round = 0; round < rounds; round++) {
        pthread_barrier_wait(&handover);
        for (uint64_t i = 0; i < pieces; i++)
            free(batch[round % 2][i]);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t producer, consumer;
    uint64_t bytes = 0;

    facts_begin();
    if (argc > 1)
        rounds = strtoull(argv[1], NULL, 10);
    if (argc > 2)
        pieces = strtoull(argv[2], NULL, 10);
    if (pieces > MOST)
        return 2;

    pthread_barrier_init(&handover, NULL, 2);
    if (pthread_create(&producer, NULL, produce, NULL) != 0 || pthread_create(&consumer, NULL, consume, NULL) != 0)
        return 1;
    pthread_join(producer, NULL);
    pthread_join(consumer, NULL);

    for (uint64_t i = 0; i < pieces; i++)
        bytes += rounds * bytes_of(i);
    fact_u64("rounds", rounds);
    fact_u64("malloc_calls", rounds * pieces);
    fact_u64("free_calls", rounds * pieces);
    fact_u64("calls", 2 * rounds * pieces);
    fact_u64("bytes_requested", bytes);
    facts_end();
    return 0;
}
