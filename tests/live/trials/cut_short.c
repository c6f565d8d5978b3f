/* cut_short TIMES: children that do nothing but change their memory are killed in the midst of it. */
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096 };

int main(int argc, char **argv)
{
    for (int i = argc > 1 ? atoi(argv[1]) : 0; i > 0; i--) {
        pid_t child = fork();
        while (child == 0) {
            char *area = mmap(NULL, 20 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            area[0] = 1;
            mprotect(area + PAGE, PAGE, PROT_READ);
            munmap(area, 20 * PAGE);
            sbrk(PAGE);
        }
        usleep(2000 + i * 37);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    return 0;
}
