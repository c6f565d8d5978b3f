/*
 * raised.c: exceptions beyond those of privileged.c and forbidden.c.
 *
 * usage: raised first|second     tries each of that half, catches the signal and goes on
 *        raised NAME             does one, and dies of it
 *
 * Facts: for each NAME those of caught.h
 */
#include "caught.h"
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static char area[128] __attribute__((aligned(64)));
static volatile int zero, least = -2147483647 - 1, minus_one = -1;
static char *fresh;

static void breakpoint(void)        { ABOUT_TO("breakpoint");       __asm__ volatile("int3"); }
static void breakpoint_long(void)   { ABOUT_TO("breakpoint_long");  __asm__ volatile(".byte 0xcd, 3"); }
static void icebp(void)             { ABOUT_TO("icebp");            __asm__ volatile(".byte 0xf1"); }
static void int_4(void)             { ABOUT_TO("int_4");            __asm__ volatile("int $4"); }
static void int_32(void)            { ABOUT_TO("int_32");           __asm__ volatile("int $0x20"); }
static void overflow(void)          { ABOUT_TO("overflow");         zero = least / minus_one; zero = 0; }
static void misaligned(void)        { ABOUT_TO("misaligned");       __asm__ volatile("movaps (%0), %%xmm0" : : "r"(area + 1) : "xmm0"); }
static void x87(void)               { unsigned short word = 0x0360; ABOUT_TO("x87"); __asm__ volatile("fninit\n\tfldcw %0\n\tfld1\n\tfldz\n\tfdivrp\n\tfwait" : : "m"(word)); }
static void x87_mmx(void)           { unsigned short word = 0x0360; ABOUT_TO("x87_mmx"); __asm__ volatile("fninit\n\tfldcw %0\n\tfld1\n\tfldz\n\tfdivrp\n\temms" : : "m"(word)); }
static void simd(void)              { unsigned word = 0x1f80 & ~0x200; ABOUT_TO("simd"); __asm__ volatile("ldmxcsr %0\n\txorps %%xmm1, %%xmm1\n\tmovss %1, %%xmm0\n\tdivss %%xmm1, %%xmm0" : : "m"(word), "m"((float){1.0f}) : "xmm0", "xmm1"); }
static void simd_to_int(void)       { unsigned word = 0x1f80 & ~0x80; float big = 1e30f; ABOUT_TO("simd_to_int"); __asm__ volatile("ldmxcsr %0\n\tcvttss2si %1, %%eax" : : "m"(word), "m"(big) : "eax"); }
static void mxcsr_reserved(void)    { unsigned word = 0xffffffff; ABOUT_TO("mxcsr_reserved"); __asm__ volatile("ldmxcsr %0" : : "m"(word)); }
static void bad_segment(void)       { ABOUT_TO("bad_segment");      __asm__ volatile("mov %0, %%es" : : "r"(0x1234)); }
static void timestamp(void)         { prctl(PR_SET_TSC, PR_TSC_SIGSEGV); ABOUT_TO("timestamp"); __asm__ volatile("rdtsc" : : : "eax", "edx"); }
static void jump_nowhere(void)      { ABOUT_TO("jump_nowhere");     ((void (*)(void))(uintptr_t)0x20000000)(); }
static void jump_null(void)         { ABOUT_TO("jump_null");        ((void (*)(void))(uintptr_t)0)(); }
static void jump_fresh(void)        { ABOUT_TO("jump_fresh");       ((void (*)(void))(uintptr_t)fresh)(); }
static void return_nowhere(void)    { ABOUT_TO("return_nowhere");   __asm__ volatile("push $0x12340000\n\tret"); }
static void write_both(void)        { ABOUT_TO("write_both");       __asm__ volatile("rep movsb" : : "D"(16), "S"(area), "c"(7)); }
static void read_both(void)         { ABOUT_TO("read_both");        __asm__ volatile("rep movsb" : : "D"(area), "S"(16), "c"(7)); }
static void push_memory(void)       { ABOUT_TO("push_memory");      __asm__ volatile("pushw %0" : : "m"(*(char *)16)); }
static void call_memory(void)       { ABOUT_TO("call_memory");      __asm__ volatile("call *%0" : : "m"(*(char *)16)); }
static void atomic(void)            { ABOUT_TO("atomic");           __asm__ volatile("lock incl %0" : : "m"(*(char *)16)); }
static void compare_exchange(void)  { ABOUT_TO("compare_exchange"); __asm__ volatile("lock cmpxchg %%ecx, %0" : : "m"(*(char *)16)); }
static void test_memory(void)       { ABOUT_TO("test_memory");      __asm__ volatile("testl $1, %0" : : "m"(*(char *)16)); }
static void vector_store(void)      { ABOUT_TO("vector_store");     __asm__ volatile("movups %%xmm0, %0" : : "m"(*(char *)16)); }
static void stos(void)              { ABOUT_TO("stos");             __asm__ volatile("rep stosb" : : "D"(16), "a"(0), "c"(7)); }
static void lods(void)              { ABOUT_TO("lods");             __asm__ volatile("lodsb" : : "S"(16) : "al"); }
static void xchg(void)              { ABOUT_TO("xchg");             __asm__ volatile("xchg %%eax, %0" : : "m"(*(char *)16)); }
static void bts(void)               { ABOUT_TO("bts");              __asm__ volatile("btsl $1, %0" : : "m"(*(char *)16)); }
static void setcc(void)             { ABOUT_TO("setcc");            __asm__ volatile("sete %0" : : "m"(*(char *)16)); }
static void fxsave_(void)           { ABOUT_TO("fxsave");           __asm__ volatile("fxsave %0" : : "m"(*(char *)16)); }
static void fst(void)               { ABOUT_TO("fst");              __asm__ volatile("fstps %0" : : "m"(*(char *)16)); }
static void killed(void)            { ABOUT_TO("killed");           kill(getpid(), SIGSEGV); }
static void raised(void)            { ABOUT_TO("raised");           raise(SIGFPE); }
static void forged(void)
{
    siginfo_t info = { .si_signo = SIGSEGV, .si_code = SEGV_MAPERR };
    info.si_addr = (void *)0x1230;
    ABOUT_TO("forged"); syscall(SYS_rt_sigqueueinfo, getpid(), SIGSEGV, &info);
}
static void forged_kernel(void)
{
    siginfo_t info = { .si_signo = SIGSEGV, .si_code = SI_KERNEL };
    ABOUT_TO("forged_kernel"); syscall(SYS_rt_sigqueueinfo, getpid(), SIGSEGV, &info);
}
static void forged_trap(void)
{
    siginfo_t info = { .si_signo = SIGTRAP, .si_code = SI_KERNEL };
    ABOUT_TO("forged_trap"); syscall(SYS_rt_sigqueueinfo, getpid(), SIGTRAP, &info);
}
#if defined __x86_64__
static char got;

static void pop_memory(void)        { ABOUT_TO("pop_memory");       __asm__ volatile("push %%rax\n\tpop %0" : : "m"(*(char *)16)); }
static void alignment(void)         { if (!caught_alone) return; ABOUT_TO("alignment"); /* the flag stays set in a handler */        __asm__ volatile("pushf\n\torl $0x40000, (%%rsp)\n\tpopf\n\tmovl 1(%0), %%eax" : : "r"(area) : "eax"); }
static void misaligned_32(void)     { ABOUT_TO("misaligned_32");    __asm__ volatile("vmovaps (%0), %%ymm0" : : "r"(area + 16) : "xmm0"); }
static void misaligned_pair(void)   { ABOUT_TO("misaligned_pair");  __asm__ volatile("cmpxchg16b (%0)" : : "r"(area + 8) : "rax", "rdx"); }
static void jump_hole(void)         { ABOUT_TO("jump_hole");        __asm__ volatile("jmp *%0" : : "r"(0x8000000000000000)); }
static void call_hole(void)         { uintptr_t to = 0x8000000000000000; ABOUT_TO("call_hole"); __asm__ volatile("call *%0" : : "m"(to)); }
static void return_hole(void)       { ABOUT_TO("return_hole");      __asm__ volatile("push %0\n\tret" : : "r"(0x8000000000000000)); }
static void push_hole(void)         { ABOUT_TO("push_hole");        __asm__ volatile("mov %0, %%rsp\n\tpush %%rax" : : "r"(0x8000000000000000)); }
static void stack_hole(void)        { ABOUT_TO("stack_hole");       __asm__ volatile("mov %0, %%rsp\n\tmov 8(%%rsp), %%rax" : : "r"(0x8000000000000000)); }
static void pop_hole(void)          { ABOUT_TO("pop_hole");         __asm__ volatile("mov %0, %%rsp\n\tpop %%rax" : : "r"(0x8000000000000000)); }
static void frame_hole(void)        { ABOUT_TO("frame_hole");       __asm__ volatile("mov %0, %%rbp\n\tmov 8(%%rbp), %%rax" : : "r"(0x8000000000000000)); }
static void segment_hole(void)      { ABOUT_TO("segment_hole");     __asm__ volatile("mov %%fs:(%0), %%eax" : : "r"(0x8000000000000000)); }
static void string_hole(void)       { ABOUT_TO("string_hole");      __asm__ volatile("rep stosb" : : "D"(0x8000000000000000), "c"(3), "a"(1)); }
static void vsyscall_read(void)     { ABOUT_TO("vsyscall_read");    got = *(volatile char *)0xffffffffff600000; }
static void vsyscall_jump(void)     { ABOUT_TO("vsyscall_jump");    ((void (*)(void))(uintptr_t)0xffffffffff600001)(); }
static void kernel_jump(void)       { ABOUT_TO("kernel_jump");      ((void (*)(void))(uintptr_t)0xffffffff81000000)(); }
static void iret_bad(void)          { ABOUT_TO("iret_bad");         __asm__ volatile("push $0\n\tpush $0x1000\n\tpush $2\n\tpush $0x10\n\tpush $0\n\tiretq"); }
static void far_return(void)        { ABOUT_TO("far_return");       __asm__ volatile("push $0x10\n\tpush $0\n\tlretq"); }
static void step_flag(void)         { ABOUT_TO("step_flag");        __asm__ volatile("sub $128, %rsp\n\tpushf\n\torl $0x100, (%rsp)\n\tpopf\n\tnop\n\tadd $128, %rsp"); }
#else
static void into(void)              { ABOUT_TO("into");             __asm__ volatile("movb $0x7f, %%al\n\taddb $1, %%al\n\tinto" : : : "eax"); }
static void bound(void)             { int limits[2] = { 1, 2 }; ABOUT_TO("bound"); __asm__ volatile("bound %1, %0" : : "m"(limits), "r"(3)); }
#endif

#define DEED(name) { #name, name }

static const struct deed deeds[] = {
    DEED(breakpoint), DEED(breakpoint_long), DEED(icebp), DEED(int_4), DEED(int_32), DEED(overflow), DEED(misaligned),
    DEED(x87), DEED(x87_mmx), DEED(simd), DEED(simd_to_int), DEED(mxcsr_reserved), DEED(bad_segment), DEED(timestamp),
    DEED(jump_nowhere), DEED(jump_null), DEED(jump_fresh), DEED(return_nowhere), DEED(write_both), DEED(read_both),
    DEED(push_memory), DEED(call_memory), DEED(atomic), DEED(compare_exchange), DEED(test_memory), DEED(vector_store),
    DEED(stos), DEED(lods), DEED(xchg), DEED(bts), DEED(setcc), { "fxsave", fxsave_ }, DEED(fst),
    { "killed", killed }, { "raised", raised }, DEED(forged), DEED(forged_kernel), DEED(forged_trap),
#if defined __x86_64__
    DEED(pop_memory), DEED(misaligned_32), DEED(misaligned_pair), DEED(jump_hole), DEED(call_hole), DEED(return_hole),
    DEED(push_hole), DEED(stack_hole), DEED(pop_hole), DEED(frame_hole), DEED(segment_hole), DEED(string_hole),
    DEED(vsyscall_read), DEED(vsyscall_jump), DEED(kernel_jump), DEED(iret_bad), DEED(far_return), DEED(step_flag),
    DEED(alignment),
#else
    DEED(into), DEED(bound),
#endif
};

int main(int argc, char **argv)
{
    enum { COUNT = sizeof deeds / sizeof *deeds };
    const char *only = argc > 1 ? argv[1] : "first";

    facts_begin();
    fresh = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (strcmp(only, "first") == 0)
        return try_deeds(deeds, COUNT / 2, NULL);
    if (strcmp(only, "second") == 0)
        return try_deeds(deeds + COUNT / 2, COUNT - COUNT / 2, NULL);
    return try_deeds(deeds, COUNT, only);
}
