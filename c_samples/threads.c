/*
 * threads.c: each thread its own arena.
 *
 * concepts: allocators gap
 *
 * See: the pieces of the main thread lie in the heap; those of the other threads lie elsewhere, in mappings that
 * malloc made for them (glibc: reserved in 64 MiB steps, opened bit by bit with mprotect). All threads hold their
 * pieces at the same time, so no arena can be passed on.
 *
 * Facts: threads calls malloc_calls free_calls bytes_requested main_outside_heap blocks_outside_heap
 *        regions_64mib thread_N_calls thread_N_outside_heap (N from 1) line_*
 */
#include "facts.h"
#include <pthread.h>

enum { THREADS = 5, MOST = 37, SIZE = 1009, REGION_BITS = 26 };

struct worker { pthread_t thread; int count; char *piece[MOST]; };

static struct worker worker[THREADS] = {
    { .count = 17 }, { .count = 23 }, { .count = 29 }, { .count = 31 }, { .count = 37 },
};
static pthread_barrier_t all_hold;

static void *work(void *argument)
{
    struct worker *me = argument;

    for (int i = 0; i < me->count; i++) {
        me->piece[i] = malloc(SIZE);
        me->piece[i][0] = 'x';
    }
    pthread_barrier_wait(&all_hold);
    for (int i = 0; i < me->count; i++)
        free(me->piece[i]);
    return NULL;
}

int main(void)
{
    static const char *const calls_name[THREADS] = {
        "thread_1_calls", "thread_2_calls", "thread_3_calls", "thread_4_calls", "thread_5_calls" };
    static const char *const outside_name[THREADS] = {
        "thread_1_outside_heap", "thread_2_outside_heap", "thread_3_outside_heap", "thread_4_outside_heap",
        "thread_5_outside_heap" };
    unsigned count = 0, outside = 0, regions = 0;

    facts_begin();
    char *own = malloc(SIZE);                       FACT_LINE("main_malloc");
    pthread_barrier_init(&all_hold, NULL, THREADS);
    for (int t = 0; t < THREADS; t++)
        if (pthread_create(&worker[t].thread, NULL, work, &worker[t]) != 0)
            return 1;
    for (int t = 0; t < THREADS; t++)
        pthread_join(worker[t].thread, NULL);

    for (int t = 0; t < THREADS; t++) {
        unsigned here = 0, seen = 0;
        for (int i = 0; i < worker[t].count; i++)
            here += !in_heap(worker[t].piece[i]);
        for (int u = 0; u < t; u++)
            seen |= (uintptr_t)worker[u].piece[0] >> REGION_BITS == (uintptr_t)worker[t].piece[0] >> REGION_BITS;
        fact_u64(calls_name[t], 2 * (uint64_t)worker[t].count);
        fact_u64(outside_name[t], here);
        count += (unsigned)worker[t].count;
        outside += here;
        regions += !seen;
    }
    fact_u64("main_outside_heap", !in_heap(own));
    free(own);

    fact_u64("threads", THREADS);
    fact_u64("blocks_outside_heap", outside);
    fact_u64("regions_64mib", regions);
    fact_u64("malloc_calls", count + 1);
    fact_u64("free_calls", count + 1);
    fact_u64("calls", 2 * (count + 1));
    fact_u64("bytes_requested", (count + 1) * SIZE);
    facts_end();
    return 0;
}
