/*
 * mixture SEED COUNT FOLDER: COUNT random steps, each of them an ingredient that observers of memory have stumbled over.
 *
 * Prints one line: SEED, COUNT, a sum of all that was done, and how many calls malloc(MARKED) were made. The line, and how
 * the program ends, follow from SEED and COUNT alone: no time, address, number of a process or order of threads enters the
 * sum, and what depends on those (how often a timer comes, whether memory may be locked) enters nothing that is noted.
 * FOLDER is for files, in which the program leaves none.
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "mixture.h"

const char *self, *folder;
int length;
static atomic_long *marks;

struct chance chance_of(uint64_t seed)
{
	struct chance c = { (seed + 1) * 0x9e3779b97f4a7c15, 0xcbf29ce484222325 };

	any(&c, 1);
	return c;
}

uint64_t any(struct chance *c, uint64_t below)
{
	c->state ^= c->state >> 12;
	c->state ^= c->state << 25;
	c->state ^= c->state >> 27;
	return (c->state * 0x2545f4914f6cdd1d >> 11) % below;
}

void note(struct chance *c, uint64_t word)
{
	c->sum = (c->sum ^ word) * 0x100000001b3;
}

void mark(void)
{
	char *volatile piece = malloc(MARKED);

	must(piece);
	free(piece);
	atomic_fetch_add(marks, 1);
}

void broken(const char *file, int line, const char *what)
{
	dprintf(2, "mixture: %s:%d: not so: %s (%m)\n", strrchr(file, '/') ? strrchr(file, '/') + 1 : file, line, what);
	_exit(99);
}

unsigned char byte_of(uint64_t key, size_t offset)
{
	return (key ^ offset * 0x9e3779b1) >> 7;
}

static void (*const ingredients[])(struct chance *) = {
	heap_churn, heap_churn, heap_churn, heap_break, heap_jump, heap_turns,
	threads_joined, threads_beside_children, threads_cancelled, threads_detached,
	child_works, child_killed, child_ends_badly, child_shares, child_orphan, child_runs_self,
	signals_timer, signals_timer, signals_spin, signals_jump, signals_raise, signals_repair,
	memory_region, memory_region, memory_huge, memory_locked, memory_two_views, memory_direct, memory_carried,
};

void mixed(struct chance *c, int many)
{
	while (many-- > 0) {
		uint64_t which = any(c, sizeof ingredients / sizeof *ingredients);
		note(c, which);
		mark();
		ingredients[which](c);
	}
}

static void run_again(struct chance *c)
{
	char seed[24], steps[24];

	snprintf(seed, sizeof seed, "%llu", (unsigned long long)any(c, 1000000));
	snprintf(steps, sizeof steps, "%d", length / 3);
	execl(self, self, seed, steps, folder, (char *)NULL);
	must(!"exec");
}

/* End in one of the ways in which programs do. */
static void end(struct chance *c)
{
	int status = c->sum & 63;

	switch (any(c, 10)) {
	case 0:
		raise(SIGTERM);
		break;
	case 1:
		_exit(status);
	case 2:
		threads_end(status);
		break;
	case 3: case 4:
		run_again(c);
		break;
	}
	exit(status);
}

int main(int count, char **word)
{
	struct rlimit no_core = { 0, 0 };

	if (count != 4) {
		dprintf(2, "usage: mixture SEED COUNT FOLDER\n");
		return 2;
	}
	self = word[0];
	length = atoi(word[2]);
	folder = word[3];
	setrlimit(RLIMIT_CORE, &no_core);
	marks = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(marks != MAP_FAILED);
	struct chance c = chance_of(strtoull(word[1], NULL, 10));
	mixed(&c, length);
	signals_stop();
	dprintf(1, "%s %s sum %016llx marks %ld\n", word[1], word[2], (unsigned long long)c.sum, atomic_load(marks));
	end(&c);
}
