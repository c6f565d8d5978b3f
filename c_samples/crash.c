/*
 * crash.c: the fault that the kernel does not resolve.
 *
 * concepts: modes virtual
 *
 * See: 23 first touches are page faults which the kernel answers with memory; the last write goes to a page
 * that belongs to nothing, so the kernel answers with SIGSEGV (code 1, SEGV_MAPERR) and the program dies.
 *
 * Facts (written before the crash): calls malloc_calls free_calls bytes_requested pages_touched faults_program
 *        signal si_code fault_address line_*
 */
#include "facts.h"
#include <signal.h>
#include <stddef.h>

enum { TOUCHED = 23 };

struct record { char name[40]; int value; };

int main(void)
{
    struct record *volatile missing = NULL;

    facts_begin();
    size_t bytes = 2 * TOUCHED * page_size;

    char *region = malloc(bytes);                   FACT_LINE("malloc");
    uint64_t before = minflt();
    for (size_t i = 1; i <= TOUCHED; i++) { region[i * page_size] = 'x'; }          FACT_LINE("touch");
    fact_u64("faults_program", minflt() - before);

    fact_u64("malloc_calls", 1);
    fact_u64("free_calls", 0);
    fact_u64("calls", 1);
    fact_u64("bytes_requested", bytes);
    fact_u64("pages_touched", TOUCHED);
    fact_u64("signal", SIGSEGV);
    fact_u64("si_code", SEGV_MAPERR);
    fact_u64("fault_address", offsetof(struct record, value));
    fact_u64("line_crash", __LINE__ + 2);
    facts_end();
    missing->value = 17;
    return 0;
}
