/* settings.c: a heap that is large enough for everybody. */
#include "settings.h"

#include <malloc.h>

void settings(void)
{
    mallopt(M_MMAP_THRESHOLD, LARGE);
    mallopt(M_TOP_PAD, 64 << 20);
    mallopt(M_TRIM_THRESHOLD, 128 << 20);
}
