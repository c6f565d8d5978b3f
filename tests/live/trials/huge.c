/* huge WAY: a byte in each 2 MiB of a large piece, which the kernel may make huge pages of. */
#define _GNU_SOURCE
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BLOCK = 1 << 21, BLOCKS = 12 };

static long resident(void)
{
    char line[256];
    long kib = -1;
    FILE *file = fopen("/proc/self/status", "r");
    while (fgets(line, sizeof line, file))
        sscanf(line, "VmRSS: %ld", &kib);
    fclose(file);
    return kib;
}

int main(int argc, char **argv)
{
    const char *way = argc > 1 ? argv[1] : "";
    resident();
    long before = resident();
    char *piece = aligned_alloc(BLOCK, BLOCKS * (size_t)BLOCK);
    if (strcmp(way, "small"))
        madvise(piece, BLOCKS * (size_t)BLOCK, MADV_HUGEPAGE);
    for (int i = 0; i < BLOCKS; i++)
        piece[i * (size_t)BLOCK] = 1;
    printf("fact grown %ld\n", resident() - before);
    if (!strcmp(way, "freed"))
        free(piece);
    if (!strcmp(way, "advised"))
        madvise(piece, BLOCKS * (size_t)BLOCK, MADV_DONTNEED);
    if (!strcmp(way, "forked")) {
        pid_t child = fork();
        if (child == 0)
            _exit(piece[0] != 1);
        waitpid(child, NULL, 0);
    }
    return 0;
}
