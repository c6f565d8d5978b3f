/* ring WHAT: io_uring without a library. What its entries do, no system call tells: pages go, pages come, threads work. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PAGE = 4096, PAGES = 11, NOT_HERE = 77 };

static int ring;
static struct io_uring_params params;
static char *queue;
static struct io_uring_sqe *entries;

static int open_ring(unsigned flags)
{
    params.flags = flags;
    params.sq_thread_idle = 1000;
    ring = syscall(SYS_io_uring_setup, 4, &params);
    if (ring < 0)
        return -1;
    queue = mmap(NULL, params.sq_off.array + params.sq_entries * sizeof(unsigned), PROT_READ | PROT_WRITE, MAP_SHARED, ring,
                 IORING_OFF_SQ_RING);
    entries = mmap(NULL, params.sq_entries * sizeof *entries, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
    return 0;
}

static int submit(struct io_uring_sqe entry)
{
    unsigned *tail = (unsigned *)(queue + params.sq_off.tail);
    unsigned *array = (unsigned *)(queue + params.sq_off.array);
    unsigned at = *tail & (params.sq_entries - 1);
    entries[at] = entry;
    array[at] = at;
    __atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
    return syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_SQ_WAKEUP, NULL, 0) < 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    char *heap = (char *)(((uintptr_t)sbrk((PAGES + 1) * PAGE) + PAGE - 1) & -(uintptr_t)PAGE);
    if (open_ring(strcmp(what, "poll") ? 0 : IORING_SETUP_SQPOLL))
        return NOT_HERE;
    free(malloc(100));
    if (!strcmp(what, "advise")) {
        memset(heap, 1, PAGES * PAGE);
        return submit((struct io_uring_sqe){ .opcode = IORING_OP_MADVISE, .addr = (uintptr_t)heap, .len = PAGES * PAGE,
                                             .fadvise_advice = MADV_DONTNEED });
    }
    if (!strcmp(what, "buffers")) {
        struct iovec piece = { heap, PAGES * PAGE };
        return syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, &piece, 1) ? NOT_HERE : 0;
    }
    int zeros = open("/dev/zero", O_RDONLY);
    return submit((struct io_uring_sqe){ .opcode = IORING_OP_READ, .fd = zeros, .addr = (uintptr_t)heap, .len = PAGES * PAGE,
                                         .flags = strcmp(what, "worker") ? 0 : IOSQE_ASYNC });
}
