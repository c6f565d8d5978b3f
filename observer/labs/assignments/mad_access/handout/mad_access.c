/* mad_access.c: a file of records, each visited once: in order and in a mad order, by mmap and by read. */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <unistd.h>

#include "parameters.h"

#define PAGE 4096L
#define COUNT (PAGES * PAGE / 64)
#define STEP 1009 /* a prime: so many records ahead, again and again, and each is met once */

struct record {
    int mark;
    char rest[60];
};

/* The file, seen as records in memory; what is written there stays in this program. */
static struct record *records_of(int file)
{
    return mmap(NULL, COUNT * sizeof(struct record), PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
}

int main(void)
{
    int file = memfd_create("records", 0); /* a file without a name */
    struct record *order, *mad, record;
    long i, done = 0;

    if (ftruncate(file, COUNT * sizeof record) != 0) return 1;
    order = records_of(file);
    mad = records_of(file);
    for (i = 0; i < COUNT; i++) order[i].mark = 1; // @ORDER
    for (i = 0; i < COUNT; i++) mad[i * STEP % COUNT].mark = 1; // @MAD
    for (i = 0; i < COUNT; i++) done += pread(file, &record, 64, i * STEP % COUNT * 64); // @READ
    return done != COUNT * 64;
}
