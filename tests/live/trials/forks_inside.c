/* A timer's handler forks, often in the midst of malloc or free, and takes longer than the timer: the next signal waits
 * when it returns, and the child's death has sent another one between. The program gets on all the same.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FORKS = 41, PIECES = 16, MICROSECONDS = 2000 };

static volatile int forks;

static void tick(int number)
{
	pid_t child = fork();
	int status;

	(void)number;
	if (!child) {
		free(malloc(31));
		_exit(0);
	}
	waitpid(child, &status, 0);
	forks++;
}

int main(void)
{
	struct itimerval often = { { 0, MICROSECONDS }, { 0, MICROSECONDS } }, never = { { 0, 0 }, { 0, 0 } };
	void *piece[PIECES] = { NULL };

	signal(SIGALRM, tick);
	setitimer(ITIMER_REAL, &often, NULL);
	for (unsigned i = 0; forks < FORKS || i % 101; i++) {
		free(piece[i % PIECES]);
		piece[i % PIECES] = malloc(1500 + i * 37 % 5000);
	}
	setitimer(ITIMER_REAL, &never, NULL);
	for (int i = 0; i < PIECES; i++)
		free(piece[i]);
	puts("end");
	return 0;
}
