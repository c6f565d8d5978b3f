/* Executes its calls of malloc and free one instruction at a time (the trap flag of EFLAGS), as a debugger of its own
 * would, and counts its steps: some before the recorder of the observer is there, some when it is.
 *
 * Prints whether there were as many as calls take at least, and that the calls behind it are as ever.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum { BEFORE = 29, CALLS = 11, BEHIND = 101, FEWEST = 10 };

static volatile long steps;

static void step(int number)
{
	(void)number;
	steps++;
}

int main(void)
{
	void *piece[CALLS];

	for (int i = 0; i < BEFORE; i++)
		free(malloc(31));
	signal(SIGTRAP, step);
	__asm__ volatile("pushfq\n orq $0x100, (%%rsp)\n popfq" ::: "cc", "memory");
	for (int i = 0; i < CALLS; i++)
		piece[i] = malloc(23);
	for (int i = 0; i < CALLS; i++)
		free(piece[i]);
	__asm__ volatile("pushfq\n andq $~0x100, (%%rsp)\n popfq" ::: "cc", "memory");
	for (int i = 0; i < BEHIND; i++)
		free(malloc(29));
	printf("%s\n", steps > 2L * CALLS * FEWEST ? "stepped" : "too few steps");
	return 0;
}
