/* settings.c: the pieces in a heap that stays, the large one in a mapping that goes. */
#include "settings.h"

#include <malloc.h>

void settings(void)
{
    mallopt(M_MMAP_THRESHOLD, LARGE);
    mallopt(M_TOP_PAD, PIECES * (SIZE + 32));
    mallopt(M_TRIM_THRESHOLD, PIECES * (SIZE + 32) + (1 << 18));
}
