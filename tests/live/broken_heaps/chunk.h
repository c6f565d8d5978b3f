/* What these programs know of glibc's heap (x86-64, 2.32 and later), and how they give proof of what they did to it. */
#pragma once
#include <malloc.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct chunk {
    size_t prev_size, size;
    struct chunk *fd, *bk, *fd_nextsize, *bk_nextsize;
};

static void *kept[7];

static inline struct chunk *chunk_of(void *piece) { return (struct chunk *)((char *)piece - 16); }

static inline void *piece_of(struct chunk *chunk) { return (char *)chunk + 16; }

/* A link as thread caches and fast bins keep it at PLACE: exclusive-ored with the number of its page. */
static inline uintptr_t hidden(const void *place, const void *next)
{
    return (uintptr_t)place >> 12 ^ (uintptr_t)next;
}

/* As many pieces as a thread's cache keeps of one size. */
static inline void take_seven(size_t size)
{
    for (int i = 0; i < 7; i++)
        kept[i] = malloc(size);
}

static inline void give_seven(void)
{
    for (int i = 0; i < 7; i++)
        free(kept[i]);
}

/* Writes "fact NAME 0" or 1: without stdio, which would ask the broken heap for a buffer. */
static inline void fact(const char *name, int holds)
{
    char line[64] = "fact ";

    strcat(strcat(line, name), holds ? " 1\n" : " 0\n");
    if (write(1, line, strlen(line)) < 0)
        _exit(9);
}
