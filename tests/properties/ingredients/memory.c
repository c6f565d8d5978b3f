/* Memory of the kernel: regions under all that is done to them, huge pages, locks, two views, pages that arrive untouched. */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mixture.h"

enum { MOST_PAGES = 40, CARRIED = 6, HUGE = 2 << 20 };

static char *fresh(size_t size)
{
	char *start = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(start != MAP_FAILED);
	return start;
}

/* ---- a region and what its pages must hold ---- */

struct region {
	char *start;
	int pages;
	char want[MOST_PAGES];
};

static char *page_of(const struct region *r, int i)
{
	return r->start + (size_t)i * PAGE;
}

static void write_page(struct region *r, int i, char value)
{
	page_of(r, i)[0] = page_of(r, i)[PAGE - 1] = r->want[i] = value;
}

static void check_page(const struct region *r, int i)
{
	must(page_of(r, i)[0] == r->want[i] && page_of(r, i)[PAGE - 1] == r->want[i]);
}

static void advise(struct region *r, int i, int many, int advice)
{
	int failed = madvise(page_of(r, i), many * PAGE, advice);

	if (advice == MADV_DONTNEED && !failed) {
		memset(r->want + i, 0, many);
		return;
	}
	/* A page that is locked ends a discard midway; a free one holds the old or nothing until it is written to. */
	for (; (advice == MADV_DONTNEED || advice == MADV_FREE) && many; many--, i++)
		write_page(r, i, i);
}

static void protect(struct region *r, int i, int many, int protection)
{
	must(!mprotect(page_of(r, i), many * PAGE, protection));
	if (protection != PROT_NONE)
		check_page(r, i);
	must(!mprotect(page_of(r, i), many * PAGE, PROT_READ | PROT_WRITE));
}

static void resize(struct region *r, int pages)
{
	/* It fails where parts of the region differ by a lock or an advice. */
	void *moved = mremap(r->start, r->pages * PAGE, pages * PAGE, MREMAP_MAYMOVE);

	if (moved == MAP_FAILED)
		return;
	r->start = moved;
	if (pages > r->pages)
		memset(r->want + r->pages, 0, pages - r->pages);
	r->pages = pages;
}

static void lay_anew(struct region *r, int i, int many)
{
	must(mmap(page_of(r, i), many * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
	     != MAP_FAILED);
	memset(r->want + i, 0, many);
}

static void treat(struct chance *c, struct region *r)
{
	static const int advices[] = {
		MADV_DONTNEED, MADV_FREE, MADV_POPULATE_WRITE, MADV_POPULATE_READ, MADV_HUGEPAGE, MADV_PAGEOUT, MADV_COLD,
	};
	/* All is drawn before it is asked how large the region is: that may differ from run to run. */
	uint64_t what = any(c, 12), first = any(c, 1 << 20), length = any(c, 1 << 20), value = any(c, 128);
	int i = first % r->pages, many = 1 + length % (r->pages - i);

	switch (what) {
	case 0: case 1: case 2:
		for (; many; many--, i++)
			write_page(r, i, value);
		break;
	case 3: case 4:
		advise(r, i, many, advices[value % 7]);
		break;
	case 5:
		protect(r, i, many, value & 1 ? PROT_READ : PROT_NONE);
		break;
	case 6:
		resize(r, 1 + length % MOST_PAGES);
		break;
	case 7:
		mlock(page_of(r, i), many * PAGE);	/* as far as the limit lets it */
		break;
	case 8:
		munlock(page_of(r, i), many * PAGE);
		break;
	case 9:
		lay_anew(r, i, many);
		break;
	default:
		check_page(r, i);
	}
}

void memory_region(struct chance *c)
{
	struct region r = { .pages = 1 + any(c, MOST_PAGES) };

	r.start = fresh(r.pages * PAGE);
	for (int i = 10 + any(c, 30); i > 0; i--)
		treat(c, &r);
	for (int i = 0; i < r.pages; i++)
		check_page(&r, i);
	must(!munmap(r.start, r.pages * PAGE));
}

/* ---- huge pages ---- */

/* Pages that may be huge, as far as the system allows it, and what splits them. */
void memory_huge(struct chance *c)
{
	size_t size = 3 * HUGE, hole = any(c, 400) * PAGE, many = (1 + any(c, 600)) * PAGE;
	char *start = fresh(size), *first = (char *)(((uintptr_t)start + HUGE - 1) & -(uintptr_t)HUGE);
	int status;

	madvise(start, size, MADV_HUGEPAGE);
	for (size_t i = 0; i < size; i += 16 * PAGE)
		start[i] = 1 + i / PAGE;
	switch (any(c, 5)) {
	case 0:
		must(!madvise(first + hole, many, MADV_DONTNEED) && !first[hole]);
		break;
	case 1:
		must(!munmap(first + hole, PAGE));
		break;
	case 2:
		must(!mprotect(first + hole, many, PROT_READ) && first[0] == (char)(1 + (first - start) / PAGE));
		break;
	case 3:
		madvise(first, HUGE, any(c, 2) ? 25 /* MADV_COLLAPSE */ : MADV_NOHUGEPAGE);
		break;
	default: {
		pid_t child = fork();
		if (!child) {
			first[0] = first[PAGE] = 9;
			_exit(0);
		}
		first[2 * PAGE] = 8;
		must(child > 0 && waitpid(child, &status, 0) == child && !status);
	}
	}
	must(!munmap(start, size));
}

/* ---- locked memory ---- */

void memory_locked(struct chance *c)
{
	int onfault = any(c, 2) ? MCL_ONFAULT : 0, future = any(c, 2) && !geteuid() ? MCL_FUTURE : 0;
	size_t size = (1 + any(c, 30)) * PAGE;
	char *own = fresh(size);

	/* An ordinary user's limit may forbid either; what comes later would then fail, so only root locks that. */
	mlockall(MCL_CURRENT | future | onfault);
	mlock2(own, size, onfault ? MLOCK_ONFAULT : 0);
	churn(c, 20);
	threads_joined(c);
	must(!mprotect(own, size, PROT_READ) && !own[size - 1] && !mprotect(own, size, PROT_READ | PROT_WRITE));
	own[0] = 1;
	must(!munlockall() && !munmap(own, size));
}

/* ---- the same pages twice ---- */

static void check_views(char *one, char *other, size_t size)
{
	one[0] = 5;
	other[size - 1] = 6;
	must(other[0] == 5 && one[size - 1] == 6);
}

static void two_attached(size_t size)
{
	int id = shmget(IPC_PRIVATE, size, IPC_CREAT | 0600);
	char *one = shmat(id, NULL, 0), *other = shmat(id, NULL, 0);

	must(!shmctl(id, IPC_RMID, NULL) && one != (void *)-1 && other != (void *)-1);
	check_views(one, other, size);
	must(!shmdt(one) && !shmdt(other));
}

void memory_two_views(struct chance *c)
{
	size_t size = (1 + any(c, 20)) * PAGE;
	int file = memfd_create("views", 0);

	must(file >= 0 && !ftruncate(file, size));
	char *one = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	char *other = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | (any(c, 2) ? MAP_POPULATE : 0), file, 0);
	char *own = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
	must(one != MAP_FAILED && other != MAP_FAILED && own != MAP_FAILED);
	check_views(one, other, size);
	own[0] = 7;
	must(one[0] == 5 && own[size - 1] == 6);
	must(!munmap(one, size) && !munmap(other, size) && !munmap(own, size) && !close(file));
	if (any(c, 2))
		two_attached(size);
}

/* ---- pages that the kernel fills before the program touches them ---- */

static int file_in_folder(void)
{
	char name[4096];

	snprintf(name, sizeof name, "%s/mixture-XXXXXX", folder);
	int file = mkstemp(name);
	must(file >= 0 && !unlink(name));
	return file;
}

/* Direct input and output; where the file system refuses it, the ordinary one: what is read is the same. */
void memory_direct(struct chance *c)
{
	size_t size = (1 + any(c, 12)) * PAGE;
	char name[40], *out = fresh(size), *in = fresh(size);
	int file = file_in_folder(), direct;

	snprintf(name, sizeof name, "/proc/self/fd/%d", file);
	direct = open(name, O_RDWR | O_DIRECT);
	if (direct < 0)
		direct = dup(file);
	for (size_t i = 0; i < size; i += PAGE)
		out[i] = any(c, 3) ? byte_of(size, i) : 0;
	must(direct >= 0 && pwrite(direct, out, size, 0) == (ssize_t)size);
	must(pread(direct, in, size, 0) == (ssize_t)size && !memcmp(in, out, size));
	must(!close(direct) && !close(file) && !munmap(in, size) && !munmap(out, size));
}

static void by_pipe(char *from, char *to, size_t size)
{
	struct iovec part = { from, size };
	int gate[2];

	must(!pipe(gate) && vmsplice(gate[1], &part, 1, 0) == (ssize_t)size && read(gate[0], to, size) == (ssize_t)size);
	must(!close(gate[0]) && !close(gate[1]));
}

static void by_file(char *from, char *to, size_t size)
{
	int memory = open("/proc/self/mem", O_RDWR);

	must(memory >= 0 && pwrite(memory, from, size, (off_t)(uintptr_t)to) == (ssize_t)size && !close(memory));
}

void memory_carried(struct chance *c)
{
	size_t size = CARRIED * PAGE;
	char *from = fresh(size), *to = fresh(size);
	struct iovec source = { from, size }, target = { to, size };

	from[any(c, size)] = 3;
	switch (any(c, 5)) {
	case 0:
		must(process_vm_readv(getpid(), &target, 1, &source, 1, 0) == (ssize_t)size);
		break;
	case 1:
		must(process_vm_writev(getpid(), &source, 1, &target, 1, 0) == (ssize_t)size);
		break;
	case 2:
		by_file(from, to, size);
		break;
	case 3:
		must(syscall(SYS_futex, to, FUTEX_WAIT, 1, NULL, NULL, 0) == -1 && errno == EAGAIN);
		memcpy(to, from, size);
		break;
	default:
		by_pipe(from, to, size);
	}
	must(!memcmp(from, to, size));
	must(!munmap(from, size) && !munmap(to, size));
}
