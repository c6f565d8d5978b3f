/* A timer as fast as it goes (20 us), while the program allocates: by setitimer(2), or timer_create(2) with "queue". */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

static volatile int ticks;

static void tick(int number)
{
	(void)number;
	ticks++;
}

int main(int count, char **word)
{
	struct sigaction action = { .sa_handler = tick, .sa_flags = SA_RESTART };
	struct itimerval often = { { 0, 20 }, { 0, 20 } };
	struct itimerspec queued = { { 0, 20000 }, { 0, 20000 } };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN };
	timer_t timer;
	sigset_t now;

	sigaction(SIGALRM, &action, NULL);
	sigaction(SIGRTMIN, &action, NULL);
	if (count > 1 && !strcmp(word[1], "queue")) {
		timer_create(CLOCK_MONOTONIC, &event, &timer);
		timer_settime(timer, 0, &queued, NULL);
	} else {
		setitimer(ITIMER_REAL, &often, NULL);
	}
	for (int i = 0; i < 20000; i++)
		free(malloc(i % 2000 + 1));
	while (ticks < 50)
		free(malloc(3001));
	for (int i = 0; i < 1000; i++) {
		sigprocmask(SIG_SETMASK, NULL, &now);
		if (sigismember(&now, SIGALRM) || sigismember(&now, SIGRTMIN))
			return 1;
	}
	puts("end");
	return 0;
}
