/* Pieces of the heap: all functions of the family, contents checked; the break moved by hand; jumps across calls. */
#include <malloc.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#include "mixture.h"

enum { PIECES = 31, STRIDE = 1009 };

struct piece {
	unsigned char *start;
	size_t size;
	uint64_t key;
};

static void fill(const struct piece *p)
{
	for (size_t i = 0; i < p->size; i += STRIDE)
		p->start[i] = byte_of(p->key, i);
}

static void check(const struct piece *p, size_t known)
{
	for (size_t i = 0; i < known; i += STRIDE)
		must(p->start[i] == byte_of(p->key, i));
}

static size_t some_size(struct chance *c)
{
	size_t large;

	switch (any(c, 12)) {
	case 0:
		large = 1 + any(c, 200000);
		return large == MARKED ? large + 1 : large;
	case 1:
		return 1;
	case 2: case 3: case 4:
		return 1 + any(c, 9000);
	default:
		return 1 + any(c, 600);
	}
}

static void *aligned(struct chance *c, size_t size)
{
	size_t alignment = 32 << any(c, 8);
	void *start = NULL;

	switch (any(c, 3)) {
	case 0:
		start = memalign(alignment, size);
		break;
	case 1:
		start = aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
		break;
	default:
		must(!posix_memalign(&start, alignment, size));
	}
	must(start && (uintptr_t)start % alignment == 0);
	return start;
}

static void take(struct chance *c, struct piece *p)
{
	p->size = some_size(c);
	p->key = any(c, 1 << 30);
	switch (any(c, 5)) {
	case 0:
		p->start = calloc(1 + p->size / 16, 16);
		must(p->start && !p->start[0] && !p->start[p->size - 1]);
		break;
	case 1:
		p->start = aligned(c, p->size);
		break;
	default:
		p->start = malloc(p->size);
	}
	must(p->start && malloc_usable_size(p->start) >= p->size);
	fill(p);
}

static void resize(struct chance *c, struct piece *p)
{
	size_t old = p->size, size = some_size(c);

	p->start = any(c, 2) ? realloc(p->start, size) : reallocarray(p->start, size, 1);
	must(p->start);
	check(p, size < old ? size : old);
	p->size = size;
	fill(p);
}

static void give_back(struct piece *p)
{
	if (p->start)
		check(p, p->size);
	free(p->start);
	p->start = NULL;
}

void churn(struct chance *c, int many)
{
	struct piece pieces[PIECES] = { 0 };

	while (many-- > 0) {
		struct piece *p = &pieces[any(c, PIECES)];
		if (!p->start)
			take(c, p);
		else if (any(c, 3))
			give_back(p);
		else
			resize(c, p);
	}
	for (int i = 0; i < PIECES; i++)
		give_back(&pieces[i]);
	note(c, c->state);
}

void churn_for_ever(uint64_t seed)
{
	struct chance c = chance_of(seed);

	for (;;)
		churn(&c, 40);
}

void heap_churn(struct chance *c)
{
	churn(c, 20 + any(c, 60));
	if (!any(c, 4))
		malloc_trim(any(c, 3) * PAGE);
}

/* The program moves the break itself; malloc's heap goes on behind. */
void heap_break(struct chance *c)
{
	size_t size = 16 * (1 + any(c, 1500));
	unsigned char *mine = sbrk(size);

	must(mine != (void *)-1);
	memset(mine, 0x5a, size);
	churn(c, 20);
	must(mine[0] == 0x5a && mine[size - 1] == 0x5a);
	int back = any(c, 2);
	if (back && sbrk(0) == mine + size)
		must(sbrk(-(intptr_t)size) != (void *)-1);
}

static jmp_buf landing;
static void *volatile held[8];

static void dive(int depth, int jumps)
{
	volatile char frame[9000];

	frame[0] = frame[8999] = depth;
	held[depth] = malloc(100 + 1000 * depth);
	if (depth)
		dive(depth - 1, jumps);
	else if (jumps)
		longjmp(landing, 1);
	must(frame[0] == depth);
}

/* Out of several functions, mostly at once; what they held is given back where that ends. */
void heap_jump(struct chance *c)
{
	int depth = any(c, 8), jumps = any(c, 4);

	if (!setjmp(landing))
		dive(depth, jumps);
	for (int i = 0; i <= depth; i++) {
		must(held[i]);
		free(held[i]);
	}
	churn(c, 10);
}

static ucontext_t first, second;
static struct chance *of_second;

static void second_flow(void)
{
	for (;;) {
		void *piece = malloc(1 + any(of_second, 5000));
		must(piece);
		swapcontext(&second, &first);
		free(piece);
	}
}

/* A second flow of control, on a stack that lies in the heap, allocates in turns with the first. */
void heap_turns(struct chance *c)
{
	char *stack = malloc(STACK);

	must(stack && !getcontext(&second));
	of_second = c;
	second.uc_stack.ss_sp = stack;
	second.uc_stack.ss_size = STACK;
	makecontext(&second, second_flow, 0);
	for (int i = 2 + any(c, 6); i > 0; i--) {
		swapcontext(&first, &second);
		churn(c, 10);
	}
	free(stack);
}
