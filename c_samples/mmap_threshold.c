/*
 * mmap_threshold.c: from a certain size on, a piece is a mapping of its own.
 *
 * concepts: brk allocators story
 *
 * See: 131049 bytes come from mmap, one byte less comes from the heap and moves the break. Freeing a mapped piece
 * raises the threshold (glibc): the same request is then served from the heap.
 *
 * Order matters: malloc looks at its free space first, so two pieces are taken that leave too little of it.
 *
 * Facts: calls malloc_calls free_calls bytes_requested NAME_in_heap NAME_moved_break for the requests at, below,
 *        at_again, higher, higher_again; line_*
 */
#include "facts.h"

enum { BELOW = 131048, AT = 131049, HIGHER = 300007, FILL = 10007 };

static void tell(const char *name_in_heap, const char *name_moved_break, const void *piece)
{
    fact_u64(name_in_heap, in_heap(piece));
    fact_u64(name_moved_break, break_moved());
}

int main(void)
{
    facts_begin();
    char *fill = malloc(FILL);                      /* the heap begins */
    char *more = malloc(FILL);                      /* less than 131049 bytes of it stay free */
    break_moved();

    char *at = malloc(AT);                          FACT_LINE("at");
    tell("at_in_heap", "at_moved_break", at);
    char *below = malloc(BELOW);                    FACT_LINE("below");
    tell("below_in_heap", "below_moved_break", below);

    free(at);                                       FACT_LINE("at_free");           /* the threshold rises */
    at = malloc(AT);                                FACT_LINE("at_again");
    tell("at_again_in_heap", "at_again_moved_break", at);

    char *higher = malloc(HIGHER);                  FACT_LINE("higher");
    tell("higher_in_heap", "higher_moved_break", higher);
    free(higher);                                   FACT_LINE("higher_free");       /* and rises again */
    higher = malloc(HIGHER);                        FACT_LINE("higher_again");
    tell("higher_again_in_heap", "higher_again_moved_break", higher);

    free(higher);
    free(at);
    free(below);
    free(more);
    free(fill);

    fact_u64("malloc_calls", 7);
    fact_u64("free_calls", 7);
    fact_u64("calls", 14);
    fact_u64("bytes_requested", 2 * FILL + 2 * AT + BELOW + 2 * HIGHER);
    facts_end();
    return 0;
}
