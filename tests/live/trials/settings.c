/* Changes one setting of the allocator by mallopt(3), named by its number and value, and then does what it is about. */
#include <malloc.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    void *piece[12];

    if (argc > 2 && mallopt(atoi(argv[1]), atoi(argv[2])) != 1)
        return 1;
    for (int i = 0; i < 12; i++)
        piece[i] = malloc(i % 3 == 0 ? 70000 + 5000 * i : 40 + 16 * i);
    for (int i = 0; i < 12; i++)
        free(piece[i]);
    piece[0] = malloc(300000);
    free(piece[0]);
    return malloc(100) == NULL;
}
