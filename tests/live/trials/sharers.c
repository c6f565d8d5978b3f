/* sharers KIND: children that share our memory, whatever their event is called, and allocate in it. */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char stack[1 << 17] __attribute__((aligned(16)));
static volatile int done;

static int allocates(void *times)
{
    for (long i = 0; i < (long)times; i++)
        free(malloc(i % 2 ? 100 : 200000));
    return 0;
}

static int becomes_another(void *path)
{
    char *words[] = { path, NULL };
    execv(path, words);
    return 1;
}

static int outlives(void *nothing)
{
    (void)nothing;
    usleep(100000);
    memset(malloc(300000), 1, 300000);
    return 0;
}

static int is_a_thread(void *nothing)
{
    (void)nothing;
    done = 1;
    syscall(SYS_exit, 0);
    return 0;
}

static int child(int (*body)(void *), int flags, void *argument)
{
    return clone(body, stack + sizeof stack - 64, flags, argument);
}

int main(int argc, char **argv)
{
    const char *kind = argc > 1 ? argv[1] : "";
    signal(SIGUSR2, SIG_IGN);
    if (!strcmp(kind, "shares"))
        for (int i = 0; i < 7; i++) {
            waitpid(child(allocates, CLONE_VM | SIGCHLD, (void *)13), NULL, 0);
            allocates((void *)3);
        }
    else if (!strcmp(kind, "shares-by-another-signal"))
        waitpid(child(allocates, CLONE_VM | SIGUSR2, (void *)13), NULL, __WCLONE);
    else if (!strcmp(kind, "waits-without-sharing"))
        waitpid(child(allocates, CLONE_VFORK | SIGCHLD, (void *)13), NULL, 0);
    else if (!strcmp(kind, "execs"))
        waitpid(child(becomes_another, CLONE_VM | SIGCHLD, argv[0]), NULL, 0);
    else if (!strcmp(kind, "outlives"))
        child(outlives, CLONE_VM | SIGCHLD, NULL);
    else if (!strcmp(kind, "thread-with-a-signal")) {
        child(is_a_thread, CLONE_VM | CLONE_THREAD | CLONE_SIGHAND | CLONE_FILES | SIGCHLD, NULL);
        while (!done)
            usleep(1000);
    }
    free(malloc(500000));
    return 0;
}
