/*
 * zero_page.c: two faults for one page.
 *
 * concepts: virtual two-level story
 *
 * See: a first touch that only reads is answered with the one page of zeros that all processes share; the later write
 * faults again and brings a page of its own. Present pages are therefore not the same as memory used.
 *
 * Facts: calls malloc_calls free_calls bytes_requested pages_touched pages_allocator pages_present_after_read
 *        pages_present_after_write faults_read faults_write faults_program sum line_*
 */
#include "facts.h"

enum { PAGES = 127 };

int main(void)
{
    uint64_t sum = 0;

    facts_begin();
    size_t bytes = (PAGES + 1) * page_size;

    volatile char *region = malloc(bytes);          FACT_LINE("malloc");
    fact_u64("pages_allocator", resident_pages(region, bytes));

    uint64_t before = minflt();
    for (size_t i = 1; i <= PAGES; i++) { sum += (uint64_t)region[i * page_size]; } FACT_LINE("read");
    uint64_t faults_read = minflt() - before;
    fact_u64("pages_present_after_read", resident_pages(region, bytes));

    before = minflt();
    for (size_t i = 1; i <= PAGES; i++) { region[i * page_size] = 'x'; }            FACT_LINE("write");
    uint64_t faults_write = minflt() - before;
    fact_u64("pages_present_after_write", resident_pages(region, bytes));
    free((void *)region);

    fact_u64("malloc_calls", 1);
    fact_u64("free_calls", 1);
    fact_u64("calls", 2);
    fact_u64("bytes_requested", bytes);
    fact_u64("pages_touched", PAGES);
    fact_u64("faults_read", faults_read);
    fact_u64("faults_write", faults_write);
    fact_u64("faults_program", faults_read + faults_write);
    fact_u64("sum", sum);
    facts_end();
    return 0;
}
