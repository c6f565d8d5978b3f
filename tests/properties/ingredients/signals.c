/* Signals: a timer whose handler maps, allocates where it may and jumps where it may; own signals; repaired faults. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include "mixture.h"

_Thread_local struct place here;
static atomic_long interval;	/* microseconds from the end of a handler to the next signal; 0: no timer */
static char other_stack[16 * PAGE];

static void arm(long microseconds)
{
	struct itimerval once = { .it_value.tv_usec = microseconds };

	setitimer(ITIMER_REAL, &once, NULL);
}

static void tick(int number)
{
	int error = errno;
	char *pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(pages != MAP_FAILED);
	pages[0] = 1;
	munmap(pages, 2 * PAGE);
	if (here.may_allocate)
		free(malloc(1501));
	if (number == SIGALRM && atomic_load(&interval))
		arm(atomic_load(&interval));
	errno = error;
	if (here.may_jump) {
		here.may_jump = 0;
		siglongjmp(here.out, 1);
	}
}

static void handle(int number, int flags, int all_blocked)
{
	struct sigaction action = { .sa_handler = tick, .sa_flags = SA_RESTART | flags };

	if (all_blocked)
		sigfillset(&action.sa_mask);
	must(!sigaction(number, &action, NULL));
}

/* From now on, or until another interval is chosen, handlers come at any time; the next is counted from the last's end. */
void signals_timer(struct chance *c)
{
	stack_t other = { .ss_sp = other_stack, .ss_size = sizeof other_stack };

	must(!sigaltstack(&other, NULL));
	int flags = any(c, 2) ? SA_ONSTACK : 0, all_blocked = any(c, 2);
	handle(SIGALRM, flags, all_blocked);
	handle(SIGCHLD, flags, !all_blocked);
	atomic_store(&interval, 500 + any(c, 5000));
	arm(atomic_load(&interval));
}

/* No handler after this; a signal that is on its way is ignored, by the next program of this process, too. */
void signals_stop(void)
{
	atomic_store(&interval, 0);
	arm(0);
	signal(SIGALRM, SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
}

/* Here no lock of the allocator is held: handlers may allocate. */
void signals_spin(struct chance *c)
{
	here.may_allocate = 1;
	for (volatile int i = 2000 + any(c, 200000); i > 0; i--)
		;
	handle(SIGUSR2, 0, any(c, 2));
	raise(SIGUSR2);
	here.may_allocate = 0;
}

/* Spin until a handler jumps out: the timer's, or that of a signal of our own. */
void signals_jump(struct chance *c)
{
	int long_enough = any(c, 100000);

	handle(SIGUSR2, any(c, 2) ? SA_ONSTACK : 0, any(c, 2));
	if (!sigsetjmp(here.out, 1)) {
		here.may_jump = 1;
		for (volatile int i = 0; i < long_enough; i++)
			;
		raise(SIGUSR2);
		must(!"a handler jumped");
	}
	must(!here.may_jump);
}

static atomic_int arrived;

static void arrives(int number, siginfo_t *information, void *context)
{
	(void)context;
	must(information->si_signo == number);
	atomic_fetch_add(&arrived, 1);
}

/* To itself, directly, and queued while blocked. */
void signals_raise(struct chance *c)
{
	struct sigaction action = { .sa_sigaction = arrives, .sa_flags = SA_SIGINFO | SA_RESTART };
	int many = 1 + any(c, 5);
	sigset_t queued, before;

	atomic_store(&arrived, 0);
	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGRTMIN + 3, &action, NULL);
	sigemptyset(&queued);
	sigaddset(&queued, SIGRTMIN + 3);
	pthread_sigmask(SIG_BLOCK, &queued, &before);
	for (int i = 0; i < many; i++) {
		must(!pthread_sigqueue(pthread_self(), SIGRTMIN + 3, (union sigval){ .sival_int = i }));
		must(!(any(c, 2) ? raise(SIGUSR1) : pthread_kill(pthread_self(), SIGUSR1)));
	}
	churn(c, 10);
	must(atomic_load(&arrived) == many);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	must(atomic_load(&arrived) == 2 * many);
	atomic_store(&arrived, 0);
	must(!kill(getpid(), SIGUSR1));
	while (!atomic_load(&arrived))
		sched_yield();
}

static void repairs(int number, siginfo_t *information, void *context)
{
	(void)number, (void)context;
	char *page = (char *)((uintptr_t)information->si_addr & -(uintptr_t)PAGE);

	if (mprotect(page, PAGE, PROT_READ | PROT_WRITE))
		signal(SIGSEGV, SIG_DFL);
}

/* Each first touch is refused; a handler lets it in, and the instruction is carried out again. */
void signals_repair(struct chance *c)
{
	struct sigaction action = { .sa_sigaction = repairs, .sa_flags = SA_SIGINFO | (any(c, 2) ? SA_ONSTACK : 0) };
	int pages = 1 + any(c, 9);
	char *region = mmap(NULL, pages * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(region != MAP_FAILED && !sigaction(SIGSEGV, &action, NULL));
	for (int i = 0; i < pages; i++)
		region[i * PAGE + any(c, PAGE)] = 1 + i;
	signal(SIGSEGV, SIG_DFL);
	munmap(region, pages * PAGE);
}
