/* replacement.c: first in, first out: the page goes that came in first. */
#include "replacement.h"

static int resident[FRAMES]; /* the pages that have a frame */
static int count;            /* how many these are */
static int oldest;           /* where the one stands that came in first */

void begin_again(void)
{
    count = oldest = 0;
}

void before_touch(int page)
{
    for (int at = 0; at < count; at++)
        if (resident[at] == page)
            return;
    if (count < FRAMES) {
        resident[count++] = page;
        return;
    }
    evict(resident[oldest]);
    resident[oldest] = page;
    oldest = (oldest + 1) % FRAMES;
}

int own[OWN] = {0};
