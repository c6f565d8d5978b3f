/* A malloc of the program's own that lets another coroutine run in its midst; each coroutine has a stack of its own. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#define COROUTINES 3
#define STACK 65536
extern void *__libc_malloc(size_t);
static ucontext_t home, context[COROUTINES];
static int running = -1, turns;

static void yield(void)
{
	int from = running;

	if (running < 0)
		return;
	turns++;
	running = (running + 1) % COROUTINES;
	swapcontext(&context[from], &context[running]);
}

void *malloc(size_t size)
{
	void *piece;

	if (size % 2)
		yield();
	piece = __libc_malloc(size);
	if (size % 3 == 0)
		yield();
	return piece;
}

static void work(int which)
{
	for (int i = 0; i < 40; i++) {
		char *piece = malloc(100 * (which + 1) + i);
		memset(piece, which, 100);
		free(piece);
	}
	context[which].uc_link = &home;
	setcontext(&home);
}

int main(int count, char **word)
{
	for (int i = 0; i < COROUTINES; i++) {
		getcontext(&context[i]);
		context[i].uc_stack.ss_size = STACK;
		context[i].uc_stack.ss_sp = !strcmp(word[count - 1], "heap")
			? __libc_malloc(STACK)
			: mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		makecontext(&context[i], (void (*)(void))work, 1, i);
	}
	running = 0;
	swapcontext(&home, &context[0]);
	running = -1;
	printf("turns %d\n", turns > 20);
	return 0;
}
