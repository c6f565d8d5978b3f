/* again TIMES: children that all get the same number, by ns_last_pid; each with more pieces, threads, another program. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NOT_HERE = 77 };

static void *allocates(void *nothing)
{
    free(malloc(99));
    return nothing;
}

int main(int argc, char **argv)
{
    int last = open("/proc/sys/kernel/ns_last_pid", O_RDWR);
    if (last < 0)
        return NOT_HERE;
    pid_t first = 0;
    int same = 0;
    for (int i = 0; i < atoi(argv[argc - 1]); i++) {
        lseek(last, 0, SEEK_SET);
        if (first)
            dprintf(last, "%d", first - 1);
        pid_t child = fork();
        if (child == 0) {
            pthread_t thread;
            for (int k = 0; k < i; k++)
                memset(malloc(5000), 1, 5000);
            if (i % 3 == 1)
                execl(argv[0], argv[0], "0", (char *)NULL);
            pthread_create(&thread, NULL, allocates, NULL);
            pthread_join(thread, NULL);
            _exit(0);
        }
        first = first ? first : child;
        same += child == first;
        waitpid(child, NULL, 0);
    }
    printf("fact same %d\n", same);
    return 0;
}
