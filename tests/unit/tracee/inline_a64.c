/*
 * The functions of inline_a64.S recorded inside the program, with no observer beside it: what is laid out for them is
 * read from a file, and put where it belongs.
 *
 *     inline_a64 IMAGE RING ADDRESS SIZE
 *
 * prints its thread's base and its stack pointer, waits for a line, maps the file RING at ADDRESS, puts the pieces of
 * IMAGE (address, size, bytes) in their places and makes calls: function, arguments and result of each are printed,
 * and in the end how often the observer would have been asked. Its answer is always to go on.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

typedef uint64_t function(uint64_t, uint64_t, uint64_t);

function plain, paged, literal, conditional, tested, nesting, landed, filling, storing, becoming;
uint64_t kept(function *, uint64_t, uint64_t, uint64_t);

const char datum[8] = "datum";
char filled[64];
static volatile int asked;

static void trapped(int number, siginfo_t *info, void *context)
{
    mcontext_t *machine = &((ucontext_t *)context)->uc_mcontext;
    (void)number, (void)info;
    asked++;
    machine->pc = *(uint64_t *)machine->regs[17];
}

static void place(uint64_t address, uint64_t size, FILE *file)
{
    uint64_t page = sysconf(_SC_PAGESIZE), start = address & -page, end = (address + size + page - 1) & -page;
    void *there = (void *)start;
    if (address >= (uint64_t)&place + (1 << 22))
        there = mmap(there, end - start, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (there == MAP_FAILED || mprotect(there, end - start, PROT_READ | PROT_WRITE | PROT_EXEC))
        exit(3);
    if (fread((void *)address, 1, size, file) != size)
        exit(4);
    __builtin___clear_cache((char *)address, (char *)address + size);
}

static void call(const char *name, function *called, uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t result = called(a, b, c);
    printf("%s %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", name, a, b, c, result);
}

int main(int count, char **words)
{
    uint64_t base, head[2];
    if (count != 5)
        return 2;
    __asm__("mrs %0, tpidr_el0" : "=r"(base));
    printf("%" PRIu64 " %" PRIu64 "\n", base, (uint64_t)__builtin_frame_address(0));
    fflush(stdout);
    getchar();
    sigaction(SIGTRAP, &(struct sigaction){.sa_sigaction = trapped, .sa_flags = SA_SIGINFO}, NULL);
    void *ring = (void *)strtoull(words[3], NULL, 0);
    if (mmap(ring, strtoull(words[4], NULL, 0), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, open(words[2], O_RDWR), 0) != ring)
        return 5;
    FILE *file = fopen(words[1], "r");
    while (fread(head, sizeof head, 1, file) == 1)
        place(head[0], head[1], file);
    uint64_t stored = 7;
    call("plain", plain, 3, 4, 5);
    call("paged", paged, 0, 2, 0);
    call("literal", literal, 0, 16, 0);
    call("conditional", conditional, 0, 0, 0);
    call("conditional", conditional, 1, 0, 0);
    call("tested", tested, 1ull << 40, 0, 0);
    call("tested", tested, 0, 0, 0);
    call("nesting", nesting, 1, 2, 4);
    call("landed", landed, 9, 2, 0);
    call("becoming", becoming, 5, 6, 7);
    call("storing", storing, (uint64_t)&stored, 1234, 0);
    call("storing", storing, (uint64_t)&stored, 0, 0);
    filling(6, 7, 0);
    printf("filled %zu\n", strspn(filled, "\x55"));
    printf("kept %" PRIx64 "\n", kept(nesting, 1, 2, 3) | kept(filling, 1, 2, 3) | kept(landed, 1, 2, 3));
    printf("asked %d\n", asked);
    return 0;
}
