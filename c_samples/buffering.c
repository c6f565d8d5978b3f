/*
 * buffering.c: ten thousand characters, and how many times the kernel is asked.
 *
 * concepts: stdlib portal
 *
 * usage: buffering                  all three ways in turn, each into a file of its own
 *        buffering full|line|none   one of them
 *
 * See: putc is a function of the library, not a system call. It keeps the characters, and asks the kernel (write, in musl
 * writev) when its buffer is full, when a line ends, or each time, as setvbuf has told it. How many system calls that
 * makes is for an observer to find out: with a full buffer of 4096 bytes 3, by line 100, with none 10000. The rest of a
 * buffer leaves at fclose: before it, the file is shorter than what was put in.
 *
 * The files are in $TMPDIR or /tmp; none is left there.
 *
 * Facts: calls ways putc_calls newlines (of each way) block_bytes (what the file system calls a good size; glibc takes
 *        it for its buffer) stdio_bytes (BUFSIZ; musl takes that, and puts one character more beside it)
 *        bytes_before_close_WAY bytes_after_close_WAY line_*
 */
#include "facts.h"
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { PUTC = 10000, LINE = 100, WAYS = 3 };

static const char *const names[WAYS] = { "full", "line", "none" };
static const int modes[WAYS] = { _IOFBF, _IOLBF, _IONBF };
static char path[300];
static int line_putc, line_fclose;

static void tell(const char *what, const char *way, off_t value)
{
    char whole[64];

    strcat(strcpy(whole, what), way);
    fact_u64(whole, (uint64_t)value);
}

static int put_all(int way)
{
    struct stat before, after;

    FILE *file = fopen(path, "w");
    if (file == NULL || setvbuf(file, NULL, modes[way], 0) != 0)
        return 1;
    for (int i = 1; i <= PUTC; i++) { putc(i % LINE == 0 ? '\n' : 'x', file); }     line_putc = __LINE__;
    int failed = stat(path, &before);
    failed |= fclose(file);                                                         line_fclose = __LINE__;
    failed |= stat(path, &after);
    unlink(path);
    if (failed)
        return 1;
    if (way == 0)
        fact_u64("block_bytes", (uint64_t)after.st_blksize);
    tell("bytes_before_close_", names[way], before.st_size);
    tell("bytes_after_close_", names[way], after.st_size);
    return 0;
}

int main(int argc, char **argv)
{
    const char *place = getenv("TMPDIR");
    uint64_t ways = 0;

    facts_begin();
    snprintf(path, sizeof path, "%s/buffering-sample-%d", place != NULL ? place : "/tmp", (int)getpid());
    for (int way = 0; way < WAYS; way++) {
        if (argc > 1 && strcmp(argv[1], names[way]) != 0)
            continue;
        if (put_all(way) != 0)
            return 1;
        ways++;
    }
    if (ways == 0)
        return 2;
    fact_u64("calls", 0);
    fact_u64("ways", ways);
    fact_u64("putc_calls", PUTC);
    fact_u64("newlines", PUTC / LINE);
    fact_u64("stdio_bytes", BUFSIZ);
    fact_u64("line_putc", (uint64_t)line_putc);
    fact_u64("line_fclose", (uint64_t)line_fclose);
    facts_end();
    return 0;
}
