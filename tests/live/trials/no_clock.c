/* Forbids itself to read the processor's clock (prctl(2), PR_SET_TSC), so that an instruction that does raises SIGSEGV;
 * malloc and free have none. So from the beginning, or behind many calls, or in a thread among others ("begin", "behind",
 * "thread"), then a fork: the child has it from its parent.
 *
 * Status 77: this machine has no such thing.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CALLS = 101, NOT_HERE = 77 };

static volatile int is_over;

static void work(void)
{
	for (int i = 0; i < CALLS; i++)
		free(malloc(23));
}

static void forbid(void)
{
	if (prctl(PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0))
		_exit(NOT_HERE);
}

static void *forbids(void *unused)
{
	work();
	forbid();
	work();
	return unused;
}

static void *goes_on(void *unused)
{
	while (!is_over)
		free(malloc(29));
	return unused;
}

int main(int count, char **words)
{
	pthread_t first, second;
	int status = 0;
	pid_t child;

	if (count < 2)
		return 2;
	if (strcmp(words[1], "begin"))
		work();
	if (strcmp(words[1], "thread")) {
		forbid();
		work();
	} else {
		pthread_create(&first, NULL, goes_on, NULL);
		pthread_create(&second, NULL, forbids, NULL);
		pthread_join(second, NULL);
		is_over = 1;
		pthread_join(first, NULL);
		work();
	}
	child = fork();
	work();
	if (!child)
		_exit(7);
	waitpid(child, &status, 0);
	printf("%d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
	return 0;
}
