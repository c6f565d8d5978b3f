/* Maps the library FILE to be read, then makes it code, and calls the malloc at PLACE in it 20 times. */
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

int main(int count, char **words)
{
    struct stat status;
    int file = count == 3 ? open(words[1], O_RDONLY) : -1;
    if (file < 0 || fstat(file, &status) != 0)
        return 1;
    char *code = mmap(NULL, status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    if (code == MAP_FAILED || mprotect(code, status.st_size, PROT_READ | PROT_EXEC) != 0)
        return 1;
    void *(*take)(size_t) = (void *(*)(size_t))(code + atol(words[2]));
    for (int i = 0; i < 20; i++)
        if (take(96) == NULL) /* here */
            return 1;
    return 0;
}
