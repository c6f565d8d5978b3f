/* mad_access.c: a file of records, each visited once: in order and in a mad order, by mmap and by read. */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <unistd.h>

#include "parameters.h"

#define PAGE 4096L
#define COUNT (PAGES * PAGE / 64)
#define STEP 1009 /* a prime: so many records ahead, again and again, and each is met once */

struct records {
    int mark[COUNT];
    char rest[COUNT][60];
};

/* The file, seen as records in memory; what is written there stays in this program. */
static struct records *records_of(int file)
{
    return mmap(NULL, sizeof(struct records), PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
}

int main(void)
{
    int file = memfd_create("records", 0); /* a file without a name */
    static int marks[COUNT];
    struct records *order, *mad;
    long i;

    if (ftruncate(file, sizeof *order) != 0) return 1;
    order = records_of(file);
    mad = records_of(file);
    for (i = 0; i < COUNT; i++) order->mark[i] = 1; // @ORDER
    for (i = 0; i < COUNT; i++) mad->mark[i * STEP % COUNT] |= 1; // @MAD
    return pread(file, marks, sizeof marks, 0) != sizeof marks; // @READ
}
