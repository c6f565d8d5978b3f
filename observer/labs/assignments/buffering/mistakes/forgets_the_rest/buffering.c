/* buffering.c: one file copied twice, by characters and by blocks. How many times is the kernel asked? */
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "parameters.h"

static char content[SIZE];

/* A file without a name, in memory. */
static int new_file(void)
{
    return memfd_create("file", 0);
}

static void by_characters(int from)
{
    FILE *out = fdopen(new_file(), "w");
    static char buffer[SIZE];
    char character;

    setvbuf(out, buffer, _IOFBF, sizeof buffer);
    for (off_t at = 0; pread(from, &character, 1, at) == 1; at++) putc(character, out); // @PUTC
    (void)out; // @CLOSE
    _exit(0);
}

static void by_blocks(int from)
{
    int out = new_file();
    char *all = mmap(NULL, SIZE, PROT_READ, MAP_PRIVATE, from, 0);

    long written = write(out, all, SIZE); // @BLOCK
    (void)written;
}

int main(void)
{
    int from = new_file();

    if (write(from, content, SIZE) != SIZE) return 1;
    by_characters(from);
    by_blocks(from);
    return 0;
}
