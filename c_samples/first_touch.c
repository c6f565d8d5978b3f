/*
 * first_touch.c: memory comes when it is used.
 *
 * concepts: virtual two-level story
 *
 * See: malloc hands out 4 MiB and a bit; only each fourth page is written, and only those become resident.
 * The first page is there already: malloc wrote the size of the piece into it. A second round over the same pages
 * brings no fault.
 *
 * Facts: calls malloc_calls free_calls bytes_requested pages_spanned pages_touched pages_allocator
 *        pages_resident faults_program faults_second_round line_*
 */
#include "facts.h"

enum { TOUCHED = 263, STEP = 4 };

int main(void)
{
    facts_begin();
    size_t bytes = TOUCHED * STEP * page_size;

    char *region = malloc(bytes);                   FACT_LINE("malloc");
    fact_u64("pages_allocator", resident_pages(region, bytes));

    uint64_t before = minflt();
    for (size_t i = 0; i < TOUCHED; i++) { region[i * STEP * page_size] = 'x'; }    FACT_LINE("touch");
    uint64_t between = minflt();
    for (size_t i = 0; i < TOUCHED; i++) { region[i * STEP * page_size] = 'y'; }    FACT_LINE("touch_again");
    uint64_t after = minflt();

    fact_u64("bytes_requested", bytes);
    fact_u64("pages_spanned", pages_spanned(region, bytes));
    fact_u64("pages_touched", TOUCHED);
    fact_u64("pages_resident", resident_pages(region, bytes));
    fact_u64("faults_program", between - before);
    fact_u64("faults_second_round", after - between);
    free(region);                                   FACT_LINE("free");

    fact_u64("malloc_calls", 1);
    fact_u64("free_calls", 1);
    fact_u64("calls", 2);
    facts_end();
    return 0;
}
