/* A thread calls into the C library without a pause while another forks: for a moment all pages of its stack are shared
 * with each child, and whoever writes first gets one of its own.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FORKS = 40 };

static volatile int done;

static void *work(void *argument)
{
	unsigned seed = 1;

	while (!done)
		rand_r(&seed);
	return argument;
}

int main(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, work, NULL);
	for (int i = 0; i < FORKS; i++) {
		pid_t child = fork();

		if (!child)
			_exit(0);
		waitpid(child, NULL, 0);
	}
	done = 1;
	pthread_join(thread, NULL);
	puts("end");
	return 0;
}
