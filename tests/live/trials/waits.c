/* Uses memory, says so, and waits to be killed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(void)
{
    for (int i = 0; i < 50; i++)
        memset(malloc(10000), 1, 10000);
    puts("ready");
    fflush(stdout);
    pause();
    return 0;
}
