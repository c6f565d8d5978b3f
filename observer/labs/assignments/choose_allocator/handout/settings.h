/* settings.h: what is set before the first malloc. */
#include "parameters.h"

#define PIECES 4
#define LARGE (2 << 20)

void settings(void);
