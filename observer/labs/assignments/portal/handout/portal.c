/* portal.c: who am I, and what time is it? Which of these questions enter the kernel, and through which gate? */
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "gates.h"
#include "parameters.h"

int main(void)
{
    struct timespec now;

    for (int i = 0; i < COUNT; i++) getpid(); // @LIBRARY
    for (int i = 0; i < COUNT; i++) clock_gettime(CLOCK_REALTIME_COARSE, &now); // @CLOCK
    for (int i = 0; i < COUNT; i++) syscall(SYS_clock_gettime, CLOCK_REALTIME_COARSE, &now); // @TIME
    if (fork() == 0) { /* a child of its own: not every kernel has the old gate */
        for (int i = 0; i < COUNT; i++) SYSCALL(SYS_getpid); // @OLD
        _exit(0);
    }
    wait(NULL);
    return 0;
}
