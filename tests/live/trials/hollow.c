/* Pieces that the C library makes for the program, from just below a page of the stack that is not there: its pages were
 * set aside and never written. Later it is there, and so are the callers behind it. */
#include <alloca.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE = 4096, MANY = 2000 };

__attribute__((noinline)) static void pieces(void)
{
    for (int i = 0; i < MANY; i++)
        free(strdup("a piece"));
}

int main(void)
{
    char here;
    volatile char *room = alloca(16 * PAGE + PAGE / 8 + ((uintptr_t)&here & (PAGE - 1)));
    room[0] = 1;
    pieces();
    for (int i = 0; i < 16 * PAGE; i++)
        room[i] = 1;
    pieces();
    return 0;
}
