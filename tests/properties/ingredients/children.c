/* Children: born by fork, vfork, clone, posix_spawn; they work, run this program again, are killed, lose their parent. */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mixture.h"

enum { SHARED = 5 * PAGE, MOST_GENERATIONS = 2 };

extern char **environ;
static int generation;

/* Fork; the child is a process with one thread and without a timer. */
static pid_t born(void)
{
	pid_t child = fork();

	must(child >= 0);
	if (!child) {
		generation++;
		threads_forget();
	}
	return child;
}

static int end_of(pid_t child)
{
	int status;

	must(waitpid(child, &status, 0) == child);
	return status;
}

void child_works(struct chance *c)
{
	struct chance own = chance_of(any(c, 1 << 30));

	if (generation >= MOST_GENERATIONS) {
		churn(c, 20);
		return;
	}
	pid_t child = born();
	if (!child) {
		churn(&own, 20);
		mixed(&own, any(&own, 3));
		own.sum & 64 ? exit(own.sum & 63) : _exit(own.sum & 63);
	}
	int status = end_of(child);
	must(WIFEXITED(status) && WEXITSTATUS(status) != 99);
	note(c, WEXITSTATUS(status));
}

static void *never_ends(void *seed)
{
	churn_for_ever((uintptr_t)seed);
	return NULL;
}

/* What can be interrupted anywhere: calls, births of processes, threads. */
static void work_for_ever(uint64_t how, uint64_t seed)
{
	pthread_t beside;

	if (how == 0)
		pthread_create(&beside, NULL, never_ends, (void *)(uintptr_t)seed);
	while (how == 1) {
		pid_t child = fork();
		if (!child)
			_exit(0);
		waitpid(child, NULL, 0);
	}
	churn_for_ever(seed + 1);
}

void child_killed(struct chance *c)
{
	uint64_t how = any(c, 3), seed = any(c, 1 << 30), delay = any(c, 6000);
	pid_t child = born();

	if (!child)
		work_for_ever(how, seed);
	usleep(delay);
	must(!kill(child, SIGKILL));
	note(c, end_of(child));
}

void child_ends_badly(struct chance *c)
{
	static const int signals[] = { SIGKILL, SIGTERM, SIGSEGV, SIGABRT };
	int how = any(c, 4);
	pid_t child = born();

	if (!child) {
		free(malloc(100));
		if (signals[how] == SIGABRT)
			abort();
		if (signals[how] == SIGSEGV)
			*(volatile char *)(uintptr_t)(how - 2) = 1;
		raise(signals[how]);
	}
	int status = end_of(child);
	must(WIFSIGNALED(status) && WTERMSIG(status) == signals[how]);
	note(c, WTERMSIG(status));
}

static int writes(void *shared)
{
	char *own = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memset(own, 0x37, 3 * PAGE);
	memcpy(shared, own, 3 * PAGE);
	munmap(own, 3 * PAGE);
	_exit(7);
}

/* A child that has the pages with its parent: a shared mapping, or all memory without being a thread. */
void child_shares(struct chance *c)
{
	static char stack[16 * PAGE] __attribute__((aligned(16)));
	int all = any(c, 2), at_once = any(c, 2) ? CLONE_VFORK : 0;
	char *shared = mmap(NULL, SHARED, PROT_READ | PROT_WRITE, (all ? MAP_PRIVATE : MAP_SHARED) | MAP_ANONYMOUS, -1, 0);
	pid_t child = all ? clone(writes, stack + sizeof stack, CLONE_VM | at_once | SIGCHLD, shared) : born();

	must(shared != MAP_FAILED && child >= 0);
	if (!child)
		writes(shared);
	must(WEXITSTATUS(end_of(child)) == 7);
	must(shared[0] == 0x37 && shared[3 * PAGE - 1] == 0x37 && shared[3 * PAGE] == 0);
	munmap(shared, SHARED);
}

/* A grandchild goes on after its parent has ended; it tells by a pipe that it has done its work. */
void child_orphan(struct chance *c)
{
	int gate[2], many = 10 + any(c, 30);
	char word = 0;

	must(!pipe(gate));
	pid_t child = born();
	if (!child) {
		struct chance own = chance_of(many);
		if (born())
			_exit(3);
		churn(&own, many);
		mark();
		word = own.sum;
		must(write(gate[1], &word, 1) == 1);
		_exit(0);
	}
	close(gate[1]);
	must(WEXITSTATUS(end_of(child)) == 3);
	must(read(gate[0], &word, 1) == 1);
	close(gate[0]);
	note(c, (unsigned char)word);
}

static void *runs(void *words)
{
	char **argument = words;

	execv(argument[0], argument);
	must(!"execv");
	return NULL;
}

static pid_t run(uint64_t how, char **words)
{
	pthread_t second;
	pid_t child;

	if (how == 0) {
		must(!posix_spawn(&child, self, NULL, NULL, words, environ));
		return child;
	}
	child = how == 1 ? vfork() : fork();
	if (!child && how == 2)
		must(!pthread_create(&second, NULL, runs, words) && !pthread_join(second, NULL));
	if (!child) {
		execv(self, words);
		_exit(99);
	}
	must(child > 0);
	return child;
}

/* This program again, with fewer steps than we have; its line is printed before ours goes on. */
void child_runs_self(struct chance *c)
{
	int most = length / 2 < 3 ? length / 2 : 3;
	char seed[24], steps[24], *words[] = { (char *)self, seed, steps, (char *)folder, NULL };

	snprintf(seed, sizeof seed, "%llu", (unsigned long long)any(c, 1000000));
	snprintf(steps, sizeof steps, "%d", (int)any(c, most + 1));
	int status = end_of(run(any(c, 4), words));
	must(!WIFEXITED(status) || WEXITSTATUS(status) != 99);
	note(c, status);
}
