/*
 * privileged.c: instructions that are the kernel's alone.
 *
 * concepts: rings modes
 *
 * usage: privileged            tries each, catches the signal and goes on
 *        privileged NAME       does one, and dies of it
 *
 * See: the program runs at privilege level 3, and says so (the low two bits of CS). The CPU executes none of these
 * instructions there: it raises a general protection fault (exception 13), which is no page fault and has no address,
 * and the kernel turns it into SIGSEGV with si_code SI_KERNEL (128). On arm64 the instruction is undefined at EL0: SIGILL.
 *
 * Facts: calls cs cpl, and for each NAME those of caught.h
 */
#include "caught.h"

#if defined __x86_64__ || defined __i386__

#define LSTAR 0xc0000082                /* the register that holds where `syscall` enters the kernel */

static struct { uint16_t limit; uintptr_t base; } __attribute__((packed)) table = { 0, 0 };
static uintptr_t word;
static unsigned low, high;

static void cli(void)      { ABOUT_TO("cli");      __asm__ volatile("cli"); }                           /* no interrupts from here on */
static void sti(void)      { ABOUT_TO("sti");      __asm__ volatile("sti"); }
static void hlt(void)      { ABOUT_TO("hlt");      __asm__ volatile("hlt"); }                           /* stop the processor */
static void mov_cr0(void)  { ABOUT_TO("mov_cr0");  __asm__ volatile("mov %%cr0, %0" : "=r"(word)); }    /* paging on or off */
static void mov_cr3(void)  { ABOUT_TO("mov_cr3");  __asm__ volatile("mov %%cr3, %0" : "=r"(word)); }    /* where the page table is */
static void rdmsr(void)    { ABOUT_TO("rdmsr");    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(LSTAR)); }
static void in(void)       { ABOUT_TO("in");       __asm__ volatile("inb $0x80, %%al" : "=a"(low)); }   /* talk to a device */
static void out(void)      { ABOUT_TO("out");      __asm__ volatile("outb %%al, $0x80" : : "a"(0)); }
static void lgdt(void)     { ABOUT_TO("lgdt");     __asm__ volatile("lgdt %0" : : "m"(table)); }        /* other segments, other rings */
static void invlpg(void)   { ABOUT_TO("invlpg");   __asm__ volatile("invlpg %0" : : "m"(word)); }       /* forget a translation */

static const struct deed deeds[] = {
    { "cli", cli }, { "sti", sti }, { "hlt", hlt }, { "mov_cr0", mov_cr0 }, { "mov_cr3", mov_cr3 }, { "rdmsr", rdmsr },
    { "in", in }, { "out", out }, { "lgdt", lgdt }, { "invlpg", invlpg },
};

#elif defined __aarch64__

static uint64_t word;

static void mrs_sctlr(void)   { ABOUT_TO("mrs_sctlr");   __asm__ volatile("mrs %0, sctlr_el1" : "=r"(word)); }  /* paging on or off */
static void mrs_ttbr(void)    { ABOUT_TO("mrs_ttbr");    __asm__ volatile("mrs %0, ttbr0_el1" : "=r"(word)); }  /* where the page table is */
static void mrs_level(void)   { ABOUT_TO("mrs_level");   __asm__ volatile("mrs %0, CurrentEL" : "=r"(word)); }  /* even to ask for the level */
static void msr_vbar(void)    { ABOUT_TO("msr_vbar");    __asm__ volatile("msr vbar_el1, %0" : : "r"(word)); }  /* where the kernel is entered */
static void tlbi(void)        { ABOUT_TO("tlbi");        __asm__ volatile("tlbi vmalle1"); }                    /* forget all translations */

static const struct deed deeds[] = {
    { "mrs_sctlr", mrs_sctlr }, { "mrs_ttbr", mrs_ttbr }, { "mrs_level", mrs_level }, { "msr_vbar", msr_vbar }, { "tlbi", tlbi },
};

#endif

int main(int argc, char **argv)
{
    facts_begin();
    fact_u64("calls", 0);
    fact_rings();
    return try_deeds(deeds, sizeof deeds / sizeof *deeds, argc > 1 ? argv[1] : NULL);
}
