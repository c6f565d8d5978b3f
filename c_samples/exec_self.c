/*
 * exec_self.c: new processes, new programs.
 *
 * concepts: portal allocators
 *
 * usage: exec_self             runs everything
 *        exec_self child       17 mallocs and 17 frees, exit status 17
 *
 * See: fork copies the heap, exec throws it away and starts with none; vfork borrows the parent's memory until exec;
 * posix_spawn does both steps in one; an exec that fails returns.
 *
 * Facts: calls malloc_calls free_calls bytes_requested (this process) calls_in_forked (between fork and exec)
 *        calls_in_executed (of this program, after exec) forks vforks spawns execs execs_failed children
 *        status_self status_true status_vfork status_spawn status_missing
 */
#include "facts.h"
#include <spawn.h>
#include <sys/wait.h>

enum { OWN = 5, IN_CHILD = 17, SIZE = 1009, MISSING = 23 };

static char self[] = "/proc/self/exe";

static int be_child(void)
{
    char *piece[IN_CHILD];

    for (int i = 0; i < IN_CHILD; i++)
        piece[i] = malloc(SIZE);
    for (int i = 0; i < IN_CHILD; i++)
        free(piece[i]);
    return IN_CHILD;
}

static uint64_t status_of(pid_t pid)
{
    int status;

    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        return 255;
    return (uint64_t)WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
    char *as_child[] = { "exec_self", "child", NULL };
    char *piece[OWN];
    pid_t pid;

    (void)argv;
    if (argc > 1)
        return be_child();

    facts_begin();
    for (int i = 0; i < OWN; i++)
        piece[i] = malloc(SIZE);

    pid = fork();
    if (pid == 0) {
        char *lost = malloc(SIZE);                  /* gone with the whole heap at exec */
        lost[0] = 'x';
        execv(self, as_child);
        _exit(1);
    }
    fact_u64("status_self", status_of(pid));

    pid = fork();
    if (pid == 0) {
        execl("/bin/true", "true", (char *)NULL);
        _exit(1);
    }
    fact_u64("status_true", status_of(pid));

    pid = vfork();
    if (pid == 0) {
        execv(self, as_child);
        _exit(1);
    }
    fact_u64("status_vfork", status_of(pid));

    if (posix_spawn(&pid, self, NULL, NULL, as_child, environ) != 0)
        pid = -1;
    fact_u64("status_spawn", status_of(pid));

    pid = fork();
    if (pid == 0) {
        execl("/proc/self/no-such-program", "none", (char *)NULL);
        _exit(MISSING);
    }
    fact_u64("status_missing", status_of(pid));

    for (int i = 0; i < OWN; i++)
        free(piece[i]);

    fact_u64("malloc_calls", OWN);
    fact_u64("free_calls", OWN);
    fact_u64("calls", 2 * OWN);
    fact_u64("bytes_requested", OWN * SIZE);
    fact_u64("calls_in_forked", 1);
    fact_u64("calls_in_executed", 3 * 2 * IN_CHILD);
    fact_u64("forks", 3);
    fact_u64("vforks", 1);
    fact_u64("spawns", 1);
    fact_u64("execs", 4);
    fact_u64("execs_failed", 1);
    fact_u64("children", 5);
    facts_end();
    return 0;
}
