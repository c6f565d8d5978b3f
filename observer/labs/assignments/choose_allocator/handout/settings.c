/* settings.c: everything as glibc has it. */
#include "settings.h"

void settings(void)
{
}
