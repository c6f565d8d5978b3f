/* reached WAY: have the kernel reach PAGES fresh pages of ours by get_user_pages, which counts faults and tells no event. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, PAGES = 37, NOT_HERE = 77 };

static char *fresh;
static char beside[PAGES * PAGE];

static int through_mem(pid_t whose)
{
    char path[40];
    snprintf(path, sizeof path, "/proc/%d/mem", whose);
    int fd = open(path, O_RDWR);
    for (int i = 0; fd >= 0 && i < PAGES; i++)
        if (pwrite(fd, "x", 1, (off_t)(fresh + i * PAGE)) != 1)
            return NOT_HERE;
    return fd < 0 ? NOT_HERE : 0;
}

static int in_a_child(int (*reach)(pid_t))
{
    pid_t child = fork();
    if (child == 0)
        pause();
    int result = reach(child);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    return result;
}

static int by_writev(pid_t whose)
{
    struct iovec from = { beside, sizeof beside }, to = { fresh, sizeof beside };
    return process_vm_writev(whose, &from, 1, &to, 1, 0) == sizeof beside ? 0 : NOT_HERE;
}

static int by_readv(void)
{
    struct iovec to = { beside, sizeof beside }, from = { fresh, sizeof beside };
    return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == sizeof beside ? 0 : NOT_HERE;
}

static int by_vmsplice(void)
{
    int ends[2];
    struct iovec piece = { fresh, 13 * PAGE };
    return pipe(ends) || vmsplice(ends[1], &piece, 1, 0) <= 0 ? NOT_HERE : 0;
}

static int direct_file(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_DIRECT, 0600);
    if (fd >= 0 && ftruncate(fd, PAGES * PAGE))
        return -1;
    return fd;
}

/* A hole is zeroed by stores, which are faults like any other: only what lies on the disk is read into pinned pages. */
static int by_direct_input(const char *path)
{
    int fd = direct_file(path);
    void *full = aligned_alloc(PAGE, PAGES * PAGE);
    memset(full, 'd', PAGES * PAGE);
    if (fd < 0 || write(fd, full, PAGES * PAGE) != PAGES * PAGE || fsync(fd))
        return NOT_HERE;
    return pread(fd, fresh, PAGES * PAGE, 0) == PAGES * PAGE ? 0 : NOT_HERE;
}

static int by_aio(const char *path)
{
    aio_context_t context = 0;
    struct io_event event;
    struct iocb block = { .aio_fildes = direct_file(path), .aio_lio_opcode = IOCB_CMD_PWRITE, .aio_buf = (unsigned long)fresh,
                          .aio_nbytes = PAGES * PAGE };
    struct iocb *list = &block;
    if (syscall(SYS_io_setup, 4, &context) || syscall(SYS_io_submit, context, 1, &list) != 1)
        return NOT_HERE;
    syscall(SYS_io_getevents, context, 1, 1, &event, NULL);
    return 0;
}

static int by_futex(int operation, char *pages)
{
    for (int i = 0; i < PAGES; i++)
        if (syscall(SYS_futex, pages + i * PAGE, operation, 1, NULL) < 0)
            return NOT_HERE;
    return 0;
}

static int by_dumping(const char *program)
{
    struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
    pid_t child = fork();
    if (child == 0) {
        int fd = open(program, O_RDONLY);
        setrlimit(RLIMIT_CORE, &all);
        mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
        abort();
    }
    waitpid(child, NULL, 0);
    return 0;
}

/* PAGES pages at an end of memory that its user has locked; a call that fails because nobody may touch it locks it, too. */
static int under_lock(const char *how)
{
    int all = how[0] == 'a';
    if (all && mlockall(MCL_CURRENT | MCL_FUTURE))
        return NOT_HERE;
    char *closed = mmap(NULL, PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!all && mlock(closed, PAGES * PAGE) && errno == EPERM)
        return NOT_HERE;
    if (mprotect(closed, PAGES * PAGE, PROT_READ | PROT_WRITE))
        return NOT_HERE;
    if (mremap(closed, PAGES * PAGE, 2 * PAGES * PAGE, MREMAP_MAYMOVE) == MAP_FAILED)
        return NOT_HERE;
    return all && sbrk(PAGES * PAGE) == (void *)-1 ? NOT_HERE : 0;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    const char *way = argv[1], *file = argv[2];
    fresh = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *shared = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (strstr(way, "heap")) /* the same in fresh pages of the heap */
        fresh = (char *)(((unsigned long)sbrk((PAGES + 1) * PAGE) + PAGE - 1) & -(unsigned long)PAGE);
    free(malloc(100));
    if (strstr(way, "own-mem"))
        return through_mem(getpid());
    if (strstr(way, "child-mem"))
        return in_a_child(through_mem);
    if (strstr(way, "writev"))
        return in_a_child(by_writev);
    if (strstr(way, "readv"))
        return by_readv();
    if (!strcmp(way, "vmsplice"))
        return by_vmsplice();
    if (!strcmp(way, "direct"))
        return by_direct_input(file);
    if (!strcmp(way, "aio"))
        return by_aio(file);
    if (!strcmp(way, "futex-pi"))
        return by_futex(FUTEX_LOCK_PI, fresh);
    if (!strcmp(way, "futex-wake"))
        return by_futex(FUTEX_WAKE, fresh);
    if (!strcmp(way, "futex-shared"))
        return by_futex(FUTEX_WAKE, shared);
    if (!strcmp(way, "core"))
        return by_dumping(argv[0]);
    if (!strcmp(way, "locked"))
        return under_lock("one");
    if (!strcmp(way, "all-locked"))
        return under_lock("all");
    return 2;
}
