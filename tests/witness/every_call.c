/*
 * every_call.c: nearly all system calls, one after the other, each with -1 for every argument.
 *
 * usage: every_call           by the table of x86-64
 *        every_call int80     by the table of i386
 *
 * Left out are those that end, wait, make a task, raise a signal, or do something to the machine with these arguments.
 */
#define _GNU_SOURCE
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LAST = 450 };

static const short native_left_out[] = {
    SYS_exit, SYS_exit_group, SYS_fork, SYS_vfork, SYS_clone, SYS_clone3, SYS_pause, SYS_rt_sigreturn, SYS_vhangup, SYS_sync,
    SYS_msgget, SYS_rseq,
};
/* exit fork pause sync sigsuspend vhangup sigreturn clone rt_sigreturn vfork exit_group rseq msgget clone3 */
static const short foreign_left_out[] = { 1, 2, 29, 36, 72, 111, 119, 120, 173, 190, 252, 386, 399, 435 };

static int is_in(long number, const short *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (list[i] == number)
            return 1;
    return 0;
}

int main(int argc, char **argv)
{
    int foreign = argc > 1 && strcmp(argv[1], "int80") == 0;

    for (long number = 0; number <= LAST; number++) {
        if (number > 334 && number < 424 && !foreign)   /* gaps, and what belongs to probes */
            continue;
        if (foreign) {
            long result;

            if (!is_in(number, foreign_left_out, sizeof foreign_left_out / sizeof *foreign_left_out))
                __asm__ volatile("push %%rbp\n\tmov $-1, %%rbp\n\tint $0x80\n\tpop %%rbp" : "=a"(result)
                    : "0"(number), "b"(-1L), "c"(-1L), "d"(-1L), "S"(-1L), "D"(-1L) : "r8", "r9", "r10", "r11", "memory");
        } else if (!is_in(number, native_left_out, sizeof native_left_out / sizeof *native_left_out)) {
            syscall(number, -1L, -1L, -1L, -1L, -1L, -1L);
        }
    }
    return 0;
}
