/*
 * gates.c: more than one way into the kernel.
 *
 * concepts: portal brk
 *
 * See: the instruction decides which table the number is looked up in. On x86-64 `syscall` means the table of x86-64,
 * `int $0x80` that of i386, from 64-bit code too: 45 is recvfrom by one and brk by the other, 192 lgetxattr or mmap2, 20
 * writev or getpid. A program for i386 has `int $0x80`, and a quicker way through the page of code that the kernel lends
 * it, the vDSO: `sysenter` on Intel's processors, `syscall` on AMD's. On arm64 there is one instruction, `svc`.
 *
 * A kernel without the i386 table answers `int $0x80` with a general protection fault: then int80_works is 0.
 *
 * Facts: calls cs cpl gate_syscall gate_int80 gate_vdso gate_svc (calls of main's own through each) pid_X (1: the
 *        right answer) int80_works int80_brk (1: the break, as the C library knows it) int80_page_low (1: below 4 GiB)
 *        int80_page_touched int80_munmap syscall_N_errno; for i386 vdso_has_sysenter vdso_has_syscall vdso_has_int80 (so
 *        many in its entry; the last one is for calls that are begun again) vdso_brk; for arm64 svc_brk; line_*
 */
#include "caught.h"
#include <sys/auxv.h>
#include <sys/mman.h>

static uint64_t through_syscall, through_int80, through_vdso, through_svc;

#if defined __x86_64__

/* Macros, so that the instruction itself stands on the line that uses it. Arguments not named are 0. */
#define SYSCALL(number, a, b, c) (through_syscall++, __extension__({ long result; \
    __asm__ volatile("xor %%r10d, %%r10d\n\txor %%r8d, %%r8d\n\txor %%r9d, %%r9d\n\tsyscall" : "=a"(result) \
    : "0"((long)(number)), "D"((long)(a)), "S"((long)(b)), "d"((long)(c)) : "rcx", "r8", "r9", "r10", "r11", "memory"); result; }))
/* i386 takes its arguments in ebx ecx edx esi edi ebp. */
#define INT80(number, a, b, c, d, e) (through_int80++, __extension__({ long result; \
    __asm__ volatile("mov %%rbp, %%r12\n\txor %%ebp, %%ebp\n\tint $0x80\n\tmov %%r12, %%rbp" : "=a"(result) \
    : "0"((long)(number)), "b"((long)(a)), "c"((long)(b)), "d"((long)(c)), "S"((long)(d)), "D"((long)(e)) \
    : "r8", "r9", "r10", "r11", "r12", "memory"); result; }))

static void all_gates(void)
{
    long pid = getpid();
    long end = (long)break_now();
    long answer;

    answer = SYSCALL(39, 0, 0, 0);                  FACT_LINE("syscall_getpid");
    fact_u64("pid_syscall", answer == pid);
    answer = SYSCALL(20, -1, NULL, 0);              FACT_LINE("syscall_20");        /* writev(-1, NULL, 0) */
    fact_u64("syscall_20_errno", (uint64_t)-answer);
    answer = SYSCALL(45, -1, NULL, 0);              FACT_LINE("syscall_45");        /* recvfrom(-1, NULL, 0, …) */
    fact_u64("syscall_45_errno", (uint64_t)-answer);
    answer = SYSCALL(192, NULL, NULL, NULL);        FACT_LINE("syscall_192");       /* lgetxattr(NULL, NULL, NULL, …) */
    fact_u64("syscall_192_errno", (uint64_t)-answer);

    catch_signals();
    answer = -1;
    if (sigsetjmp(caught_jump, 1) == 0) {
        answer = INT80(20, 0, 0, 0, 0, 0);          FACT_LINE("int80_getpid");
    }
    if (answer < 0) {
        through_int80 = 0;                          /* nobody came through */
        fact_u64("int80_works", 0);
        return;
    }
    fact_u64("int80_works", 1);
    fact_u64("pid_int80", answer == pid);
    answer = INT80(45, 0, 0, 0, 0, 0);              FACT_LINE("int80_brk");         /* brk(0) */
    fact_u64("int80_brk", answer == end);
    answer = INT80(192, 0, page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1); FACT_LINE("int80_mmap2");
    fact_u64("int80_page_low", answer > 0 && answer < 1L << 32);
    if (answer > 0 && answer < 1L << 32) {
        *(volatile char *)answer = 'x';             FACT_LINE("int80_page_write");
        fact_u64("int80_page_touched", resident_pages((char *)answer, page_size));
        answer = INT80(91, answer, page_size, 0, 0, 0);             FACT_LINE("int80_munmap");
        fact_u64("int80_munmap", answer == 0);
    }
}

#elif defined __i386__

#define INT80(number, a) (through_int80++, __extension__({ long result; __asm__ volatile("int $0x80" : "=a"(result) \
    : "0"((long)(number)), "b"((long)(a)) : "memory"); result; }))
/* The C library keeps the address of the vDSO's entry beside the thread's own variables, at %gs:0x10. */
#define VDSO(number, a) (through_vdso++, __extension__({ long result; __asm__ volatile("call *%%gs:0x10" : "=a"(result) \
    : "0"((long)(number)), "b"((long)(a)) : "memory"); result; }))

/* Which instructions the vDSO's entry consists of: the kernel has put there what this processor is quickest with. */
static void look_at_vdso(void)
{
    const unsigned char *code = (const unsigned char *)getauxval(AT_SYSINFO);
    uint64_t sysenter = 0, syscall_ = 0, int80 = 0;

    for (int i = 0; code != NULL && i < 16; i++) {
        sysenter += code[i] == 0x0f && code[i + 1] == 0x34;
        syscall_ += code[i] == 0x0f && code[i + 1] == 0x05;
        int80 += code[i] == 0xcd && code[i + 1] == 0x80;
    }
    fact_u64("vdso_has_sysenter", sysenter);
    fact_u64("vdso_has_syscall", syscall_);
    fact_u64("vdso_has_int80", int80);
}

static void all_gates(void)
{
    long pid = getpid();
    long end = (long)break_now();
    long answer;

    look_at_vdso();
    answer = INT80(20, 0);                          FACT_LINE("int80_getpid");
    fact_u64("int80_works", 1);                     /* or nothing here would */
    fact_u64("pid_int80", answer == pid);
    answer = INT80(45, 0);                          FACT_LINE("int80_brk");         /* brk(0) */
    fact_u64("int80_brk", answer == end);
    answer = VDSO(20, 0);                       FACT_LINE("vdso_getpid");
    fact_u64("pid_vdso", answer == pid);
    answer = VDSO(45, 0);                       FACT_LINE("vdso_brk");
    fact_u64("vdso_brk", answer == end);
}

#elif defined __aarch64__

#define SVC(number, a) (through_svc++, __extension__({ register long x8 __asm__("x8") = (number); register long x0 __asm__("x0") = (a); \
    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8) : "memory"); x0; }))

static void all_gates(void)
{
    long pid = getpid();
    long end = (long)break_now();
    long answer;

    answer = SVC(172, 0);                           FACT_LINE("svc_getpid");
    fact_u64("pid_svc", answer == pid);
    answer = SVC(214, 0);                           FACT_LINE("svc_brk");           /* brk(0) */
    fact_u64("svc_brk", answer == end);
}

#endif

int main(void)
{
    facts_begin();
    fact_u64("calls", 0);
    fact_rings();
    all_gates();
    fact_u64("gate_syscall", through_syscall);
    fact_u64("gate_int80", through_int80);
    fact_u64("gate_vdso", through_vdso);
    fact_u64("gate_svc", through_svc);
    facts_end();
    return 0;
}
