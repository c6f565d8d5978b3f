/* What the program holds is freed when it ends: by handlers of atexit, the last one while the others' pieces are gone.
 *
 * Suspicious: calls after main has returned.
 *
 * expect rule none
 * expect sign nothing
 * expect ends exit 0
 */
#include "chunk.h"

static void *held[5];
static int handlers;

static void release(void)
{
    void *scratch = malloc(40);

    free(held[handlers++]);
    free(scratch);
    if (handlers == 5)
        fact("released", 1);
}

int main(void)
{
    for (int i = 0; i < 5; i++) {
        held[i] = malloc(40);
        if (atexit(release) != 0)
            return 2;
    }
    return 0;
}
