/* replacement.c: least recently used: the page goes that was touched longest ago. */
#include "replacement.h"

static int resident[FRAMES]; /* the pages that have a frame, the one that was touched last at the end */
static int count;            /* how many these are */

void begin_again(void)
{
    count = 0;
}

void before_touch(int page)
{
    int at = 0;

    while (at < count && resident[at] != page)
        at++;
    if (at == FRAMES) {
        at = 0;
        evict(resident[at]);
    } else if (at == count) {
        count++;
    }
    for (; at + 1 < count; at++)
        resident[at] = resident[at + 1];
    resident[at] = page;
}

/* Forty pages. */
#define ROUND(n) (n)
#define TEN(n) ROUND(n), ROUND(n + 1), ROUND(n + 2), ROUND(n + 3), ROUND(n + 4), \
               ROUND(n + 5), ROUND(n + 6), ROUND(n + 7), ROUND(n + 8), ROUND(n + 9)
int own[OWN] = {TEN(0), TEN(10), TEN(20), TEN(30)};
