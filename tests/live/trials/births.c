/* A child that makes tasks all the time is killed in the midst of it, again and again. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void *nothing(void *unused) { return unused; }

static void make(const char *what)
{
	pthread_t thread;

	if (!strcmp(what, "thread")) {
		if (!pthread_create(&thread, NULL, nothing, NULL))
			pthread_join(thread, NULL);
	} else if (!strcmp(what, "vfork")) {
		pid_t child = vfork();
		if (!child)
			_exit(0);
	} else {
		pid_t child = fork();
		if (!child) {
			free(malloc(23));
			_exit(0);
		}
		waitpid(child, NULL, 0);
	}
}

int main(int count, char **word)
{
	srand(11);
	for (int i = 0; i < atoi(word[count - 1]); i++) {
		pid_t child = fork();
		if (!child)
			for (;;)
				make(word[1]);
		usleep(1000 + rand() % 4000);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	write(1, "end\n", 4);
	return 3;
}
