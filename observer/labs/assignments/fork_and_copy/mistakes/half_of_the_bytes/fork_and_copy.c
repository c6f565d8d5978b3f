/* fork_and_copy.c: one piece, two processes. */
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "parameters.h"

#define PAGE 4096L

int main(void)
{
    char *piece = malloc(COUNT * PAGE);
    for (long page = 0; page < COUNT; page++) piece[page * PAGE] = 1;
    if (fork() == 0) {
        for (long at = 0; at < COUNT / 2; at++) piece[at] = 2; // @CHILD
        _exit(0);
    }
    wait(NULL);
    for (long page = 0; page < COUNT; page++) piece[page * PAGE] = 3; // @PARENT
    free(piece); // @RETURN
    return 0;
}
