/* Frees an array on the stack, at every place that it may begin at; -DPLACE=N moves it by N words. */
#include <stdlib.h>

#ifndef PLACE
#define PLACE 0
#endif

int main(void)
{
	char array[4096 + 16 * PLACE];

	free(array + 8 * (PLACE % 2));
	return array[0];
}
