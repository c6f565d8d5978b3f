/* So many children at once, each of which allocates before and after it has waited for all the others. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int count, char **word)
{
	int gate[2], status, wrong = 0, many = atoi(word[count - 1]);
	char byte;

	if (pipe(gate))
		return 1;
	for (int i = 0; i < many; i++)
		if (!fork()) {
			close(gate[1]);
			free(malloc(17 + i));
			(void)!read(gate[0], &byte, 1);
			free(malloc(23 + i));
			_exit(i & 63);
		}
	close(gate[1]);
	for (int i = 0; i < many; i++)
		wrong += wait(&status) < 0 || !WIFEXITED(status);
	printf("%d children, %d wrong\n", many, wrong);
	return wrong != 0;
}
