/* Guards, holes and mappings of its own in what has grown by being touched: its stack, or what is like one; a child has
 * its part of it.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096
enum { PAGES = 300 };

static int guard(char *low)
{
	char *elsewhere = mmap(NULL, 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int status = 0;

	mprotect(low + 10 * PAGE, PAGE, PROT_NONE);
	munmap(low + 20 * PAGE, 4 * PAGE);
	mremap(low + 30 * PAGE, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, elsewhere);
	mmap(low + 40 * PAGE, 2 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	if (!fork()) {
		munmap(low + 50 * PAGE, PAGE);
		_exit(0);
	}
	wait(&status);
	return status;
}

static int on_the_stack(void)
{
	char stack[PAGES * PAGE];

	memset(stack, 1, sizeof stack);
	return guard((char *)((uintptr_t)(stack + PAGE) & -PAGE));
}

static int on_what_is_like_one(void)
{
	char *high = mmap((void *)0x700000000000, 4 * PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_GROWSDOWN, -1, 0);

	for (int i = 0; i < PAGES; i++)
		*(high - PAGE * i) = 1;
	return guard(high - PAGE * (PAGES - 1));
}

int main(int count, char **words)
{
	int status = count > 1 && !strcmp(words[1], "stack") ? on_the_stack() : on_what_is_like_one();

	free(malloc(100));
	puts("guarded");
	return status;
}
