/* A callback of bsearch makes a list longer and jumps out, past the library's frame; the list is used and freed after.
 *
 * Suspicious: a call into the library that never returns, while pieces move.
 *
 * expect rule none
 * expect sign nothing
 * expect ends exit 0
 */
#include <setjmp.h>

#include "chunk.h"

static jmp_buf away;
static int *list;
static volatile int length;

static int grow_and_leave(const void *key, const void *element)
{
    list = realloc(list, (length + 100) * sizeof *list);
    list[length++] = *(const int *)key;
    if (length % 10 == 0)
        longjmp(away, 1);
    return *(const int *)key - *(const int *)element;
}

int main(void)
{
    static const int sorted[] = {2, 3, 5, 7, 11, 13, 17, 19};
    static volatile int left;

    if (setjmp(away) != 0)
        left++;
    while (left < 7)
        for (int key = 0; key < 20; key++)
            bsearch(&key, sorted, 8, sizeof *sorted, grow_and_leave);
    fact("left", left == 7 && length == 70);
    free(list);
    return 0;
}
