/* Children exec what cannot be loaded when it is too late to go back: a file that was cut off, an address space or a
 * stack that has no room for it. The kernel kills each (execve(2), NOTES); before and behind that all of them allocate.
 * Prints how many were killed by SIGSEGV.
 *
 * half_exec FILE: FILE is a program's first page.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CALLS = 101 };

static void work(void)
{
	for (int i = 0; i < CALLS; i++)
		free(malloc(17 + i));
}

static void leave_no_room(void)
{
	struct rlimit little = {20000, 20000};

	setrlimit(RLIMIT_AS, &little);
}

int main(int count, char **words)
{
	int killed = 0, status;

	if (count < 2)
		return 2;
	work();
	for (int i = 0; i < 2; i++) {
		pid_t child = fork();

		if (!child) {
			char *file = i ? "/bin/true" : words[1];

			work();
			if (i)
				leave_no_room();
			execl(file, file, NULL);
			_exit(1);
		}
		killed += waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == 11;
	}
	work();
	printf("%d\n", killed);
	return 0;
}
