/* Performs memory operations at given addresses and tells the page faults of each, adding none of its own.
 *
 * usage: paging_driver SCRIPT FILE
 * SCRIPT holds the number of operations, then one a line: a letter and four hexadecimal numbers. F forks and lets the
 * child go on, X ends it. For each operation, a line: ru_minflt, ru_majflt, the error number, the si_code of a SIGSEGV.
 */
#define _GNU_SOURCE
#include <alloca.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096
#define AREAS 256

struct operation { char letter; unsigned long a, b, c, d; };
struct result { long minor, major, error, code; };
struct area { char *start, *end; int writable; };

static struct operation *operations;
static struct result *results;
static int count, *position;
static struct area areas[AREAS];
static int area_count, file;
static sigjmp_buf back;
static volatile sig_atomic_t caught;

static void on_signal(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	caught = info->si_code;
	siglongjmp(back, 1);
}

/* Whatever is mapped before the first operation is the driver's own. */
static void remember_areas(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512], rights[8];
	unsigned long start, end;

	while (fgets(line, sizeof line, maps))
		if (sscanf(line, "%lx-%lx %7s", &start, &end, rights) == 3 && rights[0] == 'r' && area_count < AREAS)
			areas[area_count++] = (struct area){ (char *)start, (char *)end, rights[1] == 'w' };
	fclose(maps);
}

/* Bring all of that in, as it may not be after a fork. */
static void settle(void)
{
	for (int i = 0; i < area_count; i++)
		madvise(areas[i].start, areas[i].end - areas[i].start,
			areas[i].writable ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
}

static int outcome(int failed)
{
	return failed ? errno : 0;
}

/*
 * A processor that runs ahead of a faulting store looks the next pages up, still read-only, and faults on each again
 * (a spurious fault, which the kernel counts) when a huge page has become writable as a whole meanwhile.
 */
static void in_order(void)
{
#ifdef __x86_64__
	__asm__ volatile("lfence" ::: "memory");
#endif
}

static int perform(const struct operation *o)
{
	char *at = (char *)o->a;

	switch (o->letter) {
	case 'w':
		for (unsigned long p = 0; p < o->b; p += PAGE) {
			in_order();
			*(volatile char *)(at + p) = 1;
		}
		return 0;
	case 'r':
		for (unsigned long p = 0; p < o->b; p += PAGE)
			(void)*(volatile char *)(at + p);
		return 0;
	case 'm': return outcome(mmap(at, o->b, o->c, o->d, o->d & MAP_ANONYMOUS ? -1 : file, 0) == MAP_FAILED);
	case 'u': return outcome(munmap(at, o->b));
	case 'p': return outcome(mprotect(at, o->b, o->c));
	case 'l': return outcome(mlock(at, o->b));
	case 'k': return outcome(munlock(at, o->b));
	case 'a': return outcome(madvise(at, o->b, o->c));
	case 'v': return outcome(mremap(at, o->b, o->c, MREMAP_MAYMOVE | MREMAP_FIXED, o->d) == MAP_FAILED);
	}
	return -1;
}

static void measure(int i)
{
	struct rusage before, after;

	caught = 0;
	getrusage(RUSAGE_SELF, &before);
	if (!sigsetjmp(back, 1))
		results[i].error = perform(&operations[i]);
	getrusage(RUSAGE_SELF, &after);
	results[i].minor = after.ru_minflt - before.ru_minflt;
	results[i].major = after.ru_majflt - before.ru_majflt;
	results[i].code = caught;
}

static void run(void)
{
	int is_child = 0;

	while (*position < count) {
		int i = (*position)++;

		if (operations[i].letter == 'X')
			_exit(0);
		if (operations[i].letter != 'F') {
			measure(i);
			continue;
		}
		pid_t child = fork();
		if (child < 0)
			exit(3);
		if (child)
			waitpid(child, 0, 0);
		else
			is_child = 1;
		settle();
	}
	if (is_child)
		_exit(0);
}

static void *common(size_t size)
{
	return mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
}

/* The file is kept in the page cache by a locked mapping of it. */
static void hold(const char *path)
{
	struct stat about;

	file = open(path, O_RDONLY);
	if (file < 0 || fstat(file, &about))
		exit(2);
	mlock(mmap(0, about.st_size, PROT_READ, MAP_SHARED, file, 0), about.st_size);
}

static void load(const char *path)
{
	FILE *script = fopen(path, "r");

	if (!script || fscanf(script, "%d", &count) != 1)
		exit(2);
	operations = common(count * sizeof *operations);
	results = common(count * sizeof *results);
	position = common(sizeof *position);
	for (struct operation *o = operations; o < operations + count; o++)
		if (fscanf(script, " %c %lx %lx %lx %lx", &o->letter, &o->a, &o->b, &o->c, &o->d) != 5)
			exit(2);
	fclose(script);
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_NODEFER };

	if (argc != 3)
		return 2;
	load(argv[1]);
	hold(argv[2]);
	sigaction(SIGSEGV, &action, 0);
	memset(alloca(65536), 1, 65536);
	remember_areas();
	settle();
	run();
	for (struct result *r = results; r < results + count; r++)
		printf("%ld %ld %ld %ld\n", r->minor, r->major, r->error, r->code);
	return 0;
}
