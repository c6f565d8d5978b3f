/*
 * jumps.c: library calls that end in every odd way, with probes at each of them.
 *
 * longjmp out of qsort, siglongjmp out of raise on the same stack and from an alternate one, handlers that call the
 * library themselves, fork and vfork out of nested calls, threads that end by pthread_exit and by cancellation, children
 * by system and popen. Prints one line of results and ends with status 5.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 5, THREADS = 4, ALTERNATE = 65536 };

static jmp_buf out_of_qsort;
static sigjmp_buf out_of_raise;
static int comparisons;

static int jumping(const void *a, const void *b)
{
    if (++comparisons == 3)
        longjmp(out_of_qsort, 1);
    return *(const int *)a - *(const int *)b;
}

static int calling(const void *a, const void *b)
{
    char text[12];

    snprintf(text, sizeof text, "%d", *(const int *)a);
    return atoi(text) - *(const int *)b;
}

static void jump(int number)
{
    (void)number;
    getppid();
    siglongjmp(out_of_raise, 1);
}

static void call(int number)
{
    char text[12];

    snprintf(text, sizeof text, "%d", number);
}

static void raise_all(int number)
{
    for (int i = 0; i < ROUNDS; i++)
        if (sigsetjmp(out_of_raise, 1) == 0)
            raise(number);
}

static void *busy(void *given)
{
    char text[12];

    for (int i = 0; i < 100; i++)
        snprintf(text, sizeof text, "%d", i);
    pthread_exit(given);
}

static void clean(void *given)
{
    *(int *)given = 7;
}

static void *cancelled(void *given)
{
    pthread_cleanup_push(clean, given);
    pause();
    pthread_cleanup_pop(0);
    return NULL;
}

int main(void)
{
    int values[] = { 5, 3, 9, 1, 7 }, forked, vforked, cleaned = 0;
    char said[8] = "";
    pthread_t threads[THREADS], sleeper;
    stack_t alternate = { .ss_sp = malloc(ALTERNATE), .ss_size = ALTERNATE };
    struct sigaction action = { .sa_handler = call, .sa_flags = SA_ONSTACK };

    if (setjmp(out_of_qsort) == 0)
        qsort(values, 5, sizeof values[0], jumping);
    qsort(values, 5, sizeof values[0], calling);

    signal(SIGUSR1, jump);
    raise_all(SIGUSR1);
    sigaltstack(&alternate, NULL);
    sigaction(SIGUSR2, &action, NULL);
    raise_all(SIGUSR2);
    action.sa_handler = jump;
    sigaction(SIGUSR1, &action, NULL);
    raise_all(SIGUSR1);

    pid_t child = fork();
    if (child == 0) {
        snprintf(said, sizeof said, "%d", 3);
        _exit(atoi(said));
    }
    waitpid(child, &forked, 0);
    child = vfork();
    if (child == 0)
        _exit(4);
    waitpid(child, &vforked, 0);

    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, busy, NULL);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    pthread_create(&sleeper, NULL, cancelled, &cleaned);
    pthread_cancel(sleeper);
    pthread_join(sleeper, NULL);

    int status = system("exit 6");
    FILE *pipe = popen("echo hi", "r");
    char *got = fgets(said, sizeof said, pipe);
    pclose(pipe);
    printf("%d %d %d %d %d %d %s", values[0] + values[4], WEXITSTATUS(forked), WEXITSTATUS(vforked), cleaned,
           WEXITSTATUS(status), got != NULL, said);
    return 5;
}
