/*
 * forbidden.c: addresses that are not the program's, and other things that the CPU refuses.
 *
 * concepts: modes virtual
 *
 * usage: forbidden             tries each, catches the signal and goes on
 *        forbidden NAME        does one, and dies of it
 *
 * See: first 17 page faults that the kernel resolves: the same exception (14 on x86), and the program notices nothing.
 * Then those that it does not: SIGSEGV with SEGV_MAPERR (1) where nothing is mapped, SEGV_ACCERR (2) where something is but
 * not for this, SIGBUS where a file has ended. The CPU's error code tells a load from a store from a jump. An address
 * that no page table could hold is no page fault but exception 13, without an address. At last two that have nothing
 * to do with memory: a division by zero (exception 0, SIGFPE), an instruction that is none (6, SIGILL).
 *
 * That is x86. On arm64 the address that no page table could hold is one where nothing is mapped, and is told; a division
 * by zero is 0, and nobody objects: division_signal is 0.
 *
 * The pieces lie at fixed places, so that their addresses are the same in every run; not so a constant's and the stack's.
 *
 * Facts: calls cs cpl pages_touched faults_program, and for each NAME those of caught.h
 */
#include "caught.h"
#include <sys/mman.h>

enum { TOUCHED = 17, DEPTH = 1 << 20, STACK_LIMIT = 1 << 20 };

static char *fresh, *unmapped, *read_only, *no_access, *data, *mapped_file;
static volatile char *nothing = NULL;
static const char constant[4096] = "not to be written";
static char got;
static volatile int zero;

#if defined __x86_64__
static volatile char *kernel = (char *)0xffffffff81000000;              /* where Linux's own code begins */
static volatile char *hole = (char *)0x8000000000000000;                /* bits 48 to 63 must be copies of bit 47 */

static void kernel_load(void)       { ABOUT_TO("kernel_load");      got = *kernel; }
static void kernel_store(void)      { ABOUT_TO("kernel_store");     *kernel = 'x'; }
static void non_canonical(void)     { ABOUT_TO("non_canonical");    got = *hole; }
#elif defined __aarch64__
static volatile char *kernel = (char *)0xffff800008000000;
static volatile char *hole = (char *)0x0001000000000000;                /* bits 48 to 54 must be copies of bit 55 */

static void kernel_load(void)       { ABOUT_TO("kernel_load");      got = *kernel; }
static void kernel_store(void)      { ABOUT_TO("kernel_store");     *kernel = 'x'; }
static void non_canonical(void)     { ABOUT_TO("non_canonical");    got = *hole; }
#endif
static void null_load(void)         { ABOUT_TO("null_load");        got = *nothing; }
static void unmapped_load(void)     { ABOUT_TO("unmapped_load");    got = *(volatile char *)unmapped; }
static void unmapped_store(void)    { ABOUT_TO("unmapped_store");   *unmapped = 'x'; }
static void read_only_store(void)   { ABOUT_TO("read_only_store");  *read_only = 'x'; }
static void constant_store(void)    { ABOUT_TO("constant_store");   *(volatile char *)constant = 'x'; }
static void no_access_load(void)    { ABOUT_TO("no_access_load");   got = *(volatile char *)no_access; }
static void jump_into_data(void)    { ABOUT_TO("jump_into_data");   ((void (*)(void))(uintptr_t)data)(); }
static void beyond_file(void)       { ABOUT_TO("beyond_file");      got = *(volatile char *)(mapped_file + page_size); }

/* Each level has a page of its own; 1 MiB of stack does not last for a million. */
enum { LINE_OF_DESCEND = __LINE__ + 1 };
static unsigned descend(unsigned depth) { volatile char page[4096]; page[0] = 'x'; return depth == 0 ? 0 : descend(depth - 1) + page[0]; }

static void stack_overrun(void)
{
    struct rlimit limit;

    getrlimit(RLIMIT_STACK, &limit);
    limit.rlim_cur = STACK_LIMIT;       /* the kernel looks at it each time the stack is to grow */
    setrlimit(RLIMIT_STACK, &limit);
    fact_u64("line_stack_overrun", LINE_OF_DESCEND);
    about_to();
    descend(DEPTH);
}

static void division(void)          { ABOUT_TO("division");         got = (char)(17 / zero); }
#if defined __x86_64__ || defined __i386__
static void undefined(void)         { ABOUT_TO("undefined");        __asm__ volatile("ud2"); }
#elif defined __aarch64__
static void undefined(void)         { ABOUT_TO("undefined");        __asm__ volatile(".inst 0"); }
#endif

static const struct deed deeds[] = {
#if defined __x86_64__ || defined __aarch64__
    { "kernel_load", kernel_load }, { "kernel_store", kernel_store }, { "non_canonical", non_canonical },
#endif
    { "null_load", null_load }, { "unmapped_load", unmapped_load }, { "unmapped_store", unmapped_store },
    { "read_only_store", read_only_store }, { "constant_store", constant_store }, { "no_access_load", no_access_load },
    { "jump_into_data", jump_into_data }, { "beyond_file", beyond_file }, { "stack_overrun", stack_overrun },
    { "division", division }, { "undefined", undefined },
};

/* The next of the fixed places: 1 MiB apart, from 256 MiB on. Something else is there already: nothing is proved. */
static char *place(size_t bytes, int protection, int flags, int file)
{
    static uintptr_t next = 0x10000000;
    char *at = mmap((void *)next, bytes, protection, MAP_PRIVATE | flags, file, 0);

    if (at != (char *)next)
        _exit(125);
    next += 0x100000;
    return at;
}

int main(int argc, char **argv)
{
    facts_begin();
    fact_u64("calls", 0);
    fact_rings();

    fresh = place(TOUCHED * page_size, PROT_READ | PROT_WRITE, MAP_ANONYMOUS, -1);
    uint64_t before = minflt();
    for (size_t i = 0; i < TOUCHED; i++) { fresh[i * page_size] = 'x'; }            FACT_LINE("touch");
    fact_u64("faults_program", minflt() - before);
    fact_u64("pages_touched", TOUCHED);

    unmapped = place(page_size, PROT_READ | PROT_WRITE, MAP_ANONYMOUS, -1);
    munmap(unmapped, page_size);
    read_only = place(page_size, PROT_READ, MAP_ANONYMOUS, -1);
    got = *(volatile char *)read_only;                                              FACT_LINE("read_only_load");
    got = *(volatile char *)constant;
    no_access = place(page_size, PROT_NONE, MAP_ANONYMOUS, -1);
    data = place(page_size, PROT_READ | PROT_WRITE, MAP_ANONYMOUS, -1);
    data[0] = (char)0xc3;               /* a return instruction, were it code */
    int file = memfd_create("short", MFD_CLOEXEC);          /* a file without a name */
    if (file < 0 || ftruncate(file, 1) != 0)
        return 1;
    mapped_file = place(2 * page_size, PROT_READ, 0, file);
    got = *(volatile char *)mapped_file;                                            FACT_LINE("file_load");

    return try_deeds(deeds, sizeof deeds / sizeof *deeds, argc > 1 ? argv[1] : NULL);
}
