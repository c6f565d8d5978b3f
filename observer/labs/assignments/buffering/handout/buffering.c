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
    char character;

    setvbuf(out, NULL, _IONBF, 0);
    for (off_t at = 0; pread(from, &character, 1, at) == 1; at++) putc(character, out); // @PUTC
    fclose(out); // @CLOSE
}

static void by_blocks(int from)
{
    int out = new_file();
    char block[BLOCK];
    long count, written = 0;

    lseek(from, 0, SEEK_SET);
    while ((count = read(from, block, BLOCK)) > 0) written += write(out, block, count); // @BLOCK
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
