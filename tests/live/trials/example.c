/* What the examples of the README and of --help are tried on: line 12 allocates, line 13 writes, line 15 frees. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    char *piece[3];
    int i;

    for (i = 0; i < 3; i++) {
        piece[i] = malloc(7001);
        memset(piece[i], argc, 7001);
    }
    for (i = 0; i < 3; i++) free(piece[i]);
    puts(argv[argc - 1]);
    return 0;
}
