/* Beside the C library's functions, static ones that are called like them and do something else. */
#include <stdlib.h>

int count_leaves(void);

int main(void)
{
    for (int i = 0; i < 10; i++)
        free(malloc(100 + i));
    return count_leaves() == 55 ? 0 : 1;
}
