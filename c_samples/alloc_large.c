/*
 * alloc_large.c: a buffer too large to be kept, asked for again and again.
 *
 * concepts: allocators virtual two-level
 *
 * usage: alloc_large [ROUNDS]     (default 17)
 *
 * See: 40 MiB asked for, each page written, given back; and again. An allocator that returns the buffer to the kernel
 * has all its pages faulted in anew in every round; one that keeps it has them once. Few calls, all the time is in the
 * page faults.
 *
 * Facts: rounds calls malloc_calls free_calls bytes_requested pages_touched
 */
#include "facts.h"

enum { BYTES = 40 << 20 };

int main(int argc, char **argv)
{
    uint64_t rounds = 17, touched = 0;

    facts_begin();
    if (argc > 1)
        rounds = strtoull(argv[1], NULL, 10);

    for (uint64_t i = 0; i < rounds; i++) {
        char *buffer = malloc(BYTES);
        for (size_t at = 0; at < BYTES; at += page_size) {
            buffer[at] = 'x';
            touched++;
        }
        free(buffer);
    }

    fact_u64("rounds", rounds);
    fact_u64("malloc_calls", rounds);
    fact_u64("free_calls", rounds);
    fact_u64("calls", 2 * rounds);
    fact_u64("bytes_requested", rounds * BYTES);
    fact_u64("pages_touched", touched);
    facts_end();
    return 0;
}
