/* rings.c: four deeds that the processor refuses in ring 3, each in a child of its own. */
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "parameters.h"

#define PAGE 4096

/* mov $ANSWER, %eax; ret: a function that returns ANSWER, if data were code. */
static unsigned char data[PAGE] __attribute__((aligned(PAGE))) = {0xb8, ANSWER, 0, 0, 0, 0xc3};

static int halt(void)
{
    __asm__ volatile("ud2"); // @HALT
    return 0;
}

static int read_kernel(void)
{
    return *(volatile char *)0x8000000000000000; // @KERNEL
}

static int write_code(void)
{
    *(volatile char *)halt = 0; // @CODE
    return 0;
}

static int run_data(void)
{
    mprotect(data, PAGE, PROT_READ | PROT_WRITE);
    return ((int (*)(void))data)(); // @DATA
}

static void in_a_child(int (*deed)(void))
{
    if (fork() == 0)
        _exit(deed());
    wait(NULL);
}

int main(void)
{
    in_a_child(halt);
    in_a_child(read_kernel);
    in_a_child(write_code);
    in_a_child(run_data);
    return 0;
}
