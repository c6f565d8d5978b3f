/* A bound program does without the code of its loader: it may be discarded, protected, unmapped or mapped over. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int count, char **word)
{
	unsigned long start, end, from = 0, to = 0;
	char line[600], rights[8];
	const char *how = word[count - 1];
	FILE *maps = fopen("/proc/self/maps", "r");

	while (fgets(line, sizeof line, maps))
		if (sscanf(line, "%lx-%lx %7s", &start, &end, rights) == 3 && rights[2] == 'x' && strstr(line, "/ld-")) {
			from = start;
			to = end;
		}
	fclose(maps);
	if (!from)
		return 2;
	if (!strcmp(how, "discard"))
		madvise((void *)from, to - from, MADV_DONTNEED);
	if (!strcmp(how, "protect"))
		mprotect((void *)from, to - from, PROT_READ);
	if (!strcmp(how, "unmap"))
		munmap((void *)from, to - from);
	if (!strcmp(how, "over"))
		mmap((void *)from, to - from, PROT_READ, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < 101; i++)
		free(malloc(31));
	(void)!write(1, "done\n", 5);
	_exit(0);
}
