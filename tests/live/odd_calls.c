/*
 * odd_calls.c: calls whose probes are easily got wrong, and memory that looks like a call. Prints what it finds.
 *
 * Functions that ask who called them, that return structures (i386's take an argument off the stack), coroutines that
 * come back in another thread or in a forked child, a stack that ends at a call, data between instructions.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

enum { STACK = 65536 };

static ucontext_t home[2], coroutine;
static int at_home, forked;
static sigjmp_buf out;

pid_t getppid(void)
{
    return 1;
}

static const char *text_behind_call(void)
{
    const char *found;

    /* The red zone is the compiler's: step over it. */
#ifdef __x86_64__
    __asm__ volatile("sub $128, %%rsp; call 1f; .asciz \"over\"; 1: pop %0; add $128, %%rsp" : "=r"(found) : : "memory");
#else
    __asm__ volatile("call 1f; .asciz \"over\"; 1: pop %0" : "=r"(found) : : "memory");
#endif
    return found;
}

static const unsigned char *data_like_a_call(void)
{
    const unsigned char *found;

    /* What the jump leaves out reads as a call of what lies behind this function. */
    __asm__ volatile("call 2f; 2: pop %0; jmp 1f; .byte 0xe8, 0, 1, 0, 0; .byte 0xe8, 0, 2, 0, 0; 1:" : "=r"(found));
    return found;
}

static int comparing(const void *a, const void *b)
{
    static int calls;

    if (calls++ == 0)
        swapcontext(&coroutine, &home[at_home]);
    return *(const int *)a - *(const int *)b;
}

static void sorting(void)
{
    int values[] = { 3, 2, 1 };

    qsort(values, 3, sizeof values[0], comparing);
    printf("sorted %d %d\n", values[0], values[2]);
    fflush(stdout);
    setcontext(&home[at_home]);
}

static void *come_back(void *given)
{
    at_home = 1;
    swapcontext(&home[1], &coroutine);
    return given;
}

static void overflow(int number)
{
    (void)number;
    siglongjmp(out, 1);
}

/* A call may be the first to touch a page of the stack, as what is below it is only room. */
static int deeper(int depth)
{
    volatile char room[120];

    room[100] = (char)depth;
    return room[100] + getpid() + deeper(depth + 1) + getpid();
}

int main(void)
{
    static char alternate[STACK];
    struct rlimit little = { 262144, 262144 };
    stack_t stack = { .ss_sp = alternate, .ss_size = STACK };
    struct sigaction action = { .sa_handler = overflow, .sa_flags = SA_ONSTACK };
    pthread_t thread;

    pid_t (*next)(void) = (pid_t (*)(void))dlsym(RTLD_NEXT, "getppid");
    div_t halves = div(17, 5);
    printf("next %d, div %d %d\n", next != NULL && next != getppid && next() > 1, halves.quot, halves.rem);
    const unsigned char *data = data_like_a_call();
    printf("%s", text_behind_call());
    for (int i = 0; i < 16; i++)
        if (data[i] == 0xe8)
            printf(" %02x%02x", data[i], data[i + 2]);
    printf("\n");
    fflush(stdout);

    getcontext(&coroutine);
    coroutine.uc_stack.ss_sp = malloc(STACK);
    coroutine.uc_stack.ss_size = STACK;
    makecontext(&coroutine, sorting, 0);
    swapcontext(&home[0], &coroutine);
    getpid();
    pid_t child = fork();
    if (child == 0) {
        if (!forked++)
            swapcontext(&home[0], &coroutine);
        _exit(3);
    }
    int status;
    waitpid(child, &status, 0);
    pthread_create(&thread, NULL, come_back, NULL);
    pthread_join(thread, NULL);

    setrlimit(RLIMIT_STACK, &little);
    sigaltstack(&stack, NULL);
    sigaction(SIGSEGV, &action, NULL);
    if (sigsetjmp(out, 1) == 0)
        deeper(0);
    printf("child %d, back from the end of the stack\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    return 6;
}
