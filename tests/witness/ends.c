/* The tests' own witness of a process's end: it works with memory, then its last act is to copy /proc/self/smaps.
 *
 * usage: ends FOLDER      the copy's name is the process's number
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PIECES = 3001, BYTES = 4001 };

static char *piece[PIECES], text[1 << 20];

static int copy(const char *folder)
{
    char name[4096], digits[24], *digit = digits + sizeof digits;
    size_t length = 0;
    ssize_t got;

    *--digit = 0;
    for (long pid = getpid(); pid; pid /= 10)
        *--digit = '0' + pid % 10;
    if (strlen(folder) > 4000)
        return 2;
    strcat(strcat(strcpy(name, folder), "/"), digit);
    int to = open(name, O_WRONLY | O_CREAT | O_EXCL, 0600), from = open("/proc/self/smaps", O_RDONLY);
    memset(text, 1, sizeof text);
    while ((got = read(from, text + length, sizeof text - length)) > 0)
        length += (size_t)got;
    return write(to, text, length) == (ssize_t)length ? 0 : 1;
}

int main(int argc, char **argv)
{
    for (int i = 0; i < PIECES; i++)
        piece[i] = memset(malloc(BYTES), 'x', BYTES);
    for (int i = 0; i < PIECES; i += 2)
        free(piece[i]);
    _exit(argc > 1 ? copy(argv[1]) : 2);
}
