/*
 * vdso_time.c: a question that the kernel answers without being asked.
 *
 * concepts: portal stdlib
 *
 * See: 1000 times the library is asked for the time, and no system call is made: the kernel lends each process a page
 * of code and a page of clock data, the vDSO, and the library reads the clock there, in user mode. Then 10 times the
 * same question by a real system call. (On a machine whose clock cannot be read in user mode the vDSO itself asks the
 * kernel: then the first 1000 are system calls too, and an observer sees more than real_calls.)
 *
 * Facts: calls has_vdso (AT_SYSINFO_EHDR is there) clock_gettime_calls gettimeofday_calls time_calls vdso_calls (their sum)
 *        real_calls failed went_back line_*
 */
#include "facts.h"
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

enum { CLOCK = 400, TIMEOFDAY = 350, TIME = 250, REAL = 10 };

int main(void)
{
    struct timespec now = { 0, 0 }, before = { 0, 0 };
    struct timeval moment;
    long real[2];                               /* as the kernel lays it out, on i386 too */
    uint64_t failed = 0, back = 0;

    facts_begin();
    fact_u64("has_vdso", getauxval(AT_SYSINFO_EHDR) != 0);

    for (int i = 0; i < CLOCK; i++) {
        failed += clock_gettime(CLOCK_MONOTONIC, &now) != 0;                        if (i == 0) FACT_LINE("clock_gettime");
        back += now.tv_sec < before.tv_sec || (now.tv_sec == before.tv_sec && now.tv_nsec < before.tv_nsec);
        before = now;
    }
    for (int i = 0; i < TIMEOFDAY; i++) { failed += gettimeofday(&moment, NULL) != 0; }         FACT_LINE("gettimeofday");
    for (int i = 0; i < TIME; i++) { failed += time(NULL) == (time_t)-1; }          FACT_LINE("time");

    for (int i = 0; i < REAL; i++) { failed += syscall(SYS_clock_gettime, CLOCK_MONOTONIC, real) != 0; }        FACT_LINE("real");

    fact_u64("calls", 0);
    fact_u64("clock_gettime_calls", CLOCK);
    fact_u64("gettimeofday_calls", TIMEOFDAY);
    fact_u64("time_calls", TIME);
    fact_u64("vdso_calls", CLOCK + TIMEOFDAY + TIME);
    fact_u64("real_calls", REAL);
    fact_u64("failed", failed);
    fact_u64("went_back", back);
    facts_end();
    return 0;
}
