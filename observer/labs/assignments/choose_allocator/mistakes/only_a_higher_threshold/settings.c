/* settings.c: the pieces in a heap that comes and goes. */
#include "settings.h"

#include <malloc.h>

void settings(void)
{
    mallopt(M_MMAP_THRESHOLD, LARGE);
}
