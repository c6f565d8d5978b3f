/* What a program finds of seccomp(2), ptrace(2) and its parents: the same as without an observer. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *what, long value)
{
	char line[80];

	(void)!write(1, line, snprintf(line, sizeof line, "%s %ld\n", what, value));
}

static int child_work(void *unused)
{
	(void)unused;
	for (int i = 0; i < 11; i++)
		free(malloc(100));
	return 7;
}

static void orphan(void)
{
	int gate[2];
	char byte;

	(void)!pipe(gate);
	if (fork()) {
		close(gate[1]);
		(void)!read(gate[0], &byte, 1); /* the grandchild holds the other end until it has seen its parent go */
		return;
	}
	if (fork())
		_exit(0);
	pid_t first = getppid();
	for (int i = 0; i < 3000 && getppid() == first; i++)
		usleep(1000);
	free(malloc(41));
	say("orphaned to", getppid());
	_exit(0);
}

int main(int count, char **word)
{
	const char *how = word[count - 1];
	static char stack[65536];
	int status = 0;
	struct sock_filter trace_getpid[] = {
		{ BPF_LD | BPF_W | BPF_ABS, 0, 0, 0 },
		{ BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_getpid },
		{ BPF_RET | BPF_K, 0, 0, SECCOMP_RET_TRACE | 5 },
		{ BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW },
	};
	struct sock_fprog filter = { 4, trace_getpid };

	free(malloc(37));
	if (!strcmp(how, "asks"))
		say("seccomp mode", prctl(PR_GET_SECCOMP));
	if (!strcmp(how, "strict") || !strcmp(how, "strict and more")) {
		say("strict", prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT));
		if (!strcmp(how, "strict and more"))
			syscall(SYS_getuid);
		syscall(SYS_exit, 5);
	}
	if (!strcmp(how, "strict by seccomp")) {
		say("strict", syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, NULL));
		syscall(SYS_mmap, 0, 4096, 3, 34, -1, 0);
		say("must not come here", 0);
	}
	if (!strcmp(how, "traces itself")) {
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		say("filter", prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter));
		errno = 0;
		say("getpid", syscall(SYS_getpid) == -1 ? -errno : 1);
		say("seccomp mode", prctl(PR_GET_SECCOMP));
		say("strict", prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT));
	}
	if (!strcmp(how, "untraced child")) {
		pid_t child = clone(child_work, stack + sizeof stack, CLONE_UNTRACED | SIGCHLD, NULL);
		waitpid(child, &status, 0);
		say("untraced child", child > 0 ? status : -errno);
	}
	if (!strcmp(how, "orphan"))
		orphan();
	if (!strcmp(how, "seizes its parent"))
		say("seized", ptrace(PTRACE_SEIZE, getppid(), 0, 0) ? -errno : 0);
	if (!strcmp(how, "attaches to its parent"))
		say("attached", ptrace(PTRACE_ATTACH, getppid(), 0, 0) ? -errno : 0);
	if (!strcmp(how, "stops its parent"))
		say("stopped", kill(getppid(), SIGSTOP));
	for (int i = 0; i < 11; i++)
		free(malloc(43));
	say("end", 0);
	return 0;
}
