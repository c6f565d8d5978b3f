/* Threads, then a fork, then threads of the child's, which fork again: each calls the allocator. Prints how many calls. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 4, CALLS = 300 };

static void *work(void *unused)
{
	for (int i = 0; i < CALLS; i++)
		free(malloc(3000 + i));
	return unused;
}

static void threads(void)
{
	pthread_t made[THREADS];

	for (int i = 0; i < THREADS; i++)
		pthread_create(made + i, NULL, work, NULL);
	for (int i = 0; i < THREADS; i++)
		pthread_join(made[i], NULL);
	work(NULL);
}

int main(void)
{
	int status, depth = 0;
	pid_t child;

	do {
		threads();
		child = depth++ < 2 ? fork() : -1;
	} while (!child);
	if (child > 0 && (waitpid(child, &status, 0) != child || status))
		return 1;
	if (depth == 1)
		printf("%d\n", 3 * (THREADS + 1) * CALLS);
	return 0;
}
