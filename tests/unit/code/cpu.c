/* Carries out one instruction on the real processor.

   state: rax rcx rdx rbx (rsp: unused) rbp rsi rdi r8..r15, then the flags; read before, written after.
   code: the instruction, followed by ret. */

__attribute__((naked)) void carry_out(unsigned long *state, void (*code)(void))
{
    __asm__(
        "push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n"
        "push %rdi\n push %rsi\n"
        "mov %rdi, %rax\n"
        "pushq 128(%rax)\n popfq\n"
        "mov 8(%rax), %rcx\n mov 16(%rax), %rdx\n mov 24(%rax), %rbx\n mov 40(%rax), %rbp\n"
        "mov 48(%rax), %rsi\n mov 56(%rax), %rdi\n mov 64(%rax), %r8\n mov 72(%rax), %r9\n"
        "mov 80(%rax), %r10\n mov 88(%rax), %r11\n mov 96(%rax), %r12\n mov 104(%rax), %r13\n"
        "mov 112(%rax), %r14\n mov 120(%rax), %r15\n mov 0(%rax), %rax\n"
        "call *(%rsp)\n"
        "pushfq\n push %rax\n"
        "mov 24(%rsp), %rax\n"
        "mov %rcx, 8(%rax)\n mov %rdx, 16(%rax)\n mov %rbx, 24(%rax)\n mov %rbp, 40(%rax)\n"
        "mov %rsi, 48(%rax)\n mov %rdi, 56(%rax)\n mov %r8, 64(%rax)\n mov %r9, 72(%rax)\n"
        "mov %r10, 80(%rax)\n mov %r11, 88(%rax)\n mov %r12, 96(%rax)\n mov %r13, 104(%rax)\n"
        "mov %r14, 112(%rax)\n mov %r15, 120(%rax)\n"
        "popq 0(%rax)\n popq 128(%rax)\n"
        "pop %rsi\n pop %rdi\n"
        "pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n ret\n");
}
