/*
 * hammer.c: many threads, many calls, none may be missed.
 *
 * concepts: allocators
 *
 * usage: hammer [THREADS [ROUNDS]]     (default 8 and 20000; at most 64 threads)
 *
 * See: each thread asks for a piece and frees it, ROUNDS times: 2 x THREADS x ROUNDS calls, exactly.
 *
 * Facts: threads rounds calls malloc_calls free_calls bytes_requested
 */
#include "facts.h"
#include <pthread.h>

enum { MOST_THREADS = 64 };

static pthread_t thread[MOST_THREADS];
static uint64_t rounds = 20000;

static void *work(void *unused)
{
    (void)unused;
    for (uint64_t i = 0; i < rounds; i++) {
        char *piece = malloc(17 + i % 1009);
        piece[0] = 'x';
        free(piece);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    uint64_t threads = 8, bytes = 0;

    facts_begin();
    if (argc > 1)
        threads = strtoull(argv[1], NULL, 10);
    if (argc > 2)
        rounds = strtoull(argv[2], NULL, 10);
    if (threads < 1 || threads > MOST_THREADS)
        return 2;

    for (uint64_t t = 0; t < threads; t++)
        if (pthread_create(&thread[t], NULL, work, NULL) != 0)
            return 1;
    for (uint64_t t = 0; t < threads; t++)
        pthread_join(thread[t], NULL);

    for (uint64_t i = 0; i < rounds; i++)
        bytes += threads * (17 + i % 1009);
    fact_u64("threads", threads);
    fact_u64("rounds", rounds);
    fact_u64("malloc_calls", threads * rounds);
    fact_u64("free_calls", threads * rounds);
    fact_u64("calls", 2 * threads * rounds);
    fact_u64("bytes_requested", bytes);
    facts_end();
    return 0;
}
