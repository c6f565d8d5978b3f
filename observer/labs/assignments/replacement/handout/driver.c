/* driver.c: touches pages of one large piece; what has no frame takes a page fault. It is given: do not change it. */
#include <stdlib.h>
#include <sys/mman.h>

#include "replacement.h"

#define PAGE 4096L
#define TOUCH(page) (before_touch(page), memory[(page) * PAGE] = 1)

static char *memory;

void evict(int page)
{
    madvise(memory + page * PAGE, PAGE, MADV_DONTNEED); // @EVICT
}

int main(void)
{
    int given[2 * COLD];

    /* Page 0 is hot: it is touched before every other page, and each of those only once. */
    for (int at = 0; at < COLD; at++) {
        given[2 * at] = 0;
        given[2 * at + 1] = at + 1;
    }
    for (int at = 0; at < OWN; at++)
        if (own[at] < 0 || own[at] >= PAGES)
            return 1;
    memory = aligned_alloc(PAGE, PAGES * PAGE);
    if (memory == NULL)
        return 1;
    begin_again();
    for (int at = 0; at < 2 * COLD; at++) TOUCH(given[at]); // @GIVEN
    madvise(memory, PAGES * PAGE, MADV_DONTNEED);
    begin_again();
    for (int at = 0; at < OWN; at++) TOUCH(own[at]); // @OWN
    free(memory);
    return 0;
}
