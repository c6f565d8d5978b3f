/*
 * caught.h: do what may not be done, and note what came of it.
 *
 * A sample lists its deeds, each a function of its own, and hands them to try_deeds(). Without an argument each is tried
 * in turn: the signal that it raises is caught, its particulars become facts, and the program goes on with the next. With
 * the name of one deed only that one is done, and nothing catches the signal: the program dies of it, its facts written
 * just before.
 *
 * Facts of each deed NAME: line_NAME, NAME_signal (0 if none came), and from what the handler is given: NAME_si_code
 * NAME_fault_address NAME_address_is_pc, on x86 NAME_trapno NAME_error_code (the CPU's own number of the exception and
 * what it pushed with it), on x86-64 NAME_cr2 (the address of the last page fault that ended in a signal).
 */
#ifndef CAUGHT_H
#define CAUGHT_H

#include "facts.h"
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>

/* Stands before the deed, on its line: tells where it is, and, when it is to be the last, all facts. */
#define ABOUT_TO(name) (FACT_LINE(name), about_to())

struct deed {
    const char *name;
    void (*act)(void);
};

static sigjmp_buf caught_jump;          /* back to before the deed */
static siginfo_t caught_info;           /* what the last signal's handler was given: of the signal */
static mcontext_t caught_machine;       /* the registers at the deed */
static char caught_stack[65536];        /* a handler cannot run on a stack that has no room left */
static int caught_alone;                /* nothing is caught */

static inline void about_to(void)
{
    if (caught_alone)
        facts_end();
}

static inline void caught_handler(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    caught_info = *info;
    caught_machine = ((ucontext_t *)context)->uc_mcontext;
    siglongjmp(caught_jump, 1);
}

static inline void caught_fact(const char *name, const char *what, uint64_t value)
{
    char whole[64];

    strcpy(whole, name);
    strcat(whole, what);
    fact_u64(whole, value);
}

/* One deed, and the facts of what became of it. */
static inline void try_deed(const struct deed *deed)
{
    uintptr_t address, pc = 0;

    caught_info.si_signo = 0;
    if (sigsetjmp(caught_jump, 1) == 0)
        deed->act();
    caught_fact(deed->name, "_signal", (uint64_t)caught_info.si_signo);
    if (caught_info.si_signo == 0)
        return;

    address = (uintptr_t)caught_info.si_addr;
#if defined __x86_64__
    pc = (uintptr_t)caught_machine.gregs[REG_RIP];
#elif defined __i386__
    pc = (uintptr_t)caught_machine.gregs[REG_EIP];
#elif defined __aarch64__
    pc = (uintptr_t)caught_machine.pc;
#endif
    caught_fact(deed->name, "_si_code", (uint64_t)caught_info.si_code);
    caught_fact(deed->name, "_fault_address", address);
    caught_fact(deed->name, "_address_is_pc", address == pc);
#if defined __x86_64__ || defined __i386__
    caught_fact(deed->name, "_trapno", (uint64_t)caught_machine.gregs[REG_TRAPNO]);
    caught_fact(deed->name, "_error_code", (uint64_t)caught_machine.gregs[REG_ERR]);
#endif
#if defined __x86_64__
    caught_fact(deed->name, "_cr2", (uint64_t)caught_machine.gregs[REG_CR2]);
#endif
}

static inline void catch_signals(void)
{
    static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP };
    stack_t stack = { .ss_sp = caught_stack, .ss_size = sizeof caught_stack };
    struct sigaction action = { .sa_sigaction = caught_handler, .sa_flags = SA_SIGINFO | SA_ONSTACK };

    sigaltstack(&stack, NULL);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaction(signals[i], &action, NULL);
}

/* All deeds, or the one that is named, uncaught. Returns the status of the program: 2 if there is none of that name. */
static inline int try_deeds(const struct deed *deeds, size_t count, const char *only)
{
    caught_alone = only != NULL;
    if (!caught_alone)
        catch_signals();
    for (size_t i = 0; i < count; i++) {
        if (!caught_alone)
            try_deed(&deeds[i]);
        else if (strcmp(deeds[i].name, only) == 0) {
            deeds[i].act();
            return 0;                   /* nobody objected */
        }
    }
    if (caught_alone)
        return 2;
    facts_end();
    return 0;
}

/* The privilege level that the processor itself says it is at: x86 keeps it in the low two bits of CS. */
static inline void fact_rings(void)
{
#if defined __x86_64__ || defined __i386__
    unsigned cs;

    __asm__ volatile("mov %%cs, %0" : "=r"(cs));
    fact_u64("cs", cs & 0xffff);
    fact_u64("cpl", cs & 3);
#endif
}

#endif
