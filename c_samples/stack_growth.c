/*
 * stack_growth.c: the stack grows without asking.
 *
 * concepts: virtual gap
 *
 * See: a recursion 251 levels deep, each level with a page of its own. No malloc and no system call: the kernel makes
 * the stack's mapping longer when a page below it is touched. On the way back nothing is given back, so the second
 * descent brings no fault.
 *
 * Facts: calls depth stack_bytes pages_touched faults_program faults_second_descent line_*
 */
#include "facts.h"
#include <alloca.h>

enum { DEPTH = 251, FRAME = 4096, SKIP = 65536 };

static uintptr_t deepest;
static uint64_t line_touch;

static void descend(int depth)
{
    volatile char frame[FRAME];

    line_touch = __LINE__ + 1;
    for (int i = 0; i < FRAME; i += 1024) { frame[i] = 'x'; }
    deepest = (uintptr_t)frame;
    if (depth > 1)
        descend(depth - 1);
}

static void measure(void)
{
    char here;

    uint64_t before = minflt();
    descend(DEPTH);                                 FACT_LINE("descend");
    uint64_t between = minflt();
    descend(DEPTH);                                 FACT_LINE("descend_again");
    uint64_t after = minflt();

    fact_u64("line_touch", line_touch);
    fact_u64("stack_bytes", (uintptr_t)&here - deepest);
    fact_u64("pages_touched", (uintptr_t)&here / page_size - deepest / page_size);
    fact_u64("faults_program", between - before);
    fact_u64("faults_second_descent", after - between);
}

int main(void)
{
    facts_begin();
    /* Go below what start-up has used of the stack, to a fixed place within a page: the same numbers in every run. */
    volatile char *skipped = alloca(SKIP + (uintptr_t)__builtin_frame_address(0) % page_size);
    skipped[0] = 'x';
    measure();

    fact_u64("calls", 0);
    fact_u64("depth", DEPTH);
    facts_end();
    return 0;
}
