/* Threads without locks of their own: joined, beside forks, cancelled, detached, the last of a process. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "mixture.h"

enum { MOST_THREADS = 4, MOST_DETACHED = 2 };

struct job {
	pthread_t thread;
	struct chance c;
	int many;
};

static pthread_t begin(void *(*work)(void *), void *argument, int detached)
{
	pthread_attr_t small;
	pthread_t thread;

	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, STACK);
	pthread_attr_setdetachstate(&small, detached ? PTHREAD_CREATE_DETACHED : PTHREAD_CREATE_JOINABLE);
	must(!pthread_create(&thread, &small, work, argument));
	pthread_attr_destroy(&small);
	return thread;
}

static void *works(void *argument)
{
	struct job *job = argument;

	churn(&job->c, job->many);
	mark();
	if (job->many & 1)
		pthread_exit(job);
	return job;
}

void threads_joined(struct chance *c)
{
	struct job jobs[MOST_THREADS];
	int many = 1 + any(c, MOST_THREADS);

	for (int i = 0; i < many; i++) {
		jobs[i].c = chance_of(any(c, 1 << 30));
		jobs[i].many = 10 + any(c, 40);
		jobs[i].thread = begin(works, &jobs[i], 0);
	}
	churn(c, 20);
	for (int i = 0; i < many; i++) {
		void *result;
		must(!pthread_join(jobs[i].thread, &result) && result == &jobs[i]);
		note(c, jobs[i].c.sum);
	}
}

static atomic_int stop;

static void *works_until_stopped(void *seed)
{
	struct chance c = chance_of((uintptr_t)seed);

	while (!atomic_load(&stop))
		churn(&c, 10);
	return NULL;
}

/* Children are born while other threads hold the allocator's locks. */
void threads_beside_children(struct chance *c)
{
	pthread_t beside[2];

	atomic_store(&stop, 0);
	for (int i = 0; i < 2; i++)
		beside[i] = begin(works_until_stopped, (void *)(uintptr_t)any(c, 1 << 30), 0);
	for (int i = 1 + any(c, 3); i > 0; i--)
		any(c, 3) ? child_shares(c) : child_runs_self(c);
	atomic_store(&stop, 1);
	for (int i = 0; i < 2; i++)
		must(!pthread_join(beside[i], NULL));
}

static atomic_int cleaned;

static void clean(void *piece)
{
	free(piece);
	atomic_fetch_add(&cleaned, 1);
}

static void *waits_for_its_end(void *seed)
{
	struct chance c = chance_of((uintptr_t)seed);

	for (;;) {
		pthread_cleanup_push(clean, malloc(3000));
		churn(&c, 5);
		pthread_testcancel();
		pthread_cleanup_pop(0);
	}
}

void threads_cancelled(struct chance *c)
{
	pthread_t thread = begin(waits_for_its_end, (void *)(uintptr_t)any(c, 1 << 30), 0);
	void *result;

	atomic_store(&cleaned, 0);
	churn(c, any(c, 20));
	must(!pthread_cancel(thread) && !pthread_join(thread, &result) && result == PTHREAD_CANCELED);
	note(c, atomic_load(&cleaned));
}

static atomic_int detached;

static void *works_alone(void *seed)
{
	struct chance c = chance_of((uintptr_t)seed);

	churn(&c, 30);
	atomic_fetch_sub(&detached, 1);
	return NULL;
}

/* Whoever is still there when the process ends, ends with it. */
void threads_detached(struct chance *c)
{
	while (atomic_load(&detached) >= MOST_DETACHED)
		sched_yield();
	atomic_fetch_add(&detached, 1);
	begin(works_alone, (void *)(uintptr_t)any(c, 1 << 30), 1);
}

void threads_forget(void)
{
	atomic_store(&detached, 0);
}

static void *ends_the_process(void *status)
{
	struct chance c = chance_of((uintptr_t)status);

	churn(&c, 30);
	exit((uintptr_t)status);
}

void threads_end(int status)
{
	begin(ends_the_process, (void *)(uintptr_t)status, 1);
	pthread_exit(NULL);
}
