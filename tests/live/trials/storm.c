/* A timer's handler maps, touches and unmaps memory, and allocates if asked to, while the program allocates. */
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>

static volatile int ticks, jumps;
static sigjmp_buf back;
static const char *mode;

static void tick(int number)
{
	char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)number;
	page[0] = 1;
	munmap(page, 8192);
	ticks++;
	if (!strcmp(mode, "jump") && ticks % 3 == 0)
		siglongjmp(back, 1);
}

int main(int count, char **word)
{
	static char other[65536];
	stack_t stack = { .ss_sp = other, .ss_size = sizeof other };
	struct sigaction action = { .sa_handler = tick, .sa_flags = SA_RESTART };
	struct itimerval often = { { 0, 700 }, { 0, 700 } };
	void *volatile piece[101] = { 0 };
	volatile unsigned seed = 5;
	volatile int i = 0;

	mode = count > 1 ? word[1] : "";
	if (!strcmp(mode, "aside")) {
		sigaltstack(&stack, NULL);
		action.sa_flags |= SA_ONSTACK;
	}
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	if (sigsetjmp(back, 1))
		jumps++;
	/* A jump may leave the allocator's lock held and its lists half changed: then only the mapped pieces are safe. */
	for (; i < 3001; i++) {
		int which = i % 101;
		seed = seed * 1103515245 + 12345;
		if (!strcmp(mode, "jump")) {
			getenv("nothing");
			continue;
		}
		free(piece[which]);
		piece[which] = malloc(seed / 7 % 9000);
	}
	often.it_value.tv_usec = 0;
	setitimer(ITIMER_REAL, &often, NULL);
	printf("done %d\n", i);
	return ticks < 0;
}
