/*
 * untouched.c: what is never used never becomes memory.
 *
 * concepts: virtual two-level
 *
 * See: 256 MiB asked for and granted; one page of them resident, the one in which malloc keeps the size of
 * the piece.
 *
 * Facts: calls malloc_calls free_calls bytes_requested pages_spanned pages_touched pages_resident
 *        faults_program line_*
 */
#include "facts.h"

int main(void)
{
    facts_begin();
    size_t bytes = (size_t)256 << 20;

    char *region = malloc(bytes);                   FACT_LINE("malloc");
    fact_u64("pages_spanned", pages_spanned(region, bytes));
    fact_u64("pages_resident", resident_pages(region, bytes));
    free(region);                                   FACT_LINE("free");

    fact_u64("malloc_calls", 1);
    fact_u64("free_calls", 1);
    fact_u64("calls", 2);
    fact_u64("bytes_requested", bytes);
    fact_u64("pages_touched", 0);
    fact_u64("faults_program", 0);
    facts_end();
    return 0;
}
