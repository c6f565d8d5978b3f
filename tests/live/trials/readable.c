/* Whatever may be read may be executed from here on, in its child, too, until it has another program (personality(2)). */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/wait.h>
#include <unistd.h>

static void map(void)
{
	char *pages = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	mprotect(pages, 4096, PROT_READ);
	mprotect(pages + 3 * 4096, 4096, PROT_NONE);
	for (int i = 0; i < 200; i++)
		if (!malloc(5000))
			_exit(1);
	free(malloc(300000));
}

int main(int count, char **words)
{
	int status = 0;

	free(malloc(100));
	if (count > 1) {
		map();
		return 0;
	}
	personality(READ_IMPLIES_EXEC);
	map();
	if (!fork()) {
		map();
		execl(words[0], words[0], "again", NULL);
		_exit(1);
	}
	wait(&status);
	puts("end");
	return status;
}
