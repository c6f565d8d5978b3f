/* Aligned pieces leave room before and behind them, which other pieces fill; all of them go by free and realloc.
 *
 * Suspicious: free gets addresses in the middle of what the allocator cut for them.
 *
 * expect rule none
 * expect sign nothing
 * expect ends exit 0
 */
#include "chunk.h"

int main(void)
{
    char *pieces[40], *moved;
    void *page;
    int held = 0;

    for (int i = 0; i < 40; i += 4) {
        pieces[i] = memalign(64 << i / 4, 100);
        pieces[i + 1] = malloc(24);
        pieces[i + 2] = aligned_alloc(256, 512);
        if (posix_memalign(&page, 4096, 5000) != 0)
            return 2;
        pieces[i + 3] = page;
        held += ((uintptr_t)pieces[i] & ((64 << i / 4) - 1)) == 0 && ((uintptr_t)page & 4095) == 0;
        memset(pieces[i], i, 100);
        memset(page, i, 5000);
    }
    fact("aligned", held == 10);
    moved = realloc(pieces[3], 9000);
    fact("kept", moved[4999] == 0 && pieces[36][99] == 36);
    pieces[3] = moved;
    for (int i = 0; i < 40; i++)
        free(pieces[i * 7 % 40]);
    return 0;
}
