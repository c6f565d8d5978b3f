/* settings.c: everything in a heap that stays. */
#include "settings.h"

#include <malloc.h>

void settings(void)
{
    mallopt(M_MMAP_MAX, 0);
    mallopt(M_TOP_PAD, LARGE + PIECES * (SIZE + 32));
    mallopt(M_TRIM_THRESHOLD, PIECES * (SIZE + 32) + (1 << 18));
}
