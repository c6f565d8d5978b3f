/*
 * calloc.c: cleared memory, sometimes for nothing.
 *
 * concepts: virtual two-level allocators
 *
 * See: a large calloc is a fresh mapping, which the kernel promises to be zero, so no page is touched; malloc and
 * memset of the same size touch every page. A calloc that is given a used piece has to clear it.
 *
 * Facts: calls malloc_calls calloc_calls free_calls bytes_requested pages_spanned
 *        calloc_resident memset_resident faults_program calloc_reused dirty_bytes line_*
 */
#include "facts.h"
#include <string.h>

enum { PAGES = 127, ITEMS = 23, ITEM = 89, GUARD = 17 };

int main(void)
{
    facts_begin();
    size_t bytes = PAGES * page_size;
    uint64_t dirty = 0;

    char *cleared = calloc(PAGES, page_size);       FACT_LINE("calloc_large");
    fact_u64("pages_spanned", pages_spanned(cleared, bytes));
    fact_u64("calloc_resident", resident_pages(cleared, bytes));

    char *plain = malloc(bytes);                    FACT_LINE("malloc_large");
    uint64_t before = resident_pages(plain, bytes);
    memset(plain, 0, bytes);                        FACT_LINE("memset");
    fact_u64("memset_resident", resident_pages(plain, bytes));
    fact_u64("faults_program", resident_pages(plain, bytes) - before);

    char *small = malloc(ITEMS * ITEM);
    char *guard = malloc(GUARD);                    /* keeps small apart from the free space behind it */
    memset(small, 'x', ITEMS * ITEM);
    uintptr_t small_at = (uintptr_t)small;
    free(small);
    small = calloc(ITEMS, ITEM);                    FACT_LINE("calloc_small");
    fact_u64("calloc_reused", (uintptr_t)small == small_at);
    for (int i = 0; i < ITEMS * ITEM; i++)
        dirty += small[i] != 0;

    free(guard);
    free(small);
    free(plain);
    free(cleared);

    fact_u64("dirty_bytes", dirty);
    fact_u64("malloc_calls", 3);
    fact_u64("calloc_calls", 2);
    fact_u64("free_calls", 5);
    fact_u64("calls", 10);
    fact_u64("bytes_requested", 2 * bytes + 2 * ITEMS * ITEM + GUARD);
    facts_end();
    return 0;
}
