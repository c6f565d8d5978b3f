/* gates.h: two instructions that enter the kernel of x86-64, for system calls without arguments. */
#define SYSCALL(number) ENTER("syscall", number)
#define INT80(number) ENTER("int $0x80", number)

#define ENTER(instruction, number) __extension__({ \
    long answer = (number); \
    __asm__ volatile(instruction : "+a"(answer) : : "rcx", "r8", "r9", "r10", "r11", "memory"); \
    answer; })
