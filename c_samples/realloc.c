/*
 * realloc.c: three ways to grow.
 *
 * concepts: brk allocators two-level
 *
 * See: the last piece of the heap grows where it is; a piece with a neighbour behind it moves and is copied; a
 * mapped piece is grown by the kernel with mremap, which copies no byte: its untouched pages stay absent.
 *
 * Facts: calls malloc_calls realloc_calls free_calls bytes_requested last_moved blocked_moved
 *        mapped_resident_before mapped_resident_after faults_program content_kept line_*
 */
#include "facts.h"

enum { SIZE = 3001, BIGGER = 7001, PAGES = 127, TOUCHED = 17, MORE = 251 };

int main(void)
{
    facts_begin();

    char *blocked = malloc(SIZE);
    char *last = malloc(SIZE);
    blocked[0] = 'b';
    last[0] = 'l';
    uintptr_t blocked_at = (uintptr_t)blocked;
    uintptr_t last_at = (uintptr_t)last;

    last = realloc(last, BIGGER);                   FACT_LINE("last");
    fact_u64("last_moved", (uintptr_t)last != last_at);
    blocked = realloc(blocked, BIGGER);             FACT_LINE("blocked");
    fact_u64("blocked_moved", (uintptr_t)blocked != blocked_at);

    char *mapped = malloc(PAGES * page_size);       FACT_LINE("mapped_malloc");
    uint64_t before = minflt();
    for (size_t i = 0; i < TOUCHED; i++) { mapped[i * page_size] = 'm'; }           FACT_LINE("mapped_touch");
    fact_u64("faults_program", minflt() - before);
    fact_u64("mapped_resident_before", resident_pages(mapped, PAGES * page_size));
    mapped = realloc(mapped, MORE * page_size);     FACT_LINE("mapped");
    fact_u64("mapped_resident_after", resident_pages(mapped, MORE * page_size));

    fact_u64("content_kept", blocked[0] == 'b' && last[0] == 'l' && mapped[(TOUCHED - 1) * page_size] == 'm');
    free(mapped);
    free(blocked);
    free(last);

    fact_u64("malloc_calls", 3);
    fact_u64("realloc_calls", 3);
    fact_u64("free_calls", 3);
    fact_u64("calls", 9);
    fact_u64("bytes_requested", 2 * SIZE + 2 * BIGGER + (PAGES + MORE) * page_size);
    facts_end();
    return 0;
}
