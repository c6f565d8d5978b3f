/*
 * story.c: the whole chapter in one short program.
 *
 * concepts: story brk virtual two-level gap allocators
 *
 * See: the first malloc finds no heap and calls brk; the next ones are served from the free space
 * without a system call; a freed piece is handed out again; many pieces push the break up; memory
 * comes page by page when it is first used, not when it is asked for; a large piece comes from
 * mmap and goes back with munmap.
 *
 * Facts: calls malloc_calls free_calls bytes_requested reused brk_growths_later
 *        faults_second faults_blocks faults_large faults_program large_pages large_resident line_*
 */
#include "facts.h"

enum { BLOCKS = 17, BLOCK = 31013, LARGE = 2097169, TOUCHED = 23 };

int main(void)
{
    char *block[BLOCKS];
    unsigned growths = 0;
    uint64_t before;

    facts_begin();

    char *first = malloc(100);                      FACT_LINE("first_malloc");      /* steps 1 2 3 4 5 */
    first[0] = 'a';                                 FACT_LINE("first_write");       /* malloc wrote here: no fault */
    char *second = malloc(30011);                   FACT_LINE("second_malloc");     /* steps 1 5: no system call */
    before = minflt();
    second[20011] = 'b';                            FACT_LINE("second_write");      /* step 6: a page fault */
    uint64_t faults_second = minflt() - before;

    uintptr_t old = (uintptr_t)first;
    free(first);                                    FACT_LINE("first_free");
    char *again = malloc(100);                      FACT_LINE("again_malloc");      /* the same piece again */
    fact_u64("reused", (uintptr_t)again == old);

    break_moved();
    for (int i = 0; i < BLOCKS; i++) {
        block[i] = malloc(BLOCK);                   /* about 512 KiB in all: the break must grow */
        growths += break_moved();
    }
    fact_u64("line_blocks_write", __LINE__ + 3);
    before = minflt();
    for (int i = 0; i < BLOCKS; i++) {
        for (size_t at = 0; at < BLOCK; at += page_size) { block[i][at] = 'c'; }
    }
    uint64_t faults_blocks = minflt() - before;

    char *large = malloc(LARGE);                    FACT_LINE("large_malloc");      /* too large for the heap: mmap */
    before = minflt();
    for (size_t i = 0; i < TOUCHED; i++) { large[i * page_size] = 'd'; }            FACT_LINE("large_write");
    uint64_t faults_large = minflt() - before;
    fact_u64("large_pages", pages_spanned(large, LARGE));
    fact_u64("large_resident", resident_pages(large, LARGE));
    free(large);                                    FACT_LINE("large_free");        /* munmap */

    for (int i = 0; i < BLOCKS; i++)
        free(block[i]);
    free(second);
    free(again);

    fact_u64("malloc_calls", 4 + BLOCKS);
    fact_u64("free_calls", 4 + BLOCKS);
    fact_u64("calls", 2 * (4 + BLOCKS));
    fact_u64("bytes_requested", 100 + 30011 + 100 + BLOCKS * BLOCK + LARGE);
    fact_u64("brk_growths_later", growths);
    fact_u64("faults_second", faults_second);
    fact_u64("faults_blocks", faults_blocks);
    fact_u64("faults_large", faults_large);
    fact_u64("faults_program", faults_second + faults_blocks + faults_large);
    facts_end();
    return 0;
}
