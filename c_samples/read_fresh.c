/*
 * read_fresh.c: the kernel is the first to touch.
 *
 * concepts: virtual two-level portal
 *
 * See: read(2) fills a buffer that nobody has used yet. The pages come in while the CPU is in kernel mode, inside the
 * system call, on the program's behalf; the program's own code faults on none of them.
 *
 * Facts: calls malloc_calls free_calls bytes_requested bytes_read pages_spanned pages_allocator
 *        faults_kernel minflt_read pages_resident faults_program line_*
 */
#include "facts.h"

enum { PAGES = 127 };

int main(void)
{
    char warm;
    uint64_t sum = 0;

    facts_begin();
    size_t bytes = PAGES * page_size;
    size_t filled = 0;
    int zero = open("/dev/zero", O_RDONLY);
    if (zero < 0 || read(zero, &warm, 1) != 1)      /* read is bound and its code is in memory */
        return 1;

    char *buffer = malloc(bytes);                   FACT_LINE("malloc");
    uint64_t resident = resident_pages(buffer, bytes);
    fact_u64("pages_allocator", resident);

    uint64_t before = minflt();
    while (filled < bytes) {
        ssize_t got = read(zero, buffer + filled, bytes - filled);                  if (filled == 0) FACT_LINE("read");
        if (got <= 0)
            return 1;
        filled += (size_t)got;
    }
    fact_u64("minflt_read", minflt() - before);
    fact_u64("faults_kernel", resident_pages(buffer, bytes) - resident);

    before = minflt();
    for (size_t i = 0; i < bytes; i++) { sum += (unsigned char)buffer[i]; }         FACT_LINE("sum");
    fact_u64("faults_program", minflt() - before);
    fact_u64("sum", sum);

    fact_u64("bytes_read", filled);
    fact_u64("pages_spanned", pages_spanned(buffer, bytes));
    fact_u64("pages_resident", resident_pages(buffer, bytes));
    free(buffer);
    close(zero);

    fact_u64("malloc_calls", 1);
    fact_u64("free_calls", 1);
    fact_u64("calls", 2);
    fact_u64("bytes_requested", bytes);
    facts_end();
    return 0;
}
