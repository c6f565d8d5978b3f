/* settings.c: a heap that stays, and a threshold that no longer moves. */
#include "settings.h"

#include <malloc.h>

void settings(void)
{
    mallopt(M_TRIM_THRESHOLD, 8 << 20);
}
