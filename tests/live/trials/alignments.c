/* Alignments that are forbidden, odd, or neither, by the function of the family that the first argument names. */
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    size_t alignment = strtoul(argv[2], NULL, 0);
    void *before = malloc(500), *piece = NULL;

    (void)argc;
    free(malloc(3000));
    if (strcmp(argv[1], "posix_memalign") == 0)
        return posix_memalign(&piece, alignment, 100) == EINVAL ? 3 : 0;
    piece = strcmp(argv[1], "memalign") == 0 ? memalign(alignment, 100) : aligned_alloc(alignment, 100);
    free(before);
    free(piece);
    return 0;
}
