/*
 * library.c: the same source, other system calls.
 *
 * concepts: stdlib
 *
 * See: one library call a line. Built with glibc or musl, dynamic or static, for x86-64, i386 or arm64, the source and what
 * it does stay the same; which system calls each line makes, and how many, does not. Some lines make none at all.
 *
 * The files are in a new directory in $TMPDIR or /tmp, which is removed at the end.
 *
 * Facts: calls malloc_calls calloc_calls free_calls bytes_requested characters (of the file) entries (of the directory,
 *        with . and ..) line_*
 */
#include "facts.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

enum { SMALL = 101, LARGE = 1048583, CELLS = 23, CELL = 29 };

static char folder[256], name[300], line[200];

int main(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = 0 };
    const struct timespec pause = { 0, 1000000 };
    uint64_t entries = 0;

    facts_begin();
    const char *place = getenv("TMPDIR");                           FACT_LINE("getenv");
    snprintf(folder, sizeof folder, "%s/library-sample-%d", place != NULL ? place : "/tmp", (int)getpid());
    snprintf(name, sizeof name, "%s/file", folder);                 FACT_LINE("snprintf");
    mkdir(folder, 0700);                                            FACT_LINE("mkdir");     /* or one that a killed run left */

    FILE *file = fopen(name, "w");                                  FACT_LINE("fopen_write");
    if (file == NULL)
        return 1;
    fprintf(file, "one line, number %d\n", 1);                      FACT_LINE("fprintf");
    fputs("and one more\n", file);                                  FACT_LINE("fputs");
    fflush(file);                                                   FACT_LINE("fflush");
    fclose(file);                                                   FACT_LINE("fclose_write");
    file = fopen(name, "r");                                        FACT_LINE("fopen_read");
    if (file == NULL)
        return 1;
    char *got = fgets(line, sizeof line, file);                     FACT_LINE("fgets");
    size_t characters = strlen(line);                               FACT_LINE("strlen");
    got = fgets(line, sizeof line, file);                           FACT_LINE("fgets_second");
    characters += strlen(line);
    fclose(file);                                                   FACT_LINE("fclose_read");

    char *small = malloc(SMALL);                                    FACT_LINE("malloc_small");
    char *large = malloc(LARGE);                                    FACT_LINE("malloc_large");
    char *cells = calloc(CELLS, CELL);                              FACT_LINE("calloc");
    free(large);                                                    FACT_LINE("free_large");
    free(small);                                                    FACT_LINE("free_small");
    free(cells);                                                    FACT_LINE("free_calloc");

    time_t now = time(NULL);                                        FACT_LINE("time");
    printf("library says hello\n");                                 FACT_LINE("printf");
    fflush(stdout);                                                 FACT_LINE("fflush_stdout");
    nanosleep(&pause, NULL);                                        FACT_LINE("nanosleep");

    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);             FACT_LINE("inet_pton");
    int end = socket(AF_INET, SOCK_STREAM, 0);                      FACT_LINE("socket");
    int bound = bind(end, (struct sockaddr *)&address, sizeof address);             FACT_LINE("bind");
    close(end);                                                     FACT_LINE("close");

    DIR *directory = opendir(folder);                               FACT_LINE("opendir");
    if (directory == NULL)
        return 1;
    while (readdir(directory) != NULL) { entries++; }               FACT_LINE("readdir");
    closedir(directory);                                            FACT_LINE("closedir");
    remove(name);                                                   FACT_LINE("remove");
    rmdir(folder);                                                  FACT_LINE("rmdir");
    if (got == NULL || now == (time_t)-1 || bound != 0)
        return 1;

    fact_u64("malloc_calls", 2);
    fact_u64("calloc_calls", 1);
    fact_u64("free_calls", 3);
    fact_u64("calls", 6);
    fact_u64("bytes_requested", SMALL + LARGE + CELLS * CELL);
    fact_u64("characters", characters);
    fact_u64("entries", entries);
    facts_end();
    return 0;
}
