/* Breaks the rules of malloc(3) as the argument says. */
#include <stdlib.h>
#include <string.h>

static void twice_in_a_row_of_small_ones(void)
{
    void *cached[7], *one, *other;

    for (int i = 0; i < 7; i++)
        cached[i] = malloc(40);
    one = malloc(40);
    other = malloc(40);
    for (int i = 0; i < 7; i++)
        free(cached[i]);
    free(one);
    free(other);
    free(one);                      /* it waits in two places now */
    cached[0] = calloc(1, 40);
    cached[1] = calloc(1, 40);
    cached[2] = calloc(1, 40);      /* and is in two hands */
}

static void of_the_stack(void)
{
    long made[10] __attribute__((aligned(16))) = {0, 0x41};
    void *volatile pointer = made + 2;

    free(pointer);
    memset(malloc(50), 1, 50);      /* the same bytes */
}

int main(int argc, char **argv)
{
    char *volatile piece = malloc(200);

    (void)argc;
    if (strcmp(argv[1], "twice") == 0)
        twice_in_a_row_of_small_ones();
    else if (strcmp(argv[1], "stack") == 0)
        of_the_stack();
    else if (strcmp(argv[1], "middle") == 0)
        free(piece + 32);           /* the library ends the program */
    else
        free(realloc(piece, 5000)), free(piece);
    return 0;
}
