/* Reserves COUNT times 60 GiB and touches two pages of each, far apart. */
#include <stdlib.h>
#include <sys/mman.h>

int main(int count, char **words)
{
    size_t each = (size_t)60 << 30;
    for (int i = count == 2 ? atoi(words[1]) : 0; i > 0; i--) {
        char *place = mmap(NULL, each, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (place == MAP_FAILED)
            return 1;
        place[4096] = place[each / 2] = 1;
        mprotect(place + each - 4096, 4096, PROT_NONE);
    }
    return 0;
}
