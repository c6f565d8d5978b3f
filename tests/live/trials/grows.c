/* Memory that grows downwards as it is touched (MAP_GROWSDOWN); of what came by it, a part is given back. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

int main(void)
{
	char *high = mmap((void *)0x700000000000, 4 * 4096, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_GROWSDOWN, -1, 0);

	if (high == MAP_FAILED)
		return 1;
	for (long i = 0; i < 100; i++) {
		*(high - 4096 * i) = 1;
		free(malloc(i));
	}
	munmap(high - 4096 * 99, 4096 * 25);
	puts("grown");
	return 0;
}
