/* Writes over the memory of the recorder inside it, or not ("nothing"): zeros, ones, or words by chance. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *start, *end;

static void churn(void) {
    for (int i = 0; i < 1000; i++) free(malloc(100 + i));
}

int main(int argc, char **argv) {
    char line[512];
    if (argc < 2) return 2;
    churn();
    FILE *maps = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, maps))
        if (strstr(line, "malloc observer")) sscanf(line, "%p-%p", (void **)&start, (void **)&end);
    fclose(maps);
    if (!start) return 3;
    puts("found");
    fflush(stdout);
    if (!strcmp(argv[1], "zeros")) memset(start, 0, end - start);
    if (!strcmp(argv[1], "ones")) memset(start, 0xff, end - start);
    if (!strcmp(argv[1], "records")) memset(start + 0x11000, 0xff, end - start - 0x11000);
    if (!strcmp(argv[1], "chance"))
        for (long *at = (long *)start; (char *)at < end; at++) *at = (long)rand() << 33 ^ rand();
    churn();
    return 0;
}
