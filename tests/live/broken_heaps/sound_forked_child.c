/* Parent and child free the same pieces, each its own copies, and both get the same addresses again.
 *
 * Suspicious: every pointer is freed twice, in two processes.
 *
 * expect rule none
 * expect sign nothing
 * expect ends exit 0
 */
#include <sys/wait.h>

#include "chunk.h"

static int freed_and_again(void **pieces, int count)
{
    int same = 0;

    for (int i = 0; i < count; i++)
        free(pieces[i]);
    for (int i = count - 1; i >= 0; i--)
        same += malloc(72) == pieces[i];
    return same;
}

int main(void)
{
    void *pieces[5];
    int status;
    pid_t child;

    for (int i = 0; i < 5; i++)
        pieces[i] = malloc(72);
    child = fork();
    if (child == 0)
        _exit(freed_and_again(pieces, 5));
    if (child < 0 || waitpid(child, &status, 0) != child)
        return 2;
    fact("same_addresses", WIFEXITED(status) && WEXITSTATUS(status) == 5 && freed_and_again(pieces, 5) == 5);
    return 0;
}
