/* driver.c: three traces, each played by every fit on a heap of its own. It is given: do not change it. */
#include "heap.h"

#include <unistd.h>

#include "parameters.h"

/* ---- the heap ---- */

struct chunk *heap_start, *heap_end, *rover;

struct chunk *behind(struct chunk *chunk)
{
    return (struct chunk *)((char *)chunk + chunk->size);
}

static void heap_reset(void)
{
    if (heap_end > heap_start)
        sbrk((char *)heap_start - (char *)heap_end);
    heap_start = heap_end = rover = sbrk(0);
}

static void merge(void)
{
    for (struct chunk *chunk = heap_start; chunk < heap_end; chunk = behind(chunk))
        while (!chunk->used && behind(chunk) < heap_end && !behind(chunk)->used) {
            if (rover == behind(chunk))
                rover = chunk;
            chunk->size += behind(chunk)->size;
        }
}

/* Asks the kernel for just the chunk that is needed. */
static struct chunk *grow(size_t needed)
{
    struct chunk *chunk = sbrk(needed);

    if (chunk == (void *)-1)
        return NULL;
    heap_end = (struct chunk *)((char *)chunk + needed);
    chunk->size = needed;
    return chunk;
}

static void *my_malloc(size_t size, fit *choose)
{
    size_t needed = (sizeof(struct chunk) + size + 15) / 16 * 16;

    merge();
    struct chunk *chunk = choose(needed);
    if (chunk == NULL)
        chunk = grow(needed);
    if (chunk == NULL)
        return NULL;
    size_t rest = chunk->size - needed;
    if (rest >= 2 * sizeof(struct chunk)) {
        chunk->size = needed;
        behind(chunk)->size = rest;
        behind(chunk)->used = 0;
    }
    chunk->used = 1;
    rover = behind(chunk);
    return chunk + 1;
}

static void my_free(void *piece)
{
    ((struct chunk *)piece - 1)->used = 0;
}

/* ---- the traces: `ask` is for a chunk of so many units, `give_back` for what was asked for by its number ---- */

static struct op {
    int piece;
    size_t size; /* 0: it is given back */
} ops[1000];
static int count, pieces, is_held[1000];
static void *piece[1000];

static int ask(int units)
{
    ops[count++] = (struct op){pieces, units * UNIT - sizeof(struct chunk)};
    is_held[pieces] = 1;
    return pieces++;
}

static void give_back(int number)
{
    ops[count++] = (struct op){number, 0};
    is_held[number] = 0;
}

static void begin(void)
{
    count = pieces = 0;
}

static void end(void)
{
    for (int number = 0; number < pieces; number++)
        if (is_held[number])
            give_back(number);
}

/* Holes of 8 and 4 units; then many small pieces, then many large ones. */
static void holes(void)
{
    int large[GROUPS], small[GROUPS];

    begin();
    for (int group = 0; group < GROUPS; group++) {
        large[group] = ask(8);
        ask(1);
        small[group] = ask(4);
        ask(1);
    }
    for (int group = 0; group < GROUPS; group++) {
        give_back(large[group]);
        give_back(small[group]);
    }
    for (int group = 0; group < GROUPS; group++)
        ask(4);
    for (int group = 0; group < GROUPS; group++)
        ask(8);
    end();
}

/* One hole of 16 units, in which each small piece is given back when the next one is there; then a large piece. */
static void window(void)
{
    begin();
    int hole = ask(16);
    ask(1);
    give_back(hole);
    int before = ask(1);
    for (int step = 0; step < WINDOW; step++) {
        int next = ask(1);
        give_back(before);
        before = next;
    }
    ask(12);
    end();
}

/* Again and again a hole of 5 and one of 4 units, for pieces of 3, 4 and 2. */
static void slivers(void)
{
    begin();
    for (int group = 0; group < GROUPS; group++) {
        int five = ask(5);
        ask(6);
        int four = ask(4);
        ask(6);
        give_back(five);
        give_back(four);
        ask(3);
        ask(4);
        ask(2);
    }
    end();
}

/* ---- every trace, by every fit ---- */

#define PLAY(fit) \
    for (struct op *op = ops; op < ops + count; op++) \
    if (op->size == 0) \
        my_free(piece[op->piece]); \
    else if ((piece[op->piece] = my_malloc(op->size, fit)) == NULL) \
    return 1

int main(void)
{
    holes();
    heap_reset();
    PLAY(first_fit); // @FIRST_HOLES
    heap_reset();
    PLAY(next_fit); // @NEXT_HOLES
    heap_reset();
    PLAY(best_fit); // @BEST_HOLES
    heap_reset();
    PLAY(for_holes); // @FOR_HOLES

    window();
    heap_reset();
    PLAY(first_fit); // @FIRST_WINDOW
    heap_reset();
    PLAY(next_fit); // @NEXT_WINDOW
    heap_reset();
    PLAY(best_fit); // @BEST_WINDOW
    heap_reset();
    PLAY(for_window); // @FOR_WINDOW

    slivers();
    heap_reset();
    PLAY(first_fit); // @FIRST_SLIVERS
    heap_reset();
    PLAY(next_fit); // @NEXT_SLIVERS
    heap_reset();
    PLAY(best_fit); // @BEST_SLIVERS
    heap_reset();
    PLAY(for_slivers); // @FOR_SLIVERS
    heap_reset();
    return 0;
}
