/* Many children that each touch a megabyte: page faults enough to fill a small disk. Ends with status 5. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHILDREN = 40, BYTES = 1 << 20 };

int main(void)
{
    for (int i = 0; i < CHILDREN; i++) {
        pid_t child = fork();
        if (child == 0) {
            char *memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            memset(memory, 1, BYTES);
            _exit(0);
        }
        if (child == -1 || waitpid(child, NULL, 0) != child)
            return 1;
    }
    puts("went on");
    return 5;
}
