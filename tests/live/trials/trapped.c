/* A program that handles or ignores SIGTRAP, and blocks it in all the ways there are while it allocates. */
#define _GNU_SOURCE
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile int traps;

static int is_blocked(void)
{
	sigset_t now;

	sigprocmask(SIG_BLOCK, NULL, &now);
	return sigismember(&now, SIGTRAP);
}

static void on_trap(int number)
{
	(void)number;
	free(malloc(11));
	traps++;
}

static void on_alarm(int number)
{
	char line[40];

	(void)number;
	for (int i = 0; i < 5; i++)
		free(malloc(13 + i));
	(void)!write(1, line, snprintf(line, sizeof line, "in the handler %d\n", is_blocked()));
}

/* The alarm comes when it is no longer blocked: in the call that waits for it, never before. */
static void have_alarm_wait(void)
{
	sigset_t alarm;

	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	sigprocmask(SIG_BLOCK, &alarm, NULL);
	raise(SIGALRM);
}

int main(int count, char **word)
{
	const char *how = word[count - 1];
	sigset_t trap, none;
	struct sigaction on = { .sa_handler = on_trap }, alarm_on = { .sa_handler = on_alarm }, now;
	struct timespec second = { 1, 0 };
	int status;

	sigemptyset(&none);
	sigemptyset(&trap);
	sigaddset(&trap, SIGTRAP);
	if (!strcmp(how, "ignored"))
		on.sa_handler = SIG_IGN;
	if (!strcmp(how, "masked by a handler"))
		alarm_on.sa_mask = trap;
	sigaction(SIGTRAP, &on, NULL);
	sigaction(SIGALRM, &alarm_on, NULL);
	if (!strcmp(how, "masked by a handler"))
		raise(SIGALRM);
	if (!strcmp(how, "sigsuspend")) {
		have_alarm_wait();
		sigsuspend(&trap);
	}
	if (!strcmp(how, "ppoll")) {
		have_alarm_wait();
		ppoll(NULL, 0, &second, &trap);
	}
	if (!strcmp(how, "back from sigsuspend")) {
		sigprocmask(SIG_BLOCK, &trap, NULL);
		have_alarm_wait();
		sigsuspend(&none);
		free(malloc(17));
		printf("still blocked %d\n", is_blocked());
		sigprocmask(SIG_UNBLOCK, &trap, NULL);
	}
	if (!strcmp(how, "inherited")) {
		sigprocmask(SIG_BLOCK, &trap, NULL);
		execl("/proc/self/exe", word[0], "after exec", NULL);
	}
	if (!strcmp(how, "after exec")) {
		free(malloc(19));
		printf("inherited %d\n", is_blocked());
		sigprocmask(SIG_UNBLOCK, &trap, NULL);
	}
	if (!strcmp(how, "child")) {
		sigprocmask(SIG_BLOCK, &trap, NULL);
		if (!fork()) {
			free(malloc(23));
			status = is_blocked();
			sigprocmask(SIG_UNBLOCK, &trap, NULL);
			raise(SIGTRAP);
			_exit(10 * status + traps);
		}
		wait(&status);
		printf("child %d\n", WEXITSTATUS(status));
		sigprocmask(SIG_UNBLOCK, &trap, NULL);
	}
	free(malloc(29));
	sigaction(SIGTRAP, NULL, &now);
	printf("kept %d\n", now.sa_handler == on.sa_handler);
	fflush(stdout);
	if (on.sa_handler != SIG_IGN)
		__asm__ volatile("int3");
	raise(SIGTRAP);
	printf("traps %d\n", traps);
	return 0;
}
