/*
 * crossing.c: what it costs to go to the kernel and come back.
 *
 * concepts: portal virtual brk
 *
 * See: a function call, the same question with and without a crossing (the time through the vDSO, and by a system call),
 * the shortest system call, brk up and down again, and the first use of a page, which is a crossing that nobody wrote. The second use of
 * the page costs what memory costs. Run it on its own: under an observer each crossing is a much longer way.
 *
 * Each operation is repeated in 301 batches, one batch of each in turn, and timed by the clock of the vDSO. The figures are
 * picoseconds for one operation with the loop around it, the quartiles of the batches. They are the only facts here
 * that differ from run to run.
 *
 * Facts: calls batches OPERATION_repetitions (in a batch) OPERATION_ps_p25 OPERATION_ps_p50 OPERATION_ps_p75, OPERATION:
 *        function clock_vdso clock_syscall getpid brk first_touch second_touch; faults_first_touch faults_second_touch
 *        (in all batches) line_*
 */
#include "facts.h"
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

enum { BATCHES = 301, PAGES = 61 };
enum { FUNCTION, CLOCK_VDSO, CLOCK_SYSCALL, GETPID, BRK, FIRST_TOUCH, SECOND_TOUCH, OPERATIONS };

static const struct { const char *name; int repetitions; } operations[OPERATIONS] = {
    [FUNCTION] = { "function", 2000 }, [CLOCK_VDSO] = { "clock_vdso", 200 }, [CLOCK_SYSCALL] = { "clock_syscall", 100 },
    [GETPID] = { "getpid", 100 }, [BRK] = { "brk", 100 }, [FIRST_TOUCH] = { "first_touch", PAGES },
    [SECOND_TOUCH] = { "second_touch", 33 * PAGES },
};

static uint64_t cost[OPERATIONS][BATCHES];
static uint64_t first_faults, second_faults;

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

__attribute__((noinline)) static void empty(void)
{
}

/* Each page is touched at another place, so that not all of them share one line of the cache. */
static void touch(char *region, int times)
{
    for (int i = 0; i < times; i++) { ((volatile char *)region)[(size_t)i % PAGES * (page_size + 64)] = 'x'; }
}

static void batch(int operation, int number)
{
    static char *region;
    static uintptr_t end;
    int times = operations[operation].repetitions;
    struct timespec now;
    long moment[2];                     /* as the kernel lays it out, on i386 too */
    uint64_t faults = minflt(), from, to;

    if (end == 0)
        end = break_now();
    if (operation == FIRST_TOUCH) {
        region = mmap(NULL, PAGES * (page_size + 64), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (region == MAP_FAILED)
            _exit(125);
    }

    from = now_ns();
    switch (operation) {
    case FUNCTION:
        for (int i = 0; i < times; i++) { empty(); }
        break;
    case CLOCK_VDSO:
        for (int i = 0; i < times; i++) { clock_gettime(CLOCK_MONOTONIC, &now); }
        break;
    case CLOCK_SYSCALL:
        for (int i = 0; i < times; i++) { syscall(SYS_clock_gettime, CLOCK_MONOTONIC, moment); }
        break;
    case GETPID:
        for (int i = 0; i < times; i++) { syscall(SYS_getpid); }
        break;
    case BRK:                           /* one page more, and one page less: two crossings */
        for (int i = 0; i < times; i++) { syscall(SYS_brk, end + page_size); syscall(SYS_brk, end); }
        break;
    default:
        touch(region, times);
    }
    to = now_ns();

    cost[operation][number] = (to - from) * 1000 / (uint64_t)times;
    if (operation == FIRST_TOUCH)
        first_faults += minflt() - faults;
    if (operation == SECOND_TOUCH) {
        second_faults += minflt() - faults;
        munmap(region, PAGES * (page_size + 64));
    }
}

static int by_size(const void *one, const void *other)
{
    uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;

    return (a > b) - (a < b);
}

static void tell(const char *name, const char *what, uint64_t value)
{
    char whole[64];

    strcat(strcpy(whole, name), what);
    fact_u64(whole, value);
}

int main(void)
{
    facts_begin();
    for (int operation = 0; operation < OPERATIONS; operation++)
        batch(operation, 0);            /* once for nothing: all code is in memory and bound */
    first_faults = second_faults = 0;
    for (int number = 0; number < BATCHES; number++)
        for (int operation = 0; operation < OPERATIONS; operation++)
            batch(operation, number);

    fact_u64("calls", 0);
    fact_u64("batches", BATCHES);
    for (int operation = 0; operation < OPERATIONS; operation++) {
        const char *name = operations[operation].name;

        qsort(cost[operation], BATCHES, sizeof cost[operation][0], by_size);
        tell(name, "_repetitions", (uint64_t)operations[operation].repetitions);
        tell(name, "_ps_p25", cost[operation][BATCHES / 4]);
        tell(name, "_ps_p50", cost[operation][BATCHES / 2]);
        tell(name, "_ps_p75", cost[operation][BATCHES - 1 - BATCHES / 4]);
    }
    fact_u64("faults_first_touch", first_faults);
    fact_u64("faults_second_touch", second_faults);
    facts_end();
    return 0;
}
