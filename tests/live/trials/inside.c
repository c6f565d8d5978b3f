/* Calls in every situation in which a recorder inside the program may be: prints how many of each it made. */
#define _GNU_SOURCE
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static long handled, made;
static void *kept;
static void *(*volatile ask)(size_t) = malloc;
static char stack[1 << 16] __attribute__((aligned(16)));

static void handler(int number)
{
	(void)number;
	handled++;
	if (malloc_usable_size(kept) < 4099)
		abort();
}

static int rounds(void *times)
{
	for (long i = 0; i < (long)times; i++)
		free(ask(3000 + i % 97));
	return 0;
}

static void *thread(void *times)
{
	rounds(times);
	return NULL;
}

/* A timer's signals, wherever the program is in its calls. */
static void signals(void)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART };
	struct itimerval often = { { 0, 1700 }, { 0, 1700 } }, never = { { 0, 0 }, { 0, 0 } };
	void *slot[32] = { NULL }, *aligned;
	unsigned at = 1;

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	for (int i = 0; i < 60000; i++) {
		at = at * 1103515245 + 12345;
		void **one = &slot[at >> 16 & 31];
		free(*one);
		memset(*one = ask(3000 + (at >> 8 & 1023)), i, 16);
		made++;
		if (i % 997 == 0) {
			if (posix_memalign(&aligned, 256, 3000) || (unsigned long)aligned % 256)
				abort();
			free(aligned);
			char *zeroes = calloc(30, 100);
			for (int j = 0; j < 3000; j++)
				if (zeroes[j])
					abort();
			free(memset(zeroes, 1, 3000));
		}
	}
	setitimer(ITIMER_REAL, &never, NULL);
}

static void children(void)
{
	char *words[] = { "true", NULL };
	pid_t child;

	rounds((void *)500);
	made += 500;
	if (posix_spawn(&child, "/bin/true", NULL, NULL, words, environ))
		abort();
	waitpid(child, NULL, 0);
	if ((child = vfork()) == 0) {
		free(ask(3001));
		_exit(0);
	}
	waitpid(child, NULL, 0);
	if ((child = fork()) == 0) {
		rounds((void *)300);
		if (fork() == 0)
			rounds((void *)200);
		else
			wait(NULL);
		_exit(0);
	}
	waitpid(child, NULL, 0);
	child = clone(rounds, stack + sizeof stack, CLONE_VM | SIGCHLD, (void *)400);
	waitpid(child, NULL, 0);
	rounds((void *)100);
	made += 1 + 300 + 200 + 400 + 100;
}

static void threads(void)
{
	pthread_t many[20];

	for (int turn = 0; turn < 3; turn++) {
		for (int i = 0; i < 20; i++)
			if (pthread_create(&many[i], NULL, thread, (void *)300))
				abort();
		for (int i = 0; i < 20; i++)
			pthread_join(many[i], NULL);
		made += 20 * 300;
	}
}

int main(int count, char **word)
{
	kept = malloc(4099);
	if (!strcmp(word[count - 1], "signals"))
		signals();
	if (!strcmp(word[count - 1], "children"))
		children();
	if (!strcmp(word[count - 1], "threads"))
		threads();
	printf("%ld %ld\n", made, handled);
	return 7;
}
