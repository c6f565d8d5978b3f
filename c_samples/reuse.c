/*
 * reuse.c: a freed piece is handed out again.
 *
 * concepts: brk allocators story
 *
 * See: a small piece comes back at once (the thread's own cache); a piece too large for that cache
 * comes back from the list of free pieces; a smaller request is cut from a larger free piece. None of it
 * needs a system call.
 *
 * Facts: calls malloc_calls free_calls bytes_requested reused_small reused_large reused_cut
 *        break_moved line_*
 */
#include "facts.h"

enum { SMALL = 103, LARGE = 5003, PART = 2003 };

int main(void)
{
    facts_begin();

    char *small = malloc(SMALL);
    char *large = malloc(LARGE);
    char *guard = malloc(SMALL);                    /* keeps large apart from the free space behind it */
    uintptr_t small_at = (uintptr_t)small;
    uintptr_t large_at = (uintptr_t)large;
    break_moved();

    free(small);                                    FACT_LINE("small_free");
    small = malloc(SMALL);                          FACT_LINE("small_again");
    fact_u64("reused_small", (uintptr_t)small == small_at);

    free(large);                                    FACT_LINE("large_free");
    large = malloc(LARGE);                          FACT_LINE("large_again");
    fact_u64("reused_large", (uintptr_t)large == large_at);

    free(large);                                    FACT_LINE("cut_free");
    char *part = malloc(PART);                      FACT_LINE("cut_malloc");
    fact_u64("reused_cut", (uintptr_t)part == large_at);

    fact_u64("break_moved", break_moved());
    free(part);
    free(guard);
    free(small);

    fact_u64("malloc_calls", 6);
    fact_u64("free_calls", 6);
    fact_u64("calls", 12);
    fact_u64("bytes_requested", 3 * SMALL + 2 * LARGE + PART);
    facts_end();
    return 0;
}
