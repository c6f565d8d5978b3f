/*
 * files.c: the book's own example: a file is written, read, and gone.
 *
 * concepts: portal
 *
 * See: a program cannot touch the disk; it asks. Each line is one system call, made by the thin function of the library
 * that bears its name, more or less: open asks openat, stat and fstat may ask newfstatat or statx, lseek on i386 _llseek,
 * and on arm64 mkdir, rename, unlink and rmdir ask mkdirat, renameat, unlinkat and unlinkat.
 *
 * All happens in a new directory in $TMPDIR or /tmp, which is removed at the end.
 *
 * Facts: calls bytes_written bytes_read bytes_read_again bytes_at_end position size links sum gone (1: the file is no more)
 *        system_calls (main's own, from mkdir to rmdir) line_*
 */
#include "facts.h"
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

enum { SIZE = 10007, PART = 1009, SYSTEM_CALLS = 16 };

static char out[SIZE], in[SIZE], again[PART], folder[256], first[300], second[300];

int main(void)
{
    const char *place = getenv("TMPDIR");
    struct stat about, gone;
    uint64_t sum = 0;

    facts_begin();
    snprintf(folder, sizeof folder, "%s/files-sample-%d", place != NULL ? place : "/tmp", (int)getpid());
    snprintf(first, sizeof first, "%s/first", folder);
    snprintf(second, sizeof second, "%s/second", folder);
    for (size_t i = 0; i < SIZE; i++)
        out[i] = (char)('a' + i % 26);

    int made = mkdir(folder, 0700);                                 FACT_LINE("mkdir");
    int file = open(first, O_RDWR | O_CREAT | O_EXCL, 0600);        FACT_LINE("open");
    if (made != 0 || file < 0)
        return 1;
    ssize_t written = write(file, out, SIZE);                       FACT_LINE("write");
    off_t position = lseek(file, 0, SEEK_SET);                      FACT_LINE("lseek");             /* back to the start */
    ssize_t got = read(file, in, SIZE);                             FACT_LINE("read");
    ssize_t end = read(file, again, 1);                             FACT_LINE("read_end");          /* 0: there is no more */
    int known = fstat(file, &about);                                FACT_LINE("fstat");
    close(file);                                                    FACT_LINE("close");
    int renamed = rename(first, second);                            FACT_LINE("rename");
    int missing = open(first, O_RDONLY);                            FACT_LINE("open_missing");      /* -1: ENOENT */
    int other = open(second, O_RDONLY);                             FACT_LINE("open_again");
    ssize_t part = read(other, again, PART);                        FACT_LINE("read_again");
    close(other);                                                   FACT_LINE("close_again");
    unlink(second);                                                 FACT_LINE("unlink");
    int found = stat(second, &gone);                                FACT_LINE("stat");              /* -1: ENOENT */
    int error = errno;
    rmdir(folder);                                                  FACT_LINE("rmdir");
    if (known != 0 || renamed != 0 || missing >= 0)
        return 1;

    for (size_t i = 0; i < SIZE; i++)
        sum += (unsigned char)in[i];
    fact_u64("calls", 0);
    fact_u64("bytes_written", (uint64_t)written);
    fact_u64("bytes_read", (uint64_t)got);
    fact_u64("bytes_read_again", (uint64_t)part);
    fact_u64("bytes_at_end", (uint64_t)end);
    fact_u64("position", (uint64_t)position);
    fact_u64("size", (uint64_t)about.st_size);
    fact_u64("links", (uint64_t)about.st_nlink);
    fact_u64("sum", sum);
    fact_u64("gone", found != 0 && error == ENOENT);
    fact_u64("system_calls", SYSTEM_CALLS);
    facts_end();
    return 0;
}
