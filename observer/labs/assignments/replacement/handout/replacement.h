/* replacement.h: few frames for many pages. */
#include "parameters.h"

#define PAGES (COLD + 1) /* numbered from 0 */
#define OWN 40

/* The program is about to touch `page`: sees to it that then no more than FRAMES pages have a frame. */
void before_touch(int page);

/* All pages have lost their frames: another workload begins. */
void begin_again(void);

/* Takes the frame of `page` away (of the driver). */
void evict(int page);

/* A workload of your own: the pages that are touched, in order. */
extern int own[OWN];
