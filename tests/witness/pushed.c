/* Calls malloc and free with the stack at every distance above a page of it that was never touched.

   Where the first pushes of either reach that page, the page fault comes in the midst of them. */
#include <stdlib.h>
#include <sys/mman.h>

enum { APART = 16384, STEPS = 32 };

static void *called(char *stack, void (*function)(void), size_t argument)
{
    void *result;
#if defined(__x86_64__)
    __asm__ volatile("mov %%rsp, %%rbx\n\tmov %1, %%rsp\n\tcall *%2\n\tmov %%rbx, %%rsp"
                     : "=a"(result)
                     : "r"(stack), "r"(function), "D"(argument)
                     : "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "memory", "cc");
#elif defined(__aarch64__)
    register size_t first __asm__("x0") = argument;
    __asm__ volatile("mov x19, sp\n\tmov sp, %1\n\tblr %2\n\tmov sp, x19"
                     : "+r"(first)
                     : "r"(stack), "r"(function)
                     : "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15",
                       "x16", "x17", "x18", "x19", "x30", "memory", "cc");
    result = (void *)first;
#endif
    return result;
}

int main(void)
{
    size_t length = (size_t)2 * STEPS * APART + APART;
    char *place = mmap(0, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (place == MAP_FAILED)
        return 1;
    free(malloc(24));
    for (int i = 0; i < STEPS; i++) {
        char *page = place += APART;
        page[0] = 1;
        void *piece = called(page + 16 * i, (void (*)(void))malloc, 24);
        page = place += APART;
        page[0] = 1;
        called(page + 16 * i, (void (*)(void))free, (size_t)piece);
    }
    return 0;
}
