/*
 * longjmp.c: functions that are left without returning.
 *
 * concepts: allocators modes
 *
 * See: calls made deep in a recursion, in a comparison function of qsort and in a signal handler, all of them left
 * with longjmp: whoever pairs calls with returns must not lose count. The last call never returns itself: it faults
 * on a page without access, and the handler jumps out of it.
 *
 * Facts: calls malloc_calls free_calls malloc_usable_size_calls bytes_requested calls_in_recursion calls_in_qsort
 *        calls_in_handlers calls_never_returned jumps line_*
 */
#include "facts.h"
#include <malloc.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

enum { DEPTH = 17, COMPARED = 5, HANDLED = 3, SIZE = 101, NUMBERS = 31 };

static sigjmp_buf back;
static char *piece[DEPTH + COMPARED + HANDLED];
static volatile int pieces, compared, handled, jumps;

static void descend(int depth)
{
    piece[pieces++] = malloc(SIZE);                 /* one piece a level */
    if (depth == 1)
        siglongjmp(back, 1);                        /* leaves all levels at once */
    descend(depth - 1);
}

static int compare(const void *a, const void *b)
{
    piece[pieces++] = malloc(SIZE);
    if (++compared == COMPARED)
        siglongjmp(back, 1);                        /* leaves compare and qsort */
    return *(const int *)a - *(const int *)b;
}

static void on_user_signal(int signal)
{
    (void)signal;
    piece[pieces++] = malloc(SIZE);                 /* allowed: raise() is not called from inside malloc */
    if (++handled == HANDLED)
        siglongjmp(back, 1);                        /* leaves the handler; the two before returned */
}

static void on_fault(int signal)
{
    (void)signal;
    siglongjmp(back, 1);                            /* leaves the allocator's own function */
}

int main(void)
{
    int number[NUMBERS];

    facts_begin();
    signal(SIGUSR1, on_user_signal);
    signal(SIGSEGV, on_fault);
    for (int i = 0; i < NUMBERS; i++)
        number[i] = i * 17 % NUMBERS;

    if (sigsetjmp(back, 1) == 0)
        descend(DEPTH);
    jumps++;

    if (sigsetjmp(back, 1) == 0)
        qsort(number, NUMBERS, sizeof number[0], compare);
    jumps++;

    if (sigsetjmp(back, 1) == 0)
        for (int i = 0; i < HANDLED; i++)
            raise(SIGUSR1);
    jumps++;

    char *closed = mmap(NULL, page_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (sigsetjmp(back, 1) == 0)
        malloc_usable_size(closed + 64);
    jumps++;                                        fact_u64("line_never_returned", __LINE__ - 1);

    for (int i = 0; i < pieces; i++)
        free(piece[i]);

    fact_u64("malloc_calls", DEPTH + COMPARED + HANDLED);
    fact_u64("free_calls", (uint64_t)pieces);
    fact_u64("malloc_usable_size_calls", 1);
    fact_u64("calls", 2 * (DEPTH + COMPARED + HANDLED) + 1);
    fact_u64("bytes_requested", (DEPTH + COMPARED + HANDLED) * SIZE);
    fact_u64("calls_in_recursion", DEPTH);
    fact_u64("calls_in_qsort", COMPARED);
    fact_u64("calls_in_handlers", HANDLED);
    fact_u64("calls_never_returned", 1);
    fact_u64("jumps", (uint64_t)jumps);
    facts_end();
    return 0;
}
