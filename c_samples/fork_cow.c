/*
 * fork_cow.c: two processes, one set of pages, until somebody writes.
 *
 * concepts: virtual story
 *
 * See: after fork the child reads all pages without a fault and writes 23 of them: 23 faults, each a copy
 * (copy-on-write). When the child is gone the parent writes all pages again: one fault each, but nothing to copy.
 *
 * Facts: calls malloc_calls free_calls bytes_requested pages_touched faults_before_fork faults_child_read
 *        faults_child_write child_pages_written faults_parent_write faults_program child_status line_*
 */
#include "facts.h"
#include <sys/mman.h>
#include <sys/wait.h>

enum { PAGES = 127, WRITTEN = 23, STATUS = 17 };

/*
 * The stack is copied on write like everything else, and a frame may lie across two of its pages. Write back what
 * stands around here, so that no local variable faults later, among the pages that are counted.
 */
static void own_stack(void)
{
    volatile char *here = __builtin_frame_address(0);

    for (int at = -1024; at <= 512; at += 256)
        here[at] = here[at];
}

struct report { uint64_t faults_read, faults_write, sum; };

int main(void)
{
    int status = 0;

    facts_begin();
    size_t bytes = PAGES * page_size;
    struct report *child = mmap(NULL, sizeof *child, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (child == MAP_FAILED)
        return 1;

    char *region = malloc(bytes);                   FACT_LINE("malloc");
    uint64_t before = minflt();
    for (size_t i = 0; i < PAGES; i++) { region[i * page_size] = 1; }               FACT_LINE("touch");
    uint64_t touched = minflt() - before;

    pid_t pid = fork();                             FACT_LINE("fork");
    fact_u64("line_child_write", __LINE__ + 7);
    if (pid == 0) {
        own_stack();
        child->sum = 0;
        uint64_t start = minflt();
        for (size_t i = 0; i < PAGES; i++) { child->sum += (uint64_t)region[i * page_size]; }
        uint64_t between = minflt();
        for (size_t i = 0; i < WRITTEN; i++) { region[i * page_size] = 2; }
        child->faults_write = minflt() - between;
        child->faults_read = between - start;
        _exit(STATUS);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return 1;

    own_stack();
    before = minflt();
    for (size_t i = 0; i < PAGES; i++) { region[i * page_size] = 3; }               FACT_LINE("parent_write");
    uint64_t written = minflt() - before;
    free(region);

    fact_u64("malloc_calls", 1);
    fact_u64("free_calls", 1);
    fact_u64("calls", 2);
    fact_u64("bytes_requested", bytes);
    fact_u64("pages_touched", PAGES);
    fact_u64("child_pages_written", WRITTEN);
    fact_u64("child_pages_read", child->sum);
    fact_u64("child_status", (uint64_t)WEXITSTATUS(status));
    fact_u64("faults_before_fork", touched);
    fact_u64("faults_child_read", child->faults_read);
    fact_u64("faults_child_write", child->faults_write);
    fact_u64("faults_parent_write", written);
    fact_u64("faults_program", touched + child->faults_read + child->faults_write + written);
    facts_end();
    return 0;
}
