/* heap_goes WAY: three pages in the middle of the heap go, or come, by another way than free, brk or MADV_DONTNEED. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, LENGTH = 3 * PAGE, NOT_HERE = 77, RW = PROT_READ | PROT_WRITE, ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS };

static int is(const char *way, const char *name) { return !strcmp(way, name); }

static char *page_of(void *address) { return (char *)((uintptr_t)address & -(uintptr_t)PAGE); }

static int child_ends(void)
{
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    return waitpid(child, NULL, 0) < 0;
}

static int move(char *middle, const char *way)
{
    char *other = mmap(NULL, LENGTH, RW, ANONYMOUS, -1, 0);
    memset(other, 2, LENGTH);
    if (is(way, "moved-in"))
        return mremap(other, LENGTH, LENGTH, MREMAP_MAYMOVE | MREMAP_FIXED, middle) == MAP_FAILED;
    if (is(way, "moved-away"))
        return mremap(middle, LENGTH, LENGTH, MREMAP_MAYMOVE | MREMAP_FIXED, other) == MAP_FAILED;
    return mremap(middle, LENGTH, LENGTH, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL) == MAP_FAILED ? NOT_HERE : 0;
}

static int map_over(char *middle, const char *way, const char *file)
{
    int flags = MAP_FIXED | (is(way, "anonymous-over") ? ANONYMOUS : is(way, "shared-over") ? MAP_SHARED | MAP_ANONYMOUS : MAP_PRIVATE);
    int fd = flags & MAP_ANONYMOUS ? -1 : open(file, O_RDONLY);
    return *(volatile char *)mmap(middle, LENGTH, PROT_READ, flags, fd, 0) == 3;
}

/* With a hole in the range both calls fail, and both have done their work on the pages before it. */
static int fail_half_way(char *middle, const char *way)
{
    munmap(middle + PAGE, PAGE);
    return (is(way, "half-advised") ? madvise(middle, LENGTH, MADV_DONTNEED) : mprotect(middle, LENGTH, PROT_READ)) == 0;
}

static int advise_as_another(char *middle)
{
    struct iovec piece = { middle, LENGTH };
    int self = syscall(SYS_pidfd_open, getpid(), 0);
    return syscall(SYS_process_madvise, self, &piece, 1, MADV_DONTNEED, 0) == LENGTH ? 0 : NOT_HERE;
}

static int fill_by_userfaultfd(char *middle)
{
    static char page[PAGE] __attribute__((aligned(PAGE)));
    int fd = syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
    struct uffdio_api api = { .api = UFFD_API };
    struct uffdio_register range = { .range = { (uintptr_t)middle, LENGTH }, .mode = UFFDIO_REGISTER_MODE_MISSING };
    struct uffdio_copy copy = { .dst = (uintptr_t)middle, .src = (uintptr_t)page, .len = PAGE };
    madvise(middle, LENGTH, MADV_DONTNEED);
    if (fd < 0 || ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &range))
        return NOT_HERE;
    return ioctl(fd, UFFDIO_COPY, &copy) ? NOT_HERE : 0;
}

static int raw_break(void)
{
    char *end = (char *)syscall(SYS_brk, 0);
    syscall(SYS_brk, end + 9 * PAGE);
    memset(end, 1, 9 * PAGE);
    syscall(SYS_brk, end + PAGE / 2);
    return (char *)syscall(SYS_brk, end + 5 * PAGE) != end + 5 * PAGE;
}

int main(int argc, char **argv)
{
    const char *way = argc > 1 ? argv[1] : "";
    char *piece = malloc(100000);
    memset(piece, 1, 100000);
    char *middle = page_of(piece + 50000);
    if (is(way, "moved-in") || is(way, "moved-away") || is(way, "moved-and-kept"))
        return move(middle, way);
    if (strstr(way, "-over"))
        return map_over(middle, way, argv[0]);
    if (strstr(way, "half-"))
        return fail_half_way(middle, way);
    if (is(way, "unmapped"))
        return munmap(middle, LENGTH);
    if (is(way, "end-unmapped"))
        return munmap(page_of((char *)sbrk(0) - 1) - PAGE, 2 * PAGE);
    if (is(way, "lazily"))
        return madvise(middle, LENGTH, MADV_FREE);
    if (is(way, "paged-out"))
        return madvise(middle, LENGTH, MADV_PAGEOUT) ? NOT_HERE : 0;
    if (is(way, "locked"))
        return madvise(middle, LENGTH, 24 /* MADV_DONTNEED_LOCKED, Linux 5.18 */) ? NOT_HERE : 0;
    if (is(way, "not-forked"))
        return madvise(middle, LENGTH, MADV_DONTFORK) || child_ends();
    if (is(way, "wiped"))
        return madvise(middle, LENGTH, MADV_WIPEONFORK) || child_ends();
    if (is(way, "forked-again")) {
        munmap(middle, LENGTH);
        char *other = mmap(NULL, LENGTH, RW, ANONYMOUS, -1, 0);
        madvise(other, LENGTH, MADV_DONTFORK);
        munmap(other, LENGTH);
        return mmap(other, LENGTH, RW, ANONYMOUS | MAP_FIXED, -1, 0) != other || child_ends();
    }
    if (is(way, "as-another"))
        return advise_as_another(middle);
    if (is(way, "userfaultfd"))
        return fill_by_userfaultfd(middle);
    if (is(way, "raw-break"))
        return raw_break();
    return 2;
}
