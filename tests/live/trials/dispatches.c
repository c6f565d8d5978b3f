/* Answers its own system calls, as programs do that run those of other systems (prctl(2), PR_SET_SYSCALL_USER_DISPATCH):
 * the kernel raises SIGSYS in the place of each, and the handler makes it by code that may. So before the recorder of
 * the observer is there, or, with an argument, when it is. Prints how many calls were answered.
 *
 * Status 77: this kernel has no such thing.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif
enum { CALLS = 101, LARGE = 13, RESTORES = 0x04000000, LENGTH = 4096 };

struct action {
	void (*handler)(int, siginfo_t *, void *);
	unsigned long flags;
	void (*restore)(void);
	unsigned long mask;
};

/* What may make calls: a call with the number and the arguments that are given, and the handler's way back. */
extern char allowed[];
long pass_on(long number, long a, long b, long c, long d, long e, long f);
void come_back(void);

__asm__(".text\n .balign 4096\n allowed:\n"
	"pass_on: mov %rdi, %rax\n mov %rsi, %rdi\n mov %rdx, %rsi\n mov %rcx, %rdx\n mov %r8, %r10\n mov %r9, %r8\n"
	"mov 8(%rsp), %r9\n syscall\n ret\n"
	"come_back: mov $15, %eax\n syscall\n .balign 4096\n");

static volatile char asks;
static volatile long answered;

static void answer(int number, siginfo_t *information, void *context)
{
	greg_t *had = ((ucontext_t *)context)->uc_mcontext.gregs;

	(void)number, (void)information;
	answered++;
	had[REG_RAX] = pass_on(had[REG_RAX], had[REG_RDI], had[REG_RSI], had[REG_RDX], had[REG_R10], had[REG_R8],
			       had[REG_R9]);
}

static void work(void)
{
	void *large[LARGE];

	for (int i = 0; i < CALLS; i++)
		free(malloc(23));
	for (int i = 0; i < LARGE; i++)
		large[i] = malloc(200003);
	for (int i = 0; i < LARGE; i++)
		free(large[i]);
}

int main(int count, char **words)
{
	struct action action = {answer, SA_SIGINFO | SA_NODEFER | RESTORES, come_back, 0};

	(void)words;
	if (count > 1)
		work();
	syscall(SYS_rt_sigaction, SIGSYS, &action, NULL, 8);
	if (prctl(PR_SET_SYSCALL_USER_DISPATCH, 1, allowed, LENGTH, &asks))
		return 77;
	asks = 1;
	work();
	asks = 0;
	printf("%ld\n", answered);
	return 0;
}
