/* Two programs in one. `given PROG ARG ...` execs PROG with an environment that no shell would make: a name twice, a string
 * without "=", one that begins with it, bytes that are no UTF-8. `given` alone writes its environment, a string a line. */
#include <stdio.h>
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv)
{
    static char *odd[] = {
        "TWICE=first", "PATH=/usr/local/bin:/usr/bin:/bin", "TWICE=second", "alone", "=nameless", "BYTES=\xff\xfe", "LANG=C",
        "EMPTY=", NULL,
    };
    char **word;

    if (argc > 1) {
        execve(argv[1], argv + 1, odd);
        perror(argv[1]);
        return 1;
    }
    for (word = environ; *word != NULL; word++) puts(*word);
    return 0;
}
