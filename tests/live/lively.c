/* Threads, a child, programs that are spawned, handlers that allocate: at any moment something is under way. In the end
 * each process looks at its code: what is there has to be what its files have. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static volatile int handled;

static void handler(int number) {
    (void)number;
    handled++;
    free(malloc(33));
}

static unsigned long work(long rounds) {
    unsigned long sum = 0;
    void *kept[32] = {0};
    for (long i = 0; i < rounds; i++) {
        int k = i % 32;
        free(kept[k]);
        kept[k] = malloc(16 + i % 900);
        *(char *)kept[k] = (char)i;
        sum += (unsigned char)*(char *)kept[k];
        if (i % 500 == 0) {
            char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            *page = 1;
            munmap(page, 8192);
        }
    }
    for (int k = 0; k < 32; k++)
        free(kept[k]);
    return sum;
}

static void *thread(void *rounds) { return (void *)work((long)rounds); }

static int changed_code(void) {
    char line[512];
    int changed = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, maps)) {
        unsigned long start, end, offset;
        char protection[5], path[300] = "";
        if (sscanf(line, "%lx-%lx %4s %lx %*s %*s %299s", &start, &end, protection, &offset, path) < 5 ||
            protection[2] != 'x' || path[0] != '/')
            continue;
        int file = open(path, O_RDONLY);
        if (file < 0)
            continue;
        unsigned char *there = mmap(NULL, end - start, PROT_READ, MAP_PRIVATE, file, (off_t)offset);
        close(file);
        for (unsigned long i = 0; there != MAP_FAILED && i < end - start; i++)
            changed += there[i] != ((unsigned char *)start)[i];
        munmap(there, end - start);
    }
    fclose(maps);
    return changed;
}

int main(int argc, char **argv) {
    long rounds = argc > 1 ? atol(argv[1]) : 1000;
    int told[2], over[2], status, spawned = 0;
    char text[100] = "";
    signal(SIGUSR1, handler);
    if (pipe(told) || pipe(over))
        return 1;
    pid_t child = fork();
    if (!child) {
        char byte;
        unsigned long sum = work(rounds);
        close(over[1]);
        if (read(over[0], &byte, 1) != 0)
            _exit(1);
        int length = snprintf(text, sizeof text, "child %lu changed %d", sum, changed_code());
        _exit(write(told[1], text, (size_t)length) == length ? 5 : 1);
    }
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, thread, (void *)rounds);
    for (int i = 0; i < 20; i++)
        raise(SIGUSR1);
    for (int i = 0; i < 5; i++) {
        pid_t other;
        char *words[] = {"true", NULL};
        spawned += !posix_spawn(&other, "/bin/true", NULL, NULL, words, environ) && waitpid(other, &status, 0) == other &&
                   status == 0;
    }
    unsigned long sum = work(rounds);
    for (int i = 0; i < 4; i++) {
        void *result;
        pthread_join(threads[i], &result);
        sum += (unsigned long)result;
    }
    close(over[1]);
    waitpid(child, &status, 0);
    if (read(told[0], text, sizeof text - 1) < 0)
        return 1;
    printf("sum %lu handled %d spawned %d child %d changed %d %s\n", sum, handled, spawned, WEXITSTATUS(status),
           changed_code(), text);
    return 9;
}
