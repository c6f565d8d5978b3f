/*
 * facts.h: what a sample says about itself.
 *
 * A sample knows things that an observer has to find out: how many blocks it asked for, how many
 * pages it wrote, on which line. It notes them here, one fact a line,
 *
 *     fact NAME VALUE
 *
 * and an observer is right when it saw the same. Telling must not disturb what is told, so:
 *   - no malloc and no stdio: the text grows in a static buffer and leaves in one write(2) at the end;
 *   - no page fault in the middle: facts_begin() touches the buffers first, and calls once each
 *     function that is needed later, so that it is already bound and its code is in memory;
 *   - no system call of the memory kind: residency is read from /proc/self/pagemap, faults with getrusage.
 *
 * Include this file first, call facts_begin() first in main and facts_end() last.
 */
#ifndef FACTS_H
#define FACTS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static char facts_text[8192];           /* the facts, as they will be written */
static size_t facts_length;
static uint64_t facts_pages[2048];      /* what pagemap says, one word a page */
static int facts_pagemap = -1;
static size_t page_size;                /* bytes, set by facts_begin() */

/* One name for the line it stands on: `p[0] = 1; FACT_LINE("touch");` tells `fact line_touch 31`. */
#define FACT_LINE(name) fact_u64("line_" name, __LINE__)

static inline void fact_text(const char *text)
{
    while (*text != '\0' && facts_length < sizeof facts_text)
        facts_text[facts_length++] = *text++;
}

static inline void fact_str(const char *name, const char *value)
{
    fact_text("fact ");
    fact_text(name);
    fact_text(" ");
    fact_text(value);
    fact_text("\n");
}

static inline void fact_u64(const char *name, uint64_t value)
{
    char digits[21];
    char *digit = digits + sizeof digits - 1;

    *digit = '\0';
    do {
        *--digit = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    fact_str(name, digit);
}

/* Page faults that needed no disk, of the calling thread, since it began. A plain system call. */
static inline uint64_t minflt(void)
{
    struct rusage usage;

    getrusage(RUSAGE_THREAD, &usage);
    return (uint64_t)usage.ru_minflt;
}

/* Where the heap ends. The very first sbrk(0) of a process asks the kernel (brk(NULL)), later ones do not. */
static inline uintptr_t break_now(void)
{
    return (uintptr_t)sbrk(0);
}

/* 1 if the address lies in the heap that brk moves: between the program's own data and the break. */
static inline unsigned in_heap(const void *address)
{
    extern char _end;                   /* the linker's name for the end of the program's data */

    return (uintptr_t)address >= (uintptr_t)&_end && (uintptr_t)address < break_now();
}

/* 1 if the break is not where the last call of this function found it; the first call sets the mark. */
static inline unsigned break_moved(void)
{
    static uintptr_t last;
    uintptr_t now = break_now();
    unsigned moved = last != 0 && now != last;

    last = now;
    return moved;
}

/* How many pages the bytes lie on. */
static inline uint64_t pages_spanned(const volatile void *start, size_t bytes)
{
    return ((uintptr_t)start + bytes - 1) / page_size - (uintptr_t)start / page_size + 1;
}

/*
 * How many of those pages are present in the page table (pagemap, bit 63; the zero page counts).
 * The file shows the process that called facts_begin(), also when a forked child reads it.
 */
static inline uint64_t resident_pages(const volatile void *start, size_t bytes)
{
    uint64_t page = (uintptr_t)start / page_size;
    uint64_t left = pages_spanned(start, bytes);
    uint64_t present = 0;

    while (left > 0) {
        uint64_t part = left < 2048 ? left : 2048;
        ssize_t got = pread(facts_pagemap, facts_pages, part * 8, (off_t)(page * 8));

        if (got <= 0)
            _exit(125);                 /* a fact that cannot be had is not made up */
        part = (uint64_t)got / 8;
        for (uint64_t i = 0; i < part; i++)
            present += facts_pages[i] >> 63;
        page += part;
        left -= part;
    }
    return present;
}

static inline void facts_begin(void)
{
    for (size_t i = 0; i < sizeof facts_text; i++)
        ((volatile char *)facts_text)[i] = 0;
    for (size_t i = 0; i < sizeof facts_pages; i++)
        ((volatile char *)facts_pages)[i] = 0;

    page_size = (size_t)sysconf(_SC_PAGESIZE);
    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);      /* one fault brings one small page, on every machine */
    facts_pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    resident_pages(facts_text, sizeof facts_text);
    minflt();
    fact_u64("page_size", page_size);
}

static inline void facts_end(void)
{
    if (facts_length == sizeof facts_text)
        _exit(125);                     /* the buffer is full: say nothing rather than half of it */
    if (write(STDOUT_FILENO, facts_text, facts_length) != (ssize_t)facts_length)
        _exit(125);
}

#endif
