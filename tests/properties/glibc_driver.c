/*
 * glibc_driver.c: performs a list of commands with the allocator of the C library it is linked to, and writes down
 * after each what came of it: the result, the memory system calls made meanwhile, and the pages that came or went.
 *
 *     glibc_driver COMMANDS LOG
 *
 * COMMANDS is an array of struct command. LOG must exist and be large enough; what is written is told on stdout.
 *
 * Between two commands nothing is allocated, so the heap is what the commands make of it. System calls are seen by
 * syscall user dispatch (prctl(2), Linux 5.11): while a command runs, each one raises SIGSYS, and the handler notes it
 * and makes it. Pages are those of /proc/self/pagemap: the first 4 MiB of the heap, the first 2 MiB of each mapping that
 * the allocator made.
 *
 * After FORK the rest is done by the child alone, in the thread that forked and in threads that it starts.
 *
 * Log: the address of the heap, then for each command the result, the counts of calls and of pages, the calls (number,
 * four arguments, result), the pages (address, lowest bit set if it is present now).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

enum operation {
    MALLOC = 1, CALLOC, REALLOC, FREE, MEMALIGN, POSIX_MEMALIGN, ALIGNED_ALLOC, VALLOC, PVALLOC, TRIM, MALLOPT, SBRK,
    USABLE, TOUCH, SPAWN, JOIN, BLOCK, FORK
};
enum { PAGE = 4096, HEAP_PAGES = 1024, REGION_PAGES = 512, REGIONS = 512, CALLS = 1024, THREADS = 8, STACK = 256 << 10 };
enum { MAIN_TASK = 255, NO_RESULT = -1 };

struct command { uint8_t operation, task; uint16_t unused; uint32_t slot; uint64_t a, b; };
struct call { uint64_t number, arguments[4], result; };
struct region { uint64_t start, end; uint8_t present[REGION_PAGES]; };

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif

/* System calls from here are never seen: the driver's own, and the return from the handler. */
extern const char gate_begin[], gate_end[];
long gate(long number, long a, long b, long c, long d, long e, long f);
void gate_return(void);
__asm__(
    ".text\n.global gate_begin\ngate_begin:\n"
    ".global gate\ngate:\n"
    "    mov %rdi, %rax\n    mov %rsi, %rdi\n    mov %rdx, %rsi\n    mov %rcx, %rdx\n    mov %r8, %r10\n"
    "    mov %r9, %r8\n    mov 8(%rsp), %r9\n    syscall\n    ret\n"
    ".global gate_return\ngate_return:\n    mov $15, %eax\n    syscall\n    ud2\n"
    ".global gate_end\ngate_end:\n");

static __thread volatile char selector;         /* 1: calls of this thread are seen */
static struct call calls[CALLS];
static int call_count;
static struct region heap_low[HEAP_PAGES / REGION_PAGES], regions[REGIONS];
static int region_count;
static int pagemap;
static uint64_t *log_at, *log_begin;
static void **slots;
static struct command *command;
static volatile int turn = MAIN_TASK, leave = -1;       /* whose turn it is; who is to end */
static pthread_t threads[THREADS];
static char *stacks;
static int is_child;

static void fail(const char *what)
{
    gate(SYS_write, 2, (long)what, (long)strlen(what), 0, 0, 0);
    gate(SYS_exit_group, 3, 0, 0, 0, 0, 0);
}

static void on_call(int number, siginfo_t *info, void *context)
{
    greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
    (void)number; (void)info;
    long nr = r[REG_RAX];
    if ((nr == SYS_rt_sigprocmask && r[REG_RDI] != SIG_UNBLOCK) || nr == SYS_clone || nr == SYS_clone3) {
        selector = 0;           /* no SIGSYS may come while signals are blocked, and a new thread must return to its own stack */
        r[REG_RIP] -= 2;
        return;
    }
    long result = gate(nr, r[REG_RDI], r[REG_RSI], r[REG_RDX], r[REG_R10], r[REG_R8], r[REG_R9]);
    if (nr == SYS_brk || nr == SYS_mmap || nr == SYS_munmap || nr == SYS_mremap || nr == SYS_madvise
        || nr == SYS_mprotect) {
        if ((char *)r[REG_RDI] >= stacks && (char *)r[REG_RDI] < stacks + THREADS * STACK)
            goto done;
        if (call_count == CALLS)
            fail("glibc_driver: too many system calls in one command\n");
        calls[call_count++] = (struct call){(uint64_t)nr,
            {(uint64_t)r[REG_RDI], (uint64_t)r[REG_RSI], (uint64_t)r[REG_RDX], (uint64_t)r[REG_R10]}, (uint64_t)result};
    }
done:
    r[REG_RAX] = result;
}

static void see_calls(void)
{
    if (gate(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, 1, (long)gate_begin, gate_end - gate_begin, (long)&selector, 0))
        gate(SYS_exit_group, 77, 0, 0, 0, 0, 0);
}

/* ---- pages ---- */

static uint64_t *put_page(uint64_t *to, uint64_t address, int present)
{
    *to++ = address | (uint64_t)present;
    return to;
}

static uint64_t *look(struct region *region, uint64_t *to)
{
    static uint64_t entries[REGION_PAGES];
    uint64_t count = (region->end - region->start + PAGE - 1) / PAGE;
    if (count > REGION_PAGES)
        count = REGION_PAGES;
    if (gate(SYS_pread64, pagemap, (long)entries, (long)(count * 8), (long)(region->start / PAGE * 8), 0, 0)
        != (long)(count * 8))
        fail("glibc_driver: pagemap cannot be read\n");
    for (uint64_t i = 0; i < count; i++) {
        uint8_t now = (entries[i] >> 63) | (entries[i] >> 62 & 1);
        if (now != region->present[i]) {
            region->present[i] = now;
            to = put_page(to, region->start + i * PAGE, now);
        }
    }
    return to;
}

static uint64_t *forget(struct region *region, uint64_t *to)
{
    for (uint64_t i = 0; i < REGION_PAGES; i++)
        if (region->present[i]) {
            region->present[i] = 0;
            to = put_page(to, region->start + i * PAGE, 0);
        }
    return to;
}

static void add_region(uint64_t start, uint64_t length)
{
    if (region_count == REGIONS)
        fail("glibc_driver: too many mappings\n");
    struct region *region = &regions[region_count++];
    memset(region, 0, sizeof *region);
    region->start = start;
    region->end = start + (length + PAGE - 1) / PAGE * PAGE;
}

static uint64_t *cut_regions(uint64_t start, uint64_t length, uint64_t *to)
{
    uint64_t end = start + (length + PAGE - 1) / PAGE * PAGE;
    for (int i = region_count - 1; i >= 0; i--) {
        struct region *region = &regions[i];
        if (end <= region->start || region->end <= start)
            continue;
        uint64_t left = region->start, right = region->end;
        to = forget(region, to);
        regions[i] = regions[--region_count];
        if (left < start)
            add_region(left, start - left);
        if (end < right)
            add_region(end, right - end);
    }
    return to;
}

static uint64_t *follow_calls(uint64_t *to)
{
    for (int i = 0; i < call_count; i++) {
        struct call *call = &calls[i];
        if (call->result > -4096ul)
            continue;
        if (call->number == SYS_mmap)
            add_region(call->result, call->arguments[1]);
        else if (call->number == SYS_munmap)
            to = cut_regions(call->arguments[0], call->arguments[1], to);
        else if (call->number == SYS_mremap) {
            to = cut_regions(call->arguments[0], call->arguments[1], to);
            add_region(call->result, call->arguments[2]);
        }
    }
    return to;
}

static void write_log(uint64_t result)
{
    uint64_t *to = log_at + 2;
    __asm__ volatile("" ::: "memory");          /* the handler has written what follows */
    for (int i = 0; i < call_count; i++) {
        memcpy(to, &calls[i], sizeof calls[i]);
        to += sizeof calls[i] / sizeof *to;
    }
    uint64_t *pages = to;
    to = follow_calls(to);
    for (int i = 0; i < HEAP_PAGES / REGION_PAGES; i++)
        to = look(&heap_low[i], to);
    for (int i = 0; i < region_count; i++)
        to = look(&regions[i], to);
    log_at[0] = result;
    log_at[1] = (uint64_t)call_count << 32 | (uint64_t)(to - pages);
    log_at = to;
}

/* ---- commands ---- */

static void *work(void *task);

static void wait_turn(int task)
{
    while (turn != task && leave != task)
        gate(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
}

static uint64_t spawn(int task)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, stacks + (size_t)task * STACK, STACK);
    selector = 1;
    int result = pthread_create(&threads[task], &attributes, work, (void *)(intptr_t)task);
    selector = 0;
    if (result)
        fail("glibc_driver: no thread\n");
    return 0;
}

static uint64_t join(int task)
{
    selector = 1;
    leave = task;
    pthread_join(threads[task], NULL);
    selector = 0;
    leave = -1;
    return 0;
}

/* The rest of the commands is the child's; the parent waits and tells how it ended. */
static void fork_here(void)
{
    int status;
    selector = 1;
    pid_t child = fork();
    selector = 0;
    if (child < 0)
        fail("glibc_driver: no process\n");
    if (child) {
        waitpid(child, &status, 0);
        gate(SYS_exit_group, WIFEXITED(status) ? WEXITSTATUS(status) : 4, 0, 0, 0, 0, 0);
    }
    is_child = 1;
    pagemap = open("/proc/self/pagemap", O_RDONLY);
    see_calls();
}

static void finish(void)
{
    char told[32];
    int length = snprintf(told, sizeof told, "%zu\n", (size_t)((char *)log_at - (char *)log_begin));
    gate(SYS_write, 1, (long)told, length, 0, 0, 0);
    gate(SYS_exit_group, 0, 0, 0, 0, 0, 0);
}

static void block(uint64_t distance)
{
    uint64_t end = (uint64_t)gate(SYS_brk, 0, 0, 0, 0, 0, 0);
    gate(SYS_mmap, (long)(((end + PAGE - 1) & -PAGE) + distance), PAGE, PROT_NONE,
         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
}

static uint64_t perform(const struct command *c)
{
    void **slot = &slots[c->slot], *found = NULL;
    void *volatile *result = slot;
    selector = 1;
    switch (c->operation) {
    case MALLOC: *result = malloc(c->a); break;
    case CALLOC: *result = calloc(c->a, c->b); break;
    case REALLOC:
        found = realloc(*slot, c->a);
        if (found || !c->a)
            *slot = found;
        selector = 0;
        return (uint64_t)found;
    case FREE: free(*slot); *slot = NULL; break;
    case MEMALIGN: *result = memalign(c->a, c->b); break;
    case POSIX_MEMALIGN: *slot = posix_memalign(&found, c->a, c->b) ? NULL : found; break;
    case ALIGNED_ALLOC: *result = aligned_alloc(c->a, c->b); break;
    case VALLOC: *result = valloc(c->a); break;
    case PVALLOC: *result = pvalloc(c->a); break;
    case TRIM: { int given = malloc_trim(c->a); selector = 0; return (uint64_t)given; }
    case MALLOPT: { int taken = mallopt((int)c->a, (int)c->b); selector = 0; return (uint64_t)taken; }
    case SBRK: { void *before = sbrk((intptr_t)c->a); selector = 0; return before == (void *)-1 ? 0 : (uint64_t)before; }
    case USABLE: { size_t usable = malloc_usable_size(*slot); selector = 0; return usable; }
    case TOUCH: selector = 0; if (*slot) ((volatile char *)*slot)[c->a] = 1; return 0;
    default: fail("glibc_driver: no such command\n");
    }
    selector = 0;
    return (uint64_t)*slot;
}

/* Perform commands of one thread while it is its turn. */
static void run(int task)
{
    for (;;) {
        wait_turn(task);
        if (turn != task || !command->operation)
            return;
        if (command->task != task) {
            turn = command->task;
            continue;
        }
        call_count = 0;
        uint64_t result = 0;
        if (command->operation == SPAWN)
            result = spawn((int)command->a);
        else if (command->operation == FORK)
            fork_here();
        else if (command->operation == BLOCK)
            block(command->a);
        else if (command->operation == JOIN)
            result = join((int)command->a);
        else
            result = perform(command);
        write_log(result);
        command++;
        if (!command->operation && is_child)
            finish();
        if (!command->operation)
            turn = MAIN_TASK;
    }
}

static void *work(void *task)
{
    see_calls();
    run((int)(intptr_t)task);
    selector = leave == (int)(intptr_t)task;    /* what is done as the thread ends is seen */
    return NULL;
}

static void *map_file(const char *path, int writable)
{
    struct stat status;
    int file = open(path, writable ? O_RDWR : O_RDONLY);
    if (file < 0 || gate(SYS_fstat, file, (long)&status, 0, 0, 0, 0))
        fail("glibc_driver: a file cannot be opened\n");
    void *at = mmap(NULL, (size_t)status.st_size, writable ? PROT_READ | PROT_WRITE : PROT_READ,
                    writable ? MAP_SHARED : MAP_PRIVATE, file, 0);
    if (at == MAP_FAILED)
        fail("glibc_driver: a file cannot be mapped\n");
    close(file);
    return at;
}

struct kernel_action { void (*handler)(int, siginfo_t *, void *); unsigned long flags; void (*restorer)(void); uint64_t mask; };

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    command = map_file(argv[1], 0);
    log_at = log_begin = map_file(argv[2], 1);
    size_t room = (1 << 20) * sizeof(void *);
    slots = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    stacks = mmap(NULL, (size_t)THREADS * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pagemap = open("/proc/self/pagemap", O_RDONLY);
    if (pagemap < 0)
        return 77;
    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
    struct kernel_action action = {on_call, SA_SIGINFO | 0x04000000, gate_return, 0};
    gate(SYS_rt_sigaction, SIGSYS, (long)&action, 0, 8, 0, 0);
    see_calls();
    uint64_t heap = (uint64_t)gate(SYS_brk, 0, 0, 0, 0, 0, 0);
    for (int i = 0; i < HEAP_PAGES / REGION_PAGES; i++) {
        heap_low[i].start = (heap & -PAGE) + (uint64_t)i * REGION_PAGES * PAGE;
        heap_low[i].end = heap_low[i].start + REGION_PAGES * PAGE;
    }
    *log_at++ = heap;
    run(MAIN_TASK);
    finish();
}
