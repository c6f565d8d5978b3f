/* Calls of the allocator from stacks of many shapes: recursion, frames of no fixed size, a stack that is aligned anew, a
 * callback of the C library, code of it that allocates for the program, a wrapper that ends by a jump, a thread. Compiled
 * with -O2 -fomit-frame-pointer it keeps no frame pointers. */

#include <alloca.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *volatile kept[256];
static volatile int count;

#define KEEP(pointer) (kept[count++ % 256] = (pointer))

__attribute__((noinline)) void *xmalloc(size_t size) {
    void *piece = malloc(size);
    if (piece == NULL)
        abort();
    return piece;
}

__attribute__((noinline)) void *jumps(size_t size) {
    return malloc(size + 3);
}

__attribute__((noinline)) int recursive(int depth) {
    volatile char frame[40];
    frame[0] = (char)depth;
    if (depth == 0) {
        KEEP(xmalloc(100));
        return frame[0];
    }
    return recursive(depth - 1) + frame[0];
}

__attribute__((noinline)) int sized(int size) {
    char *here = alloca(16 * size + 1);
    memset(here, 1, 16 * size + 1);
    KEEP(xmalloc(size));
    return here[size];
}

__attribute__((noinline)) int aligned(int a, int b, int c, int d, int e, int f, int g) {
    volatile char wide[64] __attribute__((aligned(64)));
    char *here = alloca(a + 1);
    here[a] = 1;
    wide[0] = (char)(b + c + d + e + f + g);
    KEEP(xmalloc(a));
    return wide[0] + here[a] + g;
}

static int compare(const void *a, const void *b) {
    KEEP(malloc(7));
    return *(const int *)a - *(const int *)b;
}

static void *thread(void *size) {
    KEEP(xmalloc((size_t)size));
    KEEP(jumps(5));
    return NULL;
}

int main(int argc, char **argv) {
    int values[] = {3, 1, 2, 5, 4}, sum = 0;
    for (int i = 0; i < 7; i++)
        sum += recursive(i % 4);
    for (int i = 1; i < 6; i++)
        sum += sized(7 * i) + aligned(i, i, 2, 3, 4, 5, i);
    qsort(values, 5, sizeof *values, compare);
    KEEP(jumps(11));
    char *copy = strdup("a copy");
    KEEP(copy);
    printf("%d %d\n", sum, values[0]);
    if (argc > 1) {
        pthread_t other;
        pthread_create(&other, NULL, thread, (void *)(size_t)(argc * 29));
        pthread_join(other, NULL);
    }
    free(copy);
    return argv == NULL;
}
