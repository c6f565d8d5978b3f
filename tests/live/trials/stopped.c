/* Children that allocate all the time are stopped by SIGSTOP, each a little later than the one before it: every stop
 * must be one. Says how many were. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHILDREN = 40, STEP = 400 };

int main(void)
{
    int stopped = 0;
    alarm(100);
    for (int i = 0; i < CHILDREN; i++) {
        int status;
        pid_t child = fork();
        if (!child)
            for (;;)
                free(malloc(3000));
        usleep(i * STEP);
        kill(child, SIGSTOP);
        if (waitpid(child, &status, WUNTRACED) != child || !WIFSTOPPED(status))
            return 1;
        stopped += WSTOPSIG(status) == SIGSTOP;
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
    }
    printf("%d\n", stopped);
    return 0;
}
