/* Forbids to be read, then allocates: do the registers that a function must keep come back from malloc and free? */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Calls function(argument) with known values in the registers; stores its result, returns a bit for each one changed. */
__attribute__((naked)) long changed_by(void *(*function)(size_t), size_t argument, void **result)
{
	__asm__("push %rbp\n push %rbx\n push %r12\n push %r13\n push %r14\n push %r15\n push %rdx\n"
		"mov %rdi, %rax\n mov %rsi, %rdi\n"
		"mov $0x17, %ebx\n mov $0x23, %ebp\n mov $0x29, %r12d\n mov $0x31, %r13d\n mov $0x37, %r14d\n mov $0x41, %r15d\n"
		"call *%rax\n"
		"pop %rdx\n mov %rax, (%rdx)\n xor %eax, %eax\n"
		"cmp $0x17, %rbx\n je 1f\n or $1, %eax\n 1: cmp $0x23, %rbp\n je 1f\n or $2, %eax\n"
		"1: cmp $0x29, %r12\n je 1f\n or $4, %eax\n 1: cmp $0x31, %r13\n je 1f\n or $8, %eax\n"
		"1: cmp $0x37, %r14\n je 1f\n or $16, %eax\n 1: cmp $0x41, %r15\n je 1f\n or $32, %eax\n"
		"1: pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbx\n pop %rbp\n ret\n");
}

static long work(void)
{
	long changed = 0;
	void *piece[11], *unused;

	for (int i = 0; i < 11; i++) {
		changed |= changed_by(malloc, 5003 + i, &piece[i]);
		memset(piece[i], i, 5003);
	}
	for (int i = 0; i < 11; i++)
		changed |= changed_by((void *(*)(size_t))free, (size_t)piece[i], &unused);
	char *zeroed = calloc(17, 101);
	for (int i = 0; i < 17 * 101; i++)
		changed |= zeroed[i] != 0 ? 64 : 0;
	free(realloc(zeroed, 9001));
	if (posix_memalign(&unused, 64, 23) || (size_t)unused % 64)
		changed |= 128;
	free(unused);
	return changed;
}

int main(int count, char **word)
{
	int status = 0;

	prctl(PR_SET_DUMPABLE, 0);
	if (count > 1 && !strcmp(word[1], "fork")) {
		pid_t child = fork();
		if (!child)
			_exit(work() != 0);
		waitpid(child, &status, 0);
	}
	printf("registers changed: %#lx, child %#x\n", work(), status);
	return status != 0;
}
